/** When a write becomes the version of its object. */
import { ReplicaType } from "../../proto/types.ts";
import { belongsToWrite, isOfType } from "./mutations.ts";
import { ObjectLink } from "./objects.ts";
import type { CoreState } from "./state.ts";

/** Whether an end of `replicaType` makes the write's version the object's. */
export function willCommit(state: CoreState, slot: number, replicaType: number): boolean {
  const { objects, replicas } = state;
  let memory = false;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (belongsToWrite(state, slot, replica) && replicas.isMemory(replica)) memory = true;
  }
  return isOfType(memory ? ReplicaType.MEMORY : ReplicaType.DISK, replicaType);
}

/** Whether the version of a write could be the object's once the rest of the write is given up. */
export function mayCommit(state: CoreState, slot: number): boolean {
  const { objects, replicas, writes } = state;
  if (writes.isCommitted(objects.link(slot, ObjectLink.WRITE))) return false;
  let replica = objects.link(slot, ObjectLink.REPLICA);
  while (
    replica !== 0 && !(belongsToWrite(state, slot, replica) && replicas.isComplete(replica))
  ) replica = replicas.next(replica);
  return replica !== 0;
}

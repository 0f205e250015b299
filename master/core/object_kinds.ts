import { Counter } from "./counters.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import type { CoreState } from "./state.ts";

/** Brings the object's flags in line with the replicas that it has. */
export function refreshKinds(state: CoreState, slot: number): void {
  const { objects, replicas, counters } = state;
  let inMemory = false;
  let onDisk = false;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    if (!replicas.isComplete(replica) || replicas.isStaged(replica)) continue;
    if (replicas.isMemory(replica)) inMemory = true;
    else onDisk = true;
  }
  if (inMemory !== objects.is(slot, ObjectFlag.IN_MEMORY)) {
    counters.add(Counter.IN_MEMORY, inMemory ? 1 : -1);
    if (inMemory) objects.set(slot, ObjectFlag.IN_MEMORY);
    else objects.clear(slot, ObjectFlag.IN_MEMORY);
  }
  if (onDisk !== objects.is(slot, ObjectFlag.ON_DISK)) {
    counters.add(Counter.ON_DISK, onDisk ? 1 : -1);
    if (onDisk) objects.set(slot, ObjectFlag.ON_DISK);
    else objects.clear(slot, ObjectFlag.ON_DISK);
  }
}

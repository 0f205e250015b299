import { ReplicaType } from "../../proto/types.ts";
import { ObjectLink } from "./objects.ts";
import { findObject } from "./queries.ts";
import type { CoreState } from "./state.ts";
import { isFinished } from "./tasks.ts";

/**
 * Whether a client has to do with an object because the master has told it to: it has an order to
 * copy or move it, is doing so, or keeps it on its disk.
 */
export function isOrdered(
  state: CoreState,
  client: number,
  tenant: number,
  key: Uint8Array,
): boolean {
  const slot = findObject(state, tenant, key, 0, key.length);
  if (slot === 0 || client === 0) return false;
  if (state.transfers.transfers.get(slot)?.client === client) return true;
  const { objects, replicas, disks, tasks } = state;
  for (
    let replica = objects.link(slot, ObjectLink.REPLICA);
    replica !== 0;
    replica = replicas.next(replica)
  ) {
    const onDisk = replicas.kind(replica) === ReplicaType.LOCAL_DISK;
    if (onDisk && disks.disk(replicas.place(replica)).client === client) return true;
  }
  const [name, text] = [state.tenants.name(tenant), key].map((bytes) =>
    JSON.stringify(new TextDecoder().decode(bytes))
  );
  const about = `{"tenant_id":${name},"key":${text},`;
  for (const task of tasks.all()) {
    if (task.client === client && !isFinished(task.status) && task.payload.startsWith(about)) {
      return true;
    }
  }
  return false;
}

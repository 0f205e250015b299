import { ReplicaType } from "../../proto/types.ts";
import type { ReplicaSink } from "./api.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { isReadable } from "./queries.ts";
import { sharedPath } from "./shared_path.ts";
import type { CoreState } from "./state.ts";

/** Describes the readable replicas of an object, in the order in which they came to be. */
export function describeReadable(state: CoreState, slot: number, sink: ReplicaSink): void {
  const { objects, replicas } = state;
  const first = objects.link(slot, ObjectLink.REPLICA);
  let count = 0;
  for (let replica = first; replica !== 0; replica = replicas.next(replica)) {
    if (isReadable(state, replica)) count++;
  }
  const checksum = objects.is(slot, ObjectFlag.CHECKSUM) ? objects.checksum(slot) : null;
  sink.begin(count, state.config.defaultKvLeaseTtlMs, checksum);
  for (let replica = first; replica !== 0; replica = replicas.next(replica)) {
    if (isReadable(state, replica)) describe(state, slot, replica, sink);
  }
}

/** Describes one replica. */
export function describe(
  state: CoreState,
  slot: number,
  replica: number,
  sink: ReplicaSink,
): void {
  const { replicas } = state;
  const id = replicas.id(replica);
  const status = replicas.status(replica);
  const size = replicas.size(replica);
  const place = replicas.place(replica);
  const kind = replicas.kind(replica);
  if (kind === ReplicaType.MEMORY) {
    const segment = replicas.segment(replica);
    const unit = 2 ** state.segments.at(segment).unitShift;
    sink.memory(id, status, size, segment, state.extents.offset(place) * unit);
  } else if (kind === ReplicaType.LOCAL_DISK) {
    const client = state.clients.get(state.disks.disk(place).client);
    sink.localDisk(id, status, size, client.uuid, state.disks.endpoint(place));
  } else {
    const { objects, config } = state;
    const path = sharedPath(config.fsdir, objects.key(slot), objects.hash(slot));
    sink.disk(id, status, size, path);
  }
}

import { WINDOW_BYTES } from "../../proto/address_window.ts";
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
  sink.begin(count, state.config.defaultKvLeaseTtlMs);
  if (objects.is(slot, ObjectFlag.CHECKSUM)) {
    sink.checksum(objects.checksumLow(slot), objects.checksumHigh(slot));
  }
  for (let replica = first; replica !== 0; replica = replicas.next(replica)) {
    if (isReadable(state, replica)) describe(state, slot, replica, sink);
  }
}

/** Where peers find an extent: bytes from the base of its segment, its window included. */
export function remoteOffset({ extents, segments }: CoreState, extent: number): number {
  const offset = extents.offset(extent) * segments.at(extents.segment(extent)).unitBytes;
  const window = extents.window(extent);
  return window === 0 ? offset : offset + window * WINDOW_BYTES;
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
    sink.memory(id, status, size, segment, remoteOffset(state, place));
  } else if (kind === ReplicaType.LOCAL_DISK) {
    const client = state.clients.get(state.disks.disk(place).client);
    sink.localDisk(id, status, size, client.uuid, state.disks.endpoint(place));
  } else {
    const { objects, config } = state;
    const path = sharedPath(config.fsdir, objects.key(slot), objects.hash(slot));
    sink.disk(id, status, size, path);
  }
}

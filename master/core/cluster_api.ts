import { ErrorCode } from "../../proto/error_code.ts";
import type { PeerReport } from "../../proto/messages.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import type {
  OffloadTaskItem,
  PingResponse,
  Segment,
  SegmentStatus,
  StorageObjectMetadata,
  Uuid,
} from "../../proto/types.ts";
import * as mounts from "./mounts.ts";
import * as offload from "./offload.ts";
import { orMissing } from "./results.ts";
import type { CoreState } from "./state.ts";
import { takePeerReports } from "./store_health.ts";

/** The calls of clients about themselves and what they lend: sessions, segments, disks. */
export class ClusterApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** INVALID_PARAMS, UNAVAILABLE_IN_CURRENT_STATUS. */
  mountSegment(segment: Segment, client: Uuid): ErrorCode {
    return mounts.mountSegment(this.#state, segment, this.#state.clients.require(client));
  }

  /** INVALID_PARAMS, UNAVAILABLE_IN_CURRENT_STATUS. */
  remountSegments(segments: readonly Segment[], client: Uuid): ErrorCode {
    return mounts.remountSegments(this.#state, segments, this.#state.clients.require(client));
  }

  /** INVALID_PARAMS when the segment is another client's. */
  unmountSegment(id: Uuid, client: Uuid, nowMs: number): ErrorCode {
    return mounts.unmountSegment(this.#state, id, client, nowMs);
  }

  /** SEGMENT_NOT_FOUND, INVALID_PARAMS, UNAVAILABLE_IN_CURRENT_STATUS. */
  gracefulUnmountSegment(id: Uuid, client: Uuid, graceMs: number, nowMs: number): ErrorCode {
    return mounts.gracefulUnmountSegment(this.#state, id, client, graceMs, nowMs);
  }

  ping(client: Uuid): PingResponse {
    return mounts.ping(this.#state, this.#state.clients.require(client));
  }

  /** SEGMENT_NOT_FOUND. */
  querySegmentStatus(name: string): Expected<SegmentStatus> {
    return orMissing(mounts.segmentStatusByName(this.#state, name) || null);
  }

  /** SEGMENT_NOT_FOUND. */
  querySegmentStatusById(id: Uuid): Expected<SegmentStatus> {
    return orMissing(this.#state.segments.byId(id)?.status ?? null);
  }

  /** Hosts of the segments of each of the clients that has any. */
  batchQueryIp(clients: readonly Uuid[]): Map<Uuid, string[]> {
    const answer = new Map<Uuid, string[]>();
    for (const client of clients) {
      const hosts = mounts.hostsOf(this.#state, this.#state.clients.find(client));
      if (hosts !== null) answer.set(client, hosts);
    }
    return answer;
  }

  /** Takes what a client has seen of the stores that it uses. INVALID_PARAMS. */
  reportPeers(client: Uuid, reports: readonly PeerReport[]): ErrorCode {
    return takePeerReports(this.#state, client, reports);
  }

  /** UNABLE_OFFLOAD. */
  mountLocalDisk(client: Uuid, enabled: boolean): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return offload.mountLocalDisk(this.#state, this.#state.clients.require(client), enabled);
  }

  /** UNABLE_OFFLOAD. */
  unmountLocalDisk(client: Uuid): ErrorCode {
    return offload.unmountLocalDisk(this.#state, this.#state.clients.find(client));
  }

  /** What the client is to write to its disk. SEGMENT_NOT_FOUND. */
  offloadHeartbeat(client: Uuid, enabled: boolean, nowMs: number): Expected<OffloadTaskItem[]> {
    const index = this.#state.clients.find(client);
    return orMissing(offload.offloadHeartbeat(this.#state, index, enabled, nowMs));
  }

  /** INVALID_PARAMS, SEGMENT_NOT_FOUND. */
  reportSsdCapacity(client: Uuid, bytes: number): ErrorCode {
    return offload.reportDiskCapacity(this.#state, this.#state.clients.find(client), bytes);
  }

  /** INVALID_PARAMS, SEGMENT_NOT_FOUND. */
  notifyOffloadSuccess(
    client: Uuid,
    tasks: readonly OffloadTaskItem[],
    results: readonly StorageObjectMetadata[],
    nowMs: number,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const index = this.#state.clients.find(client);
    return offload.notifyOffload(this.#state, index, tasks, results, nowMs);
  }

  /** Whether the client is to wipe its disk; once. SEGMENT_NOT_FOUND. */
  pollRemoveAll(client: Uuid): Expected<boolean> {
    return orMissing(offload.pollRemoveAll(this.#state, this.#state.clients.find(client)));
  }
}

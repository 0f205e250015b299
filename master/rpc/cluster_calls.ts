/** The calls of clients about themselves and the memory and disks they lend. */
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import type { NoFSegment, StorageConfig } from "../../proto/types.ts";
import { STORE_VERSION } from "../../proto/version.ts";
import type { MasterCore } from "../core/core.ts";
import { done, type HandlerEntry, ok, plainCall } from "./plain_call.ts";

export class ClusterCalls {
  readonly #core: MasterCore;
  readonly #storage: StorageConfig;

  constructor(core: MasterCore, options: { storage: StorageConfig }) {
    this.#core = core;
    this.#storage = options.storage;
  }

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    return [...this.#sessions(), ...this.#segments(), ...this.#disks(), ...nofCalls()];
  }

  #sessions(): HandlerEntry[] {
    const { cluster } = this.#core;
    const storage = this.#storage;
    return [
      plainCall(m.ServiceReady, () => ok(STORE_VERSION)),
      plainCall(m.Ping, ({ clientId }) => ok(cluster.ping(clientId))),
      plainCall(
        m.ReportPeers,
        ({ clientId, peers }) => done(cluster.reportPeers(clientId, peers)),
      ),
      plainCall(m.GetFsdir, () => ok(storage.fsdir)),
      plainCall(m.GetStorageConfig, () => ok(storage)),
      plainCall(
        m.BatchQueryIp,
        ({ clientIds }) => ok(cluster.batchQueryIp(clientIds)),
        ({ value }) => [value?.size ?? 0, 0],
      ),
    ];
  }

  #segments(): HandlerEntry[] {
    const { cluster } = this.#core;
    return [
      plainCall(
        m.MountSegment,
        ({ segment, clientId }) => done(cluster.mountSegment(segment, clientId)),
      ),
      plainCall(
        m.ReMountSegment,
        ({ segments, clientId }) => done(cluster.remountSegments(segments, clientId)),
      ),
      plainCall(
        m.UnmountSegment,
        ({ segmentId, clientId }, nowMs) =>
          done(cluster.unmountSegment(segmentId, clientId, nowMs)),
      ),
      plainCall(m.GracefulUnmountSegment, (request, nowMs) => {
        const { segmentId, clientId, gracePeriodMs } = request;
        return done(cluster.gracefulUnmountSegment(segmentId, clientId, gracePeriodMs, nowMs));
      }),
      plainCall(m.QuerySegmentStatus, ({ segmentName }) => cluster.querySegmentStatus(segmentName)),
      plainCall(
        m.QuerySegmentStatusById,
        ({ segmentId }) => cluster.querySegmentStatusById(segmentId),
      ),
    ];
  }

  #disks(): HandlerEntry[] {
    const { cluster, movement } = this.#core;
    return [
      plainCall(
        m.MountLocalDiskSegment,
        ({ clientId, enableOffloading }) =>
          done(cluster.mountLocalDisk(clientId, enableOffloading)),
      ),
      plainCall(
        m.UnmountLocalDiskSegment,
        ({ clientId }) => done(cluster.unmountLocalDisk(clientId)),
      ),
      plainCall(
        m.OffloadObjectHeartbeat,
        ({ clientId, enableOffloading }, nowMs) =>
          cluster.offloadHeartbeat(clientId, enableOffloading, nowMs),
      ),
      plainCall(
        m.ReportSsdCapacity,
        ({ clientId, ssdTotalCapacityBytes }) =>
          done(cluster.reportSsdCapacity(clientId, ssdTotalCapacityBytes)),
      ),
      plainCall(
        m.NotifyOffloadSuccess,
        ({ clientId, tasks, metadatas }, nowMs) =>
          done(cluster.notifyOffloadSuccess(clientId, tasks, metadatas, nowMs)),
      ),
      plainCall(m.PollRemoveAll, ({ clientId }) => cluster.pollRemoveAll(clientId)),
      plainCall(
        m.PromotionObjectHeartbeat,
        ({ clientId }) => movement.promotionHeartbeat(clientId),
      ),
    ];
  }
}

/** NVMe over fabrics is not part of this build, as it is not of the reference's. */
function nofCalls(): HandlerEntry[] {
  const absent = () => done(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE);
  const none: Expected<NoFSegment[]> = ok([]);
  return [
    plainCall(m.MountNoFSegment, absent),
    plainCall(m.ReMountNoFSegment, absent),
    plainCall(m.UnmountNoFSegment, absent),
    plainCall(m.GetAllNoFSegments, () => none),
    plainCall(
      m.GetNoFSegmentsByName,
      () => ({ code: ErrorCode.SEGMENT_NOT_FOUND, value: null }),
    ),
  ];
}

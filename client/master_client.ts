import { FENCES_WRITERS } from "../proto/address_window.ts";
import { KNOWS_CHECKSUMS, TAKES_HOLDS } from "../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import * as messages from "../proto/messages.ts";
import type { Expected, Rpc } from "../proto/messages.ts";
import type {
  CopyStartResponse,
  MoveStartResponse,
  NoFSegment,
  NoFSegmentOwnerInfo,
  OffloadTaskItem,
  PingResponse,
  PromotionAllocStartResponse,
  QueryTaskResponse,
  ReplicaDescriptor,
  ReplicaList,
  StorageConfig,
  TaskAssignment,
  Uuid,
} from "../proto/types.ts";
import { STORE_VERSION } from "../proto/version.ts";

/** What a {@linkcode MasterClient} calls through. */
export interface RpcCaller {
  call<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    writeId?: number,
  ): Promise<Response>;
}

/**
 * The value of an answer. `StoreError` with the answer's code when it is an error; `what` says what
 * could not be done, as in `Cannot remove "a"`.
 */
export function valueOf<T>(answer: Expected<T>, what: string): T {
  if (answer.code !== ErrorCode.OK) {
    throw new StoreError(answer.code as ErrorCode, what);
  }
  return answer.value as T;
}

/**
 * The calls of a master, one method each, named as on the wire.
 *
 * An answer is an {@linkcode Expected}: code 0 with a value, or a code of `ErrorCode`. Batches answer
 * one for each item, in order. Rejections are failures of the call itself; see `RpcClient`.
 *
 * `writeId` names the write, copy or move that is started, ended or revoked, so that none of several
 * of one key by one client is taken for another; 0 = no name. See `proto/coro_rpc/write_id.ts`.
 */
export class MasterClient {
  readonly #rpc: RpcCaller;

  constructor(rpc: RpcCaller) {
    this.#rpc = rpc;
  }

  /** The same calls, with what each resolves with passed through `bound`, with the call's name. */
  bounded(bound: <T>(answer: Promise<T>, name: string) => Promise<T>): MasterClient {
    return new MasterClient({
      call: (rpc, request, writeId) => bound(this.#rpc.call(rpc, request, writeId), rpc.name),
    });
  }

  /**
   * Checks that the master speaks this protocol. `StoreError` with `INVALID_VERSION` when it names
   * another version.
   */
  async checkVersion(): Promise<void> {
    const version = valueOf(await this.serviceReady(), "Cannot ask the master for its version");
    if (version !== STORE_VERSION) {
      throw new StoreError(
        ErrorCode.INVALID_VERSION,
        `The master has version ${JSON.stringify(version)}, not "${STORE_VERSION}"`,
      );
    }
  }

  /** Tells which stores work. A master that does not know this call rejects it as refused. */
  reportPeers(request: messages.PeerReportsRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.ReportPeers, request);
  }

  // Objects: reading.

  /** Whether a complete replica exists; renews the lease if so. */
  existKey(request: messages.KeyRequest): Promise<Expected<boolean>> {
    return this.#rpc.call(messages.ExistKey, request);
  }

  /** `existKey` for many keys. */
  batchExistKey(request: messages.KeysRequest): Promise<Expected<boolean>[]> {
    return this.#rpc.call(messages.BatchExistKey, request);
  }

  /**
   * The complete replicas of an object, and for how long they may be read. `takesHold`: the master may
   * promise that for a while they are of the key's version, which makes who replaces it wait.
   */
  getReplicaList(
    request: messages.KeyRequest,
    takesHold = false,
  ): Promise<Expected<ReplicaList>> {
    const mark = takesHold ? TAKES_HOLDS : KNOWS_CHECKSUMS;
    return this.#rpc.call(messages.GetReplicaList, request, mark);
  }

  /** `getReplicaList` for many keys. */
  batchGetReplicaList(
    request: messages.KeysRequest,
    takesHolds = false,
  ): Promise<Expected<ReplicaList>[]> {
    const mark = takesHolds ? TAKES_HOLDS : KNOWS_CHECKSUMS;
    return this.#rpc.call(messages.BatchGetReplicaList, request, mark);
  }

  /** The complete replicas of every object whose key matches. `INVALID_PARAMS` for a bad pattern. */
  getReplicaListByRegex(
    request: messages.RegexRequest,
  ): Promise<Expected<[Uint8Array, ReplicaDescriptor[]][]>> {
    return this.#rpc.call(messages.GetReplicaListByRegex, request);
  }

  // Objects: writing.

  /** Allocates replicas for a new object, to be filled and then ended or revoked. */
  putStart(
    request: messages.StartRequest,
    writeId = 0,
  ): Promise<Expected<ReplicaDescriptor[]>> {
    return this.#rpc.call(messages.PutStart, request, writeId);
  }

  /** Makes the replicas of one type readable. */
  putEnd(request: messages.EndRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.PutEnd, request, writeId);
  }

  /** Gives the unfinished replicas of one type back. */
  putRevoke(request: messages.RevokeRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.PutRevoke, request, writeId);
  }

  /**
   * `putEnd`, and memory for the next put. A master that does not know this call rejects it as
   * refused, with `FUNCTION_NOT_REGISTERED`.
   */
  endAndReserve(
    request: messages.EndAndReserveRequest,
    writeId: number,
  ): Promise<Expected<messages.ReservedMemory>> {
    return this.#rpc.call(messages.EndAndReserve, request, writeId);
  }

  /** Gives such memory back. */
  giveBack(request: messages.GiveBackRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.GiveBack, request);
  }

  /** `putStart` for many keys. */
  batchPutStart(
    request: messages.BatchStartRequest,
    writeId = 0,
  ): Promise<Expected<ReplicaDescriptor[]>[]> {
    return this.#rpc.call(messages.BatchPutStart, request, writeId);
  }

  /** `putEnd` for many keys. */
  batchPutEnd(request: messages.BatchEndRequest, writeId = 0): Promise<Expected<null>[]> {
    return this.#rpc.call(messages.BatchPutEnd, request, writeId);
  }

  /** `putRevoke` for many keys. */
  batchPutRevoke(request: messages.BatchRevokeRequest, writeId = 0): Promise<Expected<null>[]> {
    return this.#rpc.call(messages.BatchPutRevoke, request, writeId);
  }

  /** Like `putStart`, but for a key that may exist. */
  upsertStart(
    request: messages.StartRequest,
    writeId = 0,
  ): Promise<Expected<ReplicaDescriptor[]>> {
    return this.#rpc.call(messages.UpsertStart, request, writeId);
  }

  /** `putEnd` after `upsertStart`. */
  upsertEnd(request: messages.EndRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.UpsertEnd, request, writeId);
  }

  /** `putRevoke` after `upsertStart`. */
  upsertRevoke(request: messages.RevokeRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.UpsertRevoke, request, writeId);
  }

  /** `upsertStart` for many keys. */
  batchUpsertStart(
    request: messages.BatchStartRequest,
    writeId = 0,
  ): Promise<Expected<ReplicaDescriptor[]>[]> {
    return this.#rpc.call(messages.BatchUpsertStart, request, writeId);
  }

  /** `upsertEnd` for many keys. */
  batchUpsertEnd(
    request: messages.BatchUpsertEndRequest,
    writeId = 0,
  ): Promise<Expected<null>[]> {
    return this.#rpc.call(messages.BatchUpsertEnd, request, writeId);
  }

  /** `upsertRevoke` for many keys. */
  batchUpsertRevoke(
    request: messages.BatchUpsertRevokeRequest,
    writeId = 0,
  ): Promise<Expected<null>[]> {
    return this.#rpc.call(messages.BatchUpsertRevoke, request, writeId);
  }

  // Objects: removing.

  /** Removes an object. `OBJECT_HAS_LEASE` while it is leased and `force` is not set. */
  remove(request: messages.RemoveRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.Remove, request);
  }

  /** `remove` for many keys. */
  batchRemove(request: messages.BatchRemoveRequest): Promise<Expected<null>[]> {
    return this.#rpc.call(messages.BatchRemove, request);
  }

  /** Answers how many objects were removed. */
  removeByRegex(request: messages.RemoveByRegexRequest): Promise<Expected<number>> {
    return this.#rpc.call(messages.RemoveByRegex, request);
  }

  /** Answers how many objects were removed; this call has no way to report an error. */
  removeAll(request: messages.RemoveAllRequest): Promise<number> {
    return this.#rpc.call(messages.RemoveAll, request);
  }

  /** Answers the keys that lost a replica. */
  batchReplicaClear(request: messages.BatchReplicaClearRequest): Promise<Expected<Uint8Array[]>> {
    return this.#rpc.call(messages.BatchReplicaClear, request);
  }

  /** Reports that this client dropped an object from its disk. */
  evictDiskReplica(request: messages.EvictDiskReplicaRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.EvictDiskReplica, request);
  }

  /** `evictDiskReplica` for many keys. */
  batchEvictDiskReplica(
    request: messages.BatchEvictDiskReplicaRequest,
  ): Promise<Expected<null>[]> {
    return this.#rpc.call(messages.BatchEvictDiskReplica, request);
  }

  // Clients and segments.

  /** Answers the version of the protocol; see `checkVersion`. */
  serviceReady(): Promise<Expected<string>> {
    return this.#rpc.call(messages.ServiceReady, null);
  }

  /** Keeps a client alive; answers whether it must mount its segments again. */
  ping(request: messages.ClientRequest): Promise<Expected<PingResponse>> {
    return this.#rpc.call(messages.Ping, request);
  }

  /** The directory of disk replicas; empty = none. */
  getFsdir(): Promise<Expected<string>> {
    return this.#rpc.call(messages.GetFsdir, null);
  }

  /** The directory and the limits of disk replicas. */
  getStorageConfig(): Promise<Expected<StorageConfig>> {
    return this.#rpc.call(messages.GetStorageConfig, null);
  }

  /** The hosts of segments, by client. */
  batchQueryIp(request: messages.ClientsRequest): Promise<Expected<Map<Uuid, string[]>>> {
    return this.#rpc.call(messages.BatchQueryIp, request);
  }

  /** Lends memory to the pool. Repeating it changes nothing. */
  mountSegment(request: messages.MountSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.MountSegment, request);
  }

  /** Answers a `ping` that asked for it, with every segment of the client, even if there is none. */
  reMountSegment(request: messages.ReMountSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.ReMountSegment, request);
  }

  /** Takes memory back at once; what only it held is gone. */
  unmountSegment(request: messages.UnmountSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.UnmountSegment, request);
  }

  /** Takes memory back after a time in which it can still be read. */
  gracefulUnmountSegment(request: messages.GracefulUnmountSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.GracefulUnmountSegment, request);
  }

  /** Answers a `SegmentStatus`. */
  querySegmentStatus(request: messages.SegmentNameRequest): Promise<Expected<number>> {
    return this.#rpc.call(messages.QuerySegmentStatus, request);
  }

  /** Answers a `SegmentStatus`. */
  querySegmentStatusById(request: messages.SegmentIdRequest): Promise<Expected<number>> {
    return this.#rpc.call(messages.QuerySegmentStatusById, request);
  }

  /** Lends an NVMe-oF device to the pool. */
  mountNoFSegment(request: messages.MountNoFSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.MountNoFSegment, request);
  }

  /** `reMountSegment` for NVMe-oF devices. */
  reMountNoFSegment(request: messages.ReMountNoFSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.ReMountNoFSegment, request);
  }

  /** Takes an NVMe-oF device back. */
  unmountNoFSegment(request: messages.UnmountSegmentRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.UnmountNoFSegment, request);
  }

  /** Every NVMe-oF device of the pool. */
  getAllNoFSegments(): Promise<Expected<NoFSegment[]>> {
    return this.#rpc.call(messages.GetAllNoFSegments, null);
  }

  /** The ids and owners of the NVMe-oF devices of one name. */
  getNoFSegmentsByName(
    request: messages.SegmentNameRequest,
  ): Promise<Expected<NoFSegmentOwnerInfo[]>> {
    return this.#rpc.call(messages.GetNoFSegmentsByName, request);
  }

  // Disks of clients.

  /** Lends this client's disk to the pool. `UNABLE_OFFLOAD` when offloading is off. */
  mountLocalDiskSegment(request: messages.OffloadingRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.MountLocalDiskSegment, request);
  }

  /** Takes this client's disk back. */
  unmountLocalDiskSegment(request: messages.ClientRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.UnmountLocalDiskSegment, request);
  }

  /** Answers the objects that this client shall store on its disk. */
  offloadObjectHeartbeat(
    request: messages.OffloadingRequest,
  ): Promise<Expected<OffloadTaskItem[]>> {
    return this.#rpc.call(messages.OffloadObjectHeartbeat, request);
  }

  /** Reports the size of this client's disk. */
  reportSsdCapacity(request: messages.ReportSsdCapacityRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.ReportSsdCapacity, request);
  }

  /** Reports objects as stored on disk, or with `dataSize` -1 as not stored. */
  notifyOffloadSuccess(request: messages.NotifyOffloadSuccessRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.NotifyOffloadSuccess, request);
  }

  /** Answers true once after everything on this client's disk was removed. */
  pollRemoveAll(request: messages.ClientRequest): Promise<Expected<boolean>> {
    return this.#rpc.call(messages.PollRemoveAll, request);
  }

  /** Answers the objects that this client shall load back into memory. */
  promotionObjectHeartbeat(request: messages.ClientRequest): Promise<Expected<OffloadTaskItem[]>> {
    return this.#rpc.call(messages.PromotionObjectHeartbeat, request);
  }

  /** Allocates the memory replica into which an object is to be loaded. */
  promotionAllocStart(
    request: messages.PromotionAllocStartRequest,
  ): Promise<Expected<PromotionAllocStartResponse>> {
    return this.#rpc.call(messages.PromotionAllocStart, request);
  }

  /** Makes the loaded replica readable. */
  notifyPromotionSuccess(request: messages.ClientKeyRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.NotifyPromotionSuccess, request);
  }

  /** Gives the replica that was not loaded back. */
  notifyPromotionFailure(request: messages.ClientKeyRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.NotifyPromotionFailure, request);
  }

  // Copying and moving replicas.

  /** Allocates the targets of a copy and locks the object until the copy ends. */
  copyStart(request: messages.CopyStartRequest, writeId = 0): Promise<Expected<CopyStartResponse>> {
    return this.#rpc.call(messages.CopyStart, request, writeId);
  }

  /** Makes the copies readable. */
  copyEnd(request: messages.ClientKeyRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.CopyEnd, request, writeId);
  }

  /** Gives the copies back. */
  copyRevoke(request: messages.ClientKeyRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.CopyRevoke, request, writeId);
  }

  /** `copyStart` under a lease for replicas made on demand. */
  dynamicReplicaCopyStart(
    request: messages.DynamicReplicaCopyStartRequest,
    writeId = 0,
  ): Promise<Expected<CopyStartResponse>> {
    return this.#rpc.call(messages.DynamicReplicaCopyStart, request, writeId);
  }

  /** `copyEnd` after `dynamicReplicaCopyStart`. */
  dynamicReplicaCopyEnd(
    request: messages.DynamicReplicaCopyRequest,
    writeId = 0,
  ): Promise<Expected<null>> {
    return this.#rpc.call(messages.DynamicReplicaCopyEnd, request, writeId);
  }

  /** `copyRevoke` after `dynamicReplicaCopyStart`. */
  dynamicReplicaCopyRevoke(
    request: messages.DynamicReplicaCopyRequest,
    writeId = 0,
  ): Promise<Expected<null>> {
    return this.#rpc.call(messages.DynamicReplicaCopyRevoke, request, writeId);
  }

  /** Allocates the target of a move and locks the object until the move ends. */
  moveStart(request: messages.MoveStartRequest, writeId = 0): Promise<Expected<MoveStartResponse>> {
    return this.#rpc.call(messages.MoveStart, request, writeId);
  }

  /** Makes the target readable and drops the source. */
  moveEnd(request: messages.ClientKeyRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.MoveEnd, request, writeId);
  }

  /** Gives the target back. */
  moveRevoke(request: messages.ClientKeyRequest, writeId = 0): Promise<Expected<null>> {
    return this.#rpc.call(messages.MoveRevoke, request, writeId);
  }

  /** Answers the id of the new task. */
  createCopyTask(request: messages.CreateCopyTaskRequest): Promise<Expected<Uuid>> {
    return this.#rpc.call(messages.CreateCopyTask, request);
  }

  /** Answers the id of the new task. */
  createMoveTask(request: messages.CreateMoveTaskRequest): Promise<Expected<Uuid>> {
    return this.#rpc.call(messages.CreateMoveTask, request);
  }

  /** The state of a task. */
  queryTask(request: messages.QueryTaskRequest): Promise<Expected<QueryTaskResponse>> {
    return this.#rpc.call(messages.QueryTask, request);
  }

  /** Takes tasks for this client over; `fencesWriters`: also those of type WRITER_FENCE. */
  fetchTasks(
    request: messages.FetchTasksRequest,
    fencesWriters = false,
  ): Promise<Expected<TaskAssignment[]>> {
    return this.#rpc.call(messages.FetchTasks, request, fencesWriters ? FENCES_WRITERS : 0);
  }

  /** Reports the end of a task, good or bad. */
  markTaskToComplete(request: messages.MarkTaskToCompleteRequest): Promise<Expected<null>> {
    return this.#rpc.call(messages.MarkTaskToComplete, request);
  }
}

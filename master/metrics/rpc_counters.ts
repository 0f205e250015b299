/**
 * What the master counts of its calls, in one `Float64Array`.
 *
 * A single call has two numbers, a batch call five; several calls may share a family, as in the
 * reference (observed on its `/metrics`): an upsert counts as a put, BatchRemove as one Remove per key.
 */

/** Calls about one thing: suffix of the metric family, and the calls that count there. */
const SINGLE = {
  exist_key: ["ExistKey"],
  put_start: ["PutStart", "UpsertStart"],
  put_end: ["PutEnd", "UpsertEnd"],
  put_revoke: ["PutRevoke", "UpsertRevoke"],
  get_replica_list: ["GetReplicaList"],
  get_replica_list_by_regex: ["GetReplicaListByRegex"],
  remove: ["Remove", "BatchRemove"],
  remove_by_regex: ["RemoveByRegex"],
  remove_all: ["RemoveAll"],
  mount_segment: ["MountSegment"],
  unmount_segment: ["UnmountSegment", "GracefulUnmountSegment"],
  remount_segment: ["ReMountSegment"],
  ping: ["Ping"],
  copy_start: ["CopyStart"],
  copy_end: ["CopyEnd"],
  copy_revoke: ["CopyRevoke"],
  move_start: ["MoveStart"],
  move_end: ["MoveEnd"],
  move_revoke: ["MoveRevoke"],
  evict_disk_replica: ["EvictDiskReplica", "BatchEvictDiskReplica"],
  create_copy_task: ["CreateCopyTask"],
  create_move_task: ["CreateMoveTask"],
  update_task: ["MarkTaskToComplete"],
  query_task: ["QueryTask"],
  fetch_tasks: ["FetchTasks"],
} as const;

const BATCH = {
  batch_exist_key: ["BatchExistKey"],
  batch_query_ip: ["BatchQueryIp"],
  batch_replica_clear: ["BatchReplicaClear"],
  batch_get_replica_list: ["BatchGetReplicaList"],
  batch_put_start: ["BatchPutStart", "BatchUpsertStart"],
  batch_put_end: ["BatchPutEnd", "BatchUpsertEnd"],
  batch_put_revoke: ["BatchPutRevoke", "BatchUpsertRevoke"],
} as const;

export type SingleFamily = keyof typeof SINGLE;
export type BatchFamily = keyof typeof BATCH;

/** Names of the families of single calls, in the order of their numbers. */
export const singleFamilies = Object.keys(SINGLE) as SingleFamily[];
/** Names of the families of batch calls, likewise. */
export const batchFamilies = Object.keys(BATCH) as BatchFamily[];

/** Where a number lies, counted from the start of its family. */
export const SingleCount = { REQUESTS: 0, FAILURES: 1 } as const;
export const BatchCount = {
  REQUESTS: 0,
  FAILURES: 1,
  PARTIAL_SUCCESSES: 2,
  ITEMS: 3,
  FAILED_ITEMS: 4,
} as const;

const SINGLE_SIZE = Object.keys(SingleCount).length;
const BATCH_SIZE = Object.keys(BatchCount).length;
const BATCH_START = singleFamilies.length * SINGLE_SIZE;

/** How many numbers there are. */
export const RPC_COUNTERS = BATCH_START + batchFamilies.length * BATCH_SIZE;

const startOf: ReadonlyMap<string, number> = new Map([
  ...singleFamilies.map((name, i) => [name, i * SINGLE_SIZE] as const),
  ...batchFamilies.map((name, i) => [name, BATCH_START + i * BATCH_SIZE] as const),
]);

/** Index of a family's first number. */
export function familyStart(family: SingleFamily | BatchFamily): number {
  return startOf.get(family)!;
}

const familyOf: ReadonlyMap<string, SingleFamily | BatchFamily> = new Map([
  ...singleFamilies.flatMap((family) => SINGLE[family].map((rpc) => [rpc, family] as const)),
  ...batchFamilies.flatMap((family) => BATCH[family].map((rpc) => [rpc, family] as const)),
]);

/** Counts the calls of one function in a shared array. */
export interface RpcMeter {
  /** One call was answered: about `items` things, of which `failedItems` got an error. */
  served(items: number, failedItems: number): void;
}

/** The meter of the function `rpc`, or `null` for one that has no metric family. */
export function rpcMeter(counters: Float64Array, rpc: string): RpcMeter | null {
  const family = familyOf.get(rpc);
  if (family === undefined) return null;
  const start = familyStart(family);
  if (start < BATCH_START) {
    return {
      served(items, failedItems) {
        counters[start + SingleCount.REQUESTS] += items;
        counters[start + SingleCount.FAILURES] += failedItems;
      },
    };
  }
  return {
    served(items, failedItems) {
      counters[start + BatchCount.REQUESTS]++;
      counters[start + BatchCount.ITEMS] += items;
      counters[start + BatchCount.FAILED_ITEMS] += failedItems;
      if (failedItems === 0) return;
      const all = failedItems === items;
      counters[start + (all ? BatchCount.FAILURES : BatchCount.PARTIAL_SUCCESSES)]++;
    },
  };
}

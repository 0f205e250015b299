/**
 * Numeric results of the store protocol. The numbers are the reference system's wire values and are
 * equal in every process and language; the ones from -1710 down are ours.
 *
 * @example
 * ```ts ignore
 * const gone = (await client.batchGet(keys)).filter(({ code }) =>
 *   code === ErrorCode.OBJECT_NOT_FOUND
 * );
 * ```
 */
export const ErrorCode = {
  OK: 0,
  INTERNAL_ERROR: -1,
  BUFFER_OVERFLOW: -10,
  SHARD_INDEX_OUT_OF_RANGE: -100,
  SEGMENT_NOT_FOUND: -101,
  SEGMENT_ALREADY_EXISTS: -102,
  CLIENT_NOT_FOUND: -103,
  NO_AVAILABLE_HANDLE: -200,
  INVALID_VERSION: -300,
  INVALID_KEY: -400,
  WRITE_FAIL: -500,
  INVALID_PARAMS: -600,
  ILLEGAL_CLIENT: -601,
  INVALID_WRITE: -700,
  INVALID_READ: -701,
  INVALID_REPLICA: -702,
  REPLICA_IS_NOT_READY: -703,
  OBJECT_NOT_FOUND: -704,
  OBJECT_ALREADY_EXISTS: -705,
  OBJECT_HAS_LEASE: -706,
  LEASE_EXPIRED: -707,
  OBJECT_HAS_REPLICATION_TASK: -708,
  OBJECT_NO_REPLICATION_TASK: -709,
  REPLICA_NOT_FOUND: -710,
  REPLICA_ALREADY_EXISTS: -711,
  REPLICA_IS_GONE: -712,
  REPLICA_NOT_IN_LOCAL_MEMORY: -713,
  OBJECT_REPLICA_BUSY: -714,
  TRANSFER_FAIL: -800,
  CHECKSUM_MISMATCH: -801,
  RPC_FAIL: -900,
  RPC_TIMEOUT: -901,
  ETCD_OPERATION_ERROR: -1000,
  ETCD_KEY_NOT_EXIST: -1001,
  ETCD_TRANSACTION_FAIL: -1002,
  ETCD_CTX_CANCELLED: -1003,
  OPLOG_ENTRY_NOT_FOUND: -1004,
  K8S_LEASE_OPERATION_ERROR: -1005,
  K8S_LEASE_NOT_FOUND: -1006,
  INCOMPLETE_OPLOG_CATCH_UP: -1007,
  UNAVAILABLE_IN_CURRENT_STATUS: -1010,
  UNAVAILABLE_IN_CURRENT_MODE: -1011,
  NOT_SUPPORTED: -1012,
  FILE_NOT_FOUND: -1100,
  FILE_OPEN_FAIL: -1101,
  FILE_READ_FAIL: -1102,
  FILE_WRITE_FAIL: -1103,
  FILE_INVALID_BUFFER: -1104,
  FILE_LOCK_FAIL: -1105,
  FILE_INVALID_HANDLE: -1106,
  BUCKET_NOT_FOUND: -1200,
  BUCKET_ALREADY_EXISTS: -1201,
  KEYS_EXCEED_BUCKET_LIMIT: -1202,
  KEYS_ULTRA_LIMIT: -1203,
  UNABLE_OFFLOAD: -1300,
  UNABLE_OFFLOADING: -1301,
  TASK_NOT_FOUND: -1400,
  TASK_PENDING_LIMIT_EXCEEDED: -1401,
  JOB_NOT_FOUND: -1402,
  SERIALIZE_UNSUPPORTED: -1500,
  SERIALIZE_FAIL: -1501,
  DESERIALIZE_FAIL: -1502,
  PERSISTENT_FAIL: -1503,
  DFS_NETWORK_TIMEOUT: -1600,
  DFS_SERVICE_UNAVAILABLE: -1601,
  DFS_QUOTA_EXCEEDED: -1602,
  DFS_PERMISSION_DENIED: -1603,
  DFS_STALE_HANDLE: -1604,
  DFS_PARTIAL_WRITE: -1605,
  TENANT_QUOTA_EXCEEDED: -1700,
  TENANT_NOT_REGISTERED: -1701,
  TENANT_NOT_EMPTY: -1702,
  UNAUTHENTICATED: -1710,
  PERMISSION_DENIED: -1711,
  RATE_LIMITED: -1712,
  DEADLINE_EXCEEDED: -1720,
  STORE_SUSPECTED: -1721,
  FENCED_GENERATION: -1722,
  CANCELLED: -1723,
} as const;

/** One of the values of {@linkcode ErrorCode}. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

const names = new Map<number, string>(
  Object.entries(ErrorCode).map(([name, code]) => [code, name]),
);

/**
 * The name of a code, or `UNKNOWN_ERROR(<code>)` for a number outside the table.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { errorName } from "./error_code.ts";
 *
 * assert.equal(errorName(-704), "OBJECT_NOT_FOUND");
 * ```
 */
export function errorName(code: number): string {
  return names.get(code) ?? `UNKNOWN_ERROR(${code})`;
}

/** Which calls may be sent again to another leader, and how. */
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { Expected, Rpc } from "../../proto/messages.ts";
import { ReplicaType } from "../../proto/types.ts";

/**
 * What may be done with a call that was sent and not answered.
 *
 * - `read`: it changes nothing, and is sent again.
 * - `finish`: it ends or revokes a write that has a number, so a second one can meet no other write.
 * - `start`: it begins a numbered write, which is revoked at the new leader before it is begun again.
 * - `never`: it may have been done, and doing it twice is something else.
 */
export type Resend = "read" | "finish" | "start" | "never";

const reads: ReadonlySet<number> = new Set(
  [
    ...[m.ExistKey, m.BatchExistKey, m.GetReplicaList, m.BatchGetReplicaList],
    ...[m.GetReplicaListByRegex, m.ServiceReady, m.GetFsdir, m.GetStorageConfig, m.BatchQueryIp],
    ...[m.QuerySegmentStatus, m.QuerySegmentStatusById, m.QueryTask],
  ].map(({ functionId }) => functionId),
);

const finishes: ReadonlySet<number> = new Set(
  [
    ...[m.PutEnd, m.UpsertEnd, m.BatchPutEnd, m.BatchUpsertEnd, m.EndAndReserve],
    ...[m.PutRevoke, m.UpsertRevoke, m.BatchPutRevoke, m.BatchUpsertRevoke],
  ].map(({ functionId }) => functionId),
);

/** A call that takes back what a start may have begun. */
export interface Revocation {
  readonly rpc: Rpc<unknown, unknown>;
  readonly request: unknown;
}

const revocations = new Map<number, (request: unknown) => Revocation>();

function revokedBy<Q, R>(
  start: Rpc<Q, unknown>,
  rpc: Rpc<R, unknown>,
  requestOf: (request: Q) => R,
): void {
  revocations.set(start.functionId, (request) => ({
    rpc: rpc as Rpc<unknown, unknown>,
    request: requestOf(request as Q),
  }));
}

const one = ({ clientId, key, tenantId }: m.StartRequest): m.RevokeRequest => {
  return { clientId, key, tenantId, replicaType: ReplicaType.ALL };
};
revokedBy(m.PutStart, m.PutRevoke, one);
revokedBy(m.UpsertStart, m.UpsertRevoke, one);
revokedBy(
  m.BatchPutStart,
  m.BatchPutRevoke,
  ({ clientId, keys, tenantId }) => ({ clientId, keys, tenantId, replicaType: ReplicaType.ALL }),
);
revokedBy(
  m.BatchUpsertStart,
  m.BatchUpsertRevoke,
  ({ clientId, keys, tenantId }) => ({ clientId, keys, tenantId }),
);

export function resendOf({ functionId }: { functionId: number }, writeId: number): Resend {
  if (reads.has(functionId)) return "read";
  if (writeId === 0) return "never";
  if (finishes.has(functionId)) return "finish";
  return revocations.has(functionId) ? "start" : "never";
}

/** What takes back a write whose start has the kind `start`. */
export function revocationOf({ functionId }: { functionId: number }, request: unknown): Revocation {
  return revocations.get(functionId)!(request);
}

/**
 * The answer to an end that was sent twice: only success is certain. Anything else may mean that the
 * first one was done, so it is what is known of a call without an answer: `RPC_FAIL`. `null` when
 * nothing of it is certain.
 */
export function certain<R>(answer: R): R | null {
  if (!Array.isArray(answer)) return isOk(answer as Expected<unknown>) ? answer : null;
  return answer.map((item: Expected<unknown>) =>
    isOk(item) ? item : { code: ErrorCode.RPC_FAIL, value: null }
  ) as R;
}

function isOk({ code }: Expected<unknown>): boolean {
  return code === ErrorCode.OK;
}

import { StoreError } from "../proto/error.ts";
import { ReplicaType } from "../proto/types.ts";
import type { StoreContext } from "./context.ts";
import type { WriteKind } from "./write.ts";

/**
 * Passes on what a call resolves with. When the call fails, nobody knows whether the write goes on at
 * the master; it is revoked then, so that it does not stand in the way of others, without waiting.
 */
export function orRevoke<T>(
  store: StoreContext,
  kind: WriteKind,
  key: Uint8Array,
  writeId: number,
  call: Promise<T>,
): Promise<T> {
  if (writeId === 0) return call;
  return call.catch((error) => {
    void revoke(store, kind, key, writeId, ReplicaType.ALL);
    throw error;
  });
}

/** Gives unfinished replicas back. The master does so by itself later when it cannot be told. */
export async function revoke(
  store: StoreContext,
  kind: WriteKind,
  key: Uint8Array,
  writeId: number,
  replicaType: ReplicaType,
): Promise<void> {
  const { master, clientId, tenantId } = store;
  const request = { clientId, key, replicaType, tenantId };
  try {
    await (kind === "put"
      ? master.putRevoke(request, writeId)
      : master.upsertRevoke(request, writeId));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
}

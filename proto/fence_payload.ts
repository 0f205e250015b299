/** The document of a task of type WRITER_FENCE. */
import type { Uuid } from "./types.ts";

/** What a node is to keep a writer out of. */
export interface FencePayload {
  /** Remote address of the first byte, in the window that the writer was given. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  /** How long, from when the node does it. */
  readonly keepMs: number;
  /** Client that may still write, "0-0" = it is not known. */
  readonly writer: Uuid;
}

export function fencePayload({ address, length, keepMs, writer }: FencePayload): string {
  return JSON.stringify({ address: String(address), length, keep_ms: keepMs, writer });
}

/** Reads what {@linkcode fencePayload} wrote; `null` when it is something else. */
export function readFencePayload(text: string): FencePayload | null {
  try {
    const { address, length, keep_ms: keepMs, writer } = JSON.parse(text);
    const fits = typeof address === "string" && /^[0-9]{1,20}$/.test(address) &&
      Number.isSafeInteger(length) && length > 0 && Number.isSafeInteger(keepMs) && keepMs > 0 &&
      typeof writer === "string" && /^[0-9]+-[0-9]+$/.test(writer);
    return fits ? { address: BigInt(address), length, keepMs, writer } : null;
  } catch {
    return null;
  }
}

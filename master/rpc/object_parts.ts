/** Parts that the requests and answers of calls about objects share, read and written in place. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { Rpc } from "../../proto/messages.ts";
import { beginBody } from "../../proto/struct_pack/codec.ts";
import type { Reader } from "../../proto/struct_pack/reader.ts";
import { type SizeWidth, widthFor, type Writer } from "../../proto/struct_pack/writer.ts";
import type { MasterCore } from "../core/core.ts";
import { type Call, Outcome } from "./call.ts";
import type { KeyList } from "./key_list.ts";
import type { TenantAccess, TenantDoor } from "./tenant_door.ts";

/** Reads one key, or the keys of a batch. */
export function takeKeys(keys: KeyList, reader: Reader, batch: boolean): void {
  if (batch) keys.readKeys(reader);
  else keys.readKey(reader);
}

/**
 * Reads the tenant, the last argument of every call about objects, and returns its index, or a
 * negative code for {@linkcode refuseAll}.
 */
export function takeTenant(door: TenantDoor, reader: Reader, access: TenantAccess): number {
  const length = reader.length();
  const start = reader.skip(length);
  reader.expectEnd();
  return door.enter(reader.bytes, start, start + length, access);
}

/** How a call counts for the limits of its tenant. */
export const Metered = {
  /** By its keys. */
  KEYS: false,
  /** By its keys, and by the bytes of the objects that it is about. */
  BYTES: true,
} as const;

/**
 * Holds a call about `keys` keys to the limits of its tenant: the tenant, or RATE_LIMITED, which answers
 * the call for each of its keys. A negative code that is known already stays.
 */
export function metered(
  core: MasterCore,
  call: Call,
  tenant: number,
  keys: number,
  by: boolean,
): number {
  if (tenant < 0 || call.hasWaited) return tenant;
  return core.tenants.admit(tenant, keys, by, call.nowMs);
}

/** Answers a call with the same code for each of its keys that is not answered yet. */
export function refuseAll<Q, R>(
  call: Call,
  rpc: Rpc<Q, R>,
  batch: boolean,
  items: number,
  code: number,
): Outcome {
  if (call.resumeAt === 0) beginList(call, rpc, batch, items, widthFor(items));
  for (let i = call.resumeAt; i < items; i++) {
    writeError(call.replies.writer, code);
    count(call, code);
  }
  return Outcome.DONE;
}

/** Begins an answer; that of a batch says how many items it holds. */
export function beginList<Q, R>(
  { replies: { writer } }: Call,
  rpc: Rpc<Q, R>,
  batch: boolean,
  items: number,
  width: SizeWidth,
): void {
  beginBody(writer, rpc.response, width, false);
  if (batch) writer.size(items);
}

/** Whether a call goes on with item `i`, of which the core says this, when readers have let go of it. */
export function awaitsReaders(call: Call, code: number, i: number): boolean {
  if (code !== ErrorCode.OBJECT_REPLICA_BUSY || !call.mayAwaitReaders) return false;
  call.resumeAt = i;
  if (i === 0) call.replies.restartBody();
  return true;
}

/** Counts one thing that was answered with a code; negative = it failed. */
export function count(call: Call, code: number): void {
  call.items++;
  if (code < 0) call.failedItems++;
}

/** `expected<bool>` from 1, 0 or a negative code. */
export function writeFlag(writer: Writer, code: number): void {
  if (code < 0) return writeError(writer, code);
  writer.u8(1);
  writer.u8(code);
}

/** `expected<void>` from 0 or a negative code. */
export function writeDone(writer: Writer, code: number): void {
  if (code < 0) return writeError(writer, code);
  writer.u8(1);
}

/** The error side of an `expected`. */
export function writeError(writer: Writer, code: number): void {
  writer.u8(0);
  writer.i32(code);
}

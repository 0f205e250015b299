import { type ErrorCode, errorName } from "./error_code.ts";

/**
 * A failure the caller is expected to handle; `code` is the wire value, equal in every process.
 *
 * @example
 * ```ts ignore
 * try {
 *   await client.remove("layer/0");
 * } catch (error) {
 *   if (error instanceof StoreError && error.code === ErrorCode.OBJECT_HAS_LEASE) await retryLater();
 *   else throw error;
 * }
 * ```
 */
export class StoreError extends Error {
  /** Always `StoreError`. */
  override readonly name = "StoreError";

  /** `message` says what could not be done; the code's name and number are appended. */
  constructor(
    /** What went wrong, as a wire value. */
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${message} (${errorName(code)} ${code})`, options);
  }
}

/** Bytes from a peer that do not follow the protocol. Never thrown for a caller's own mistake. */
export class ProtocolError extends Error {
  /** Always `ProtocolError`. */
  override readonly name = "ProtocolError";
}

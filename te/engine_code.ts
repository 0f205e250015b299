/**
 * Results of a transfer engine; the numbers are the reference engine's, but for the last two.
 *
 * @example
 * ```ts ignore
 * if (codes[0] === EngineCode.ADDRESS_NOT_REGISTERED) await segment.refresh();
 * ```
 */
export const EngineCode = {
  OK: 0,
  INVALID_ARGUMENT: -1,
  TOO_MANY_REQUESTS: -2,
  /** The range does not lie inside one region: the peer's, or one of this engine. */
  ADDRESS_NOT_REGISTERED: -3,
  /** The library or device of a transport is missing. */
  DEVICE_NOT_FOUND: -6,
  /** The memory is registered already, in whole or in part. */
  ADDRESS_OVERLAPPED: -7,
  /** The peer's host name could not be resolved. */
  DNS: -101,
  /** The connection ended before the operation did, or the segment was closed. */
  SOCKET: -102,
  MALFORMED_JSON: -103,
  /** The peer refused a handshake or a notification. */
  REJECT_HANDSHAKE: -104,
  /** The metadata service has no such segment, or cannot be asked. */
  METADATA: -200,
  /** No connection to the peer could be made. */
  ENDPOINT: -201,
  /** There is not enough memory. */
  MEMORY: -302,
  /** This build has no such transport. */
  NOT_IMPLEMENTED: -303,
  /** Ours: the deadline passed before the operation completed. */
  TIMEOUT: -1720,
  /** Ours: the caller gave it up before it began. */
  CANCELLED: -1723,
} as const;
/** One of the numbers of the const of that name. */
export type EngineCode = (typeof EngineCode)[keyof typeof EngineCode];

/**
 * A call of a transfer engine that failed. What moves bytes returns codes instead.
 *
 * @example
 * ```ts ignore
 * try {
 *   await engine.openSegment("10.0.0.7:15001");
 * } catch (error) {
 *   if (error instanceof EngineError && error.code === EngineCode.METADATA) retryLater();
 * }
 * ```
 */
export class EngineError extends Error {
  /** Name of the class. */
  override readonly name = "EngineError";

  /** `code` is not `OK`; `message` is one line. */
  constructor(readonly code: EngineCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

import { errnoName } from "./errno.ts";

/** A call into the shim that answered `-errno`. */
export class NativeError extends Error {
  override readonly name = "NativeError";

  constructor(readonly symbol: string, readonly errno: number, options?: ErrorOptions) {
    super(`${symbol} failed: ${errnoName(errno)}`, options);
  }
}

/** Returns a result of the shim, or throws {@linkcode NativeError} when it is `-errno`. */
export function checked(symbol: string, result: number): number {
  if (result < 0) throw new NativeError(symbol, -result);
  return result;
}

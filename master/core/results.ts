import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";

/** A successful `expected`. */
export function ok<T>(value: T): Expected<T> {
  return { code: ErrorCode.OK, value };
}

/** A failed `expected`. */
export function failed<T>(code: ErrorCode): Expected<T> {
  return { code, value: null };
}

/** `null` as SEGMENT_NOT_FOUND. */
export function orMissing<T>(value: T | null): Expected<T> {
  return value === null ? failed(ErrorCode.SEGMENT_NOT_FOUND) : ok(value);
}

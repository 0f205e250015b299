/** The errors of calls about one object; their texts are only built when they are needed. */
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Expected } from "../proto/messages.ts";
import { showKey } from "./key.ts";

/** A failure to do something (`verb`: read, store, ...) with an object, and why. */
export function objectError(code: number, verb: string, key: Uint8Array, why = ""): StoreError {
  const message = `Cannot ${verb} ${showKey(key)}`;
  return new StoreError(code as ErrorCode, why === "" ? message : `${message}: ${why}`);
}

/** Refuses the empty key, which no object has. */
export function checkKey(key: Uint8Array, verb: string): void {
  if (key.length > 0) return;
  throw objectError(ErrorCode.INVALID_PARAMS, verb, key, "the key is empty");
}

/** The value of an answer; its code as `StoreError` when it is an error. */
export function answerValue<T>(answer: Expected<T>, verb: string, key: Uint8Array): T {
  if (answer.code !== ErrorCode.OK) throw objectError(answer.code, verb, key);
  return answer.value as T;
}

/** Values that say in every 16 bytes whose they are, and the memory of which were ever ended. */
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";

/** Bytes of a stamp: key, version, place and length, 32 bits each. */
export const STAMP_BYTES = 16;
const WORDS = STAMP_BYTES / 4;

/** A value of `length` bytes, a multiple of {@linkcode STAMP_BYTES}. */
export function stamped(key: number, version: number, length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  for (let at = 0; at < words.length; at += WORDS) {
    words[at] = key;
    words[at + 1] = version;
    words[at + 2] = at;
    words[at + 3] = length;
  }
  return new Uint8Array(words.buffer);
}

/** Which version of a key a value is; `null` when it is none, or a mix. */
export function versionIn(key: number, value: Uint8Array): number | null {
  if (value.length < STAMP_BYTES || value.length % STAMP_BYTES !== 0) return null;
  const words = new Uint32Array(value.buffer, value.byteOffset, value.length / 4);
  const version = words[1];
  for (let at = 0; at < words.length; at += WORDS) {
    const isRight = words[at] === key && words[at + 1] === version && words[at + 2] === at &&
      words[at + 3] === value.length;
    if (!isRight) return null;
  }
  return version;
}

/** Codes after which nobody knows what the master did with a write. */
const UNANSWERED: ReadonlySet<number> = new Set([ErrorCode.RPC_FAIL, ErrorCode.RPC_TIMEOUT]);

/** What came of a read: bytes of a write that ended, none, an error, or other bytes. */
export type ReadResult = "right" | "missing" | "errors" | "wrong";

/** Numbers the writes of one process and judges what is read. */
export class Ledger {
  readonly #refused = new Set<number>();
  #last: number;
  /** Writes that were acknowledged, and those that failed. */
  ended = 0;
  failed = 0;
  /** Calls that failed, by the name of their error. */
  readonly failures: Record<string, number> = {};
  /** Reads by what came of them. */
  right = 0;
  missing = 0;
  errors = 0;
  wrong = 0;
  /** What was wrong, of the first few. */
  readonly complaints: string[] = [];

  /** Numbers begin behind `first`, so that processes have different ones. */
  constructor(first: number) {
    this.#last = first;
  }

  /** Runs a write of a new version; resolves with whether it was acknowledged. */
  async write(write: (version: number) => Promise<unknown>): Promise<boolean> {
    const version = ++this.#last;
    try {
      await write(version);
      this.ended++;
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.failed++;
      this.#note("write", error);
      if (!UNANSWERED.has(error.code)) this.#refused.add(version);
      return false;
    }
  }

  /** Runs a read of a key and judges its bytes: one version from end to end, of a write that ended. */
  async read(key: number, read: () => Promise<Uint8Array | null>): Promise<ReadResult> {
    const result = await this.#judged(key, read);
    this[result]++;
    return result;
  }

  async #judged(key: number, read: () => Promise<Uint8Array | null>): Promise<ReadResult> {
    let value: Uint8Array | null;
    try {
      value = await read();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#note("read", error);
      return "errors";
    }
    if (value === null) return "missing";
    const version = versionIn(key, value);
    if (version !== null && !this.#refused.has(version)) return "right";
    const what = version === null ? "bytes of others" : `version ${version}, which was not ended`;
    if (this.complaints.length < 10) this.complaints.push(`key ${key}: ${what}`);
    return "wrong";
  }

  #note(call: string, { code }: StoreError): void {
    const name = `${call} ${errorName(code)}`;
    this.failures[name] = (this.failures[name] ?? 0) + 1;
  }
}

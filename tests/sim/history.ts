/** What users were told about each key, and what a read may therefore return. */

/** A value that somebody tried to store. */
export interface WriteRecord {
  readonly id: number;
  readonly key: string;
  readonly size: number;
  readonly startMs: number;
  endMs: number;
  /** `unknown`: nobody can say whether it took effect, or it is still going on. */
  outcome: "unknown" | "stored" | "exists" | "failed";
  /** Somebody has read it. */
  seen: boolean;
}

/** Something acknowledged after which older values of a key must not be seen. */
interface Supersession {
  readonly startMs: number;
  readonly endMs: number;
  readonly what: string;
}

/** Bytes that begin a value and name it. */
const ID_BYTES = 4;

/**
 * The history of a world, and the judge of what is read in it.
 *
 * The bytes of a value follow from its number, so a read that mixes two of them, or returns that of
 * another key, shows. Per key the store must be linearizable, except that a value may vanish at any
 * time: evicted, or lost with a node. What was read once is not older than what is read later.
 */
export class History {
  /** By number, from 1: memory that was never written names nobody. */
  readonly #writes = new Map<number, WriteRecord>();
  readonly #supersessions = new Map<string, Supersession[]>();
  /** Reads that returned a value. */
  hits = 0;
  misses = 0;
  /** Writes that were acknowledged. */
  stored = 0;

  beginWrite(key: string, size: number, nowMs: number): WriteRecord {
    const record: WriteRecord = {
      ...{ id: this.#writes.size + 1, key, size },
      ...{ startMs: nowMs, endMs: Infinity, outcome: "unknown", seen: false },
    };
    this.#writes.set(record.id, record);
    return record;
  }

  endWrite(record: WriteRecord, outcome: WriteRecord["outcome"], nowMs: number): void {
    record.outcome = outcome;
    if (outcome === "unknown") return;
    record.endMs = nowMs;
    if (outcome !== "stored") return;
    this.stored++;
    this.#supersede(record.key, record.startMs, nowMs, `the write of value ${record.id}`);
  }

  /** Notes a removal that was acknowledged. */
  removed(key: string, startMs: number, endMs: number): void {
    this.#supersede(key, startMs, endMs, "a removal");
  }

  /** The bytes of a value. */
  bytesOf({ id, size }: WriteRecord): Uint8Array {
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i++) bytes[i] = byteAt(id, i);
    return bytes;
  }

  /** Throws when a user must not have read these bytes under a key between two times. */
  checkRead(key: string, bytes: Uint8Array, startMs: number, endMs: number): void {
    this.hits++;
    const id = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24;
    const write = this.#writes.get(id);
    const told = `a read of ${key} from ${startMs} to ${endMs}`;
    if (write === undefined) throw new Error(`${told} returned bytes that nobody wrote`);
    const what = `value ${id}, written from ${write.startMs} to ${write.endMs}`;
    if (write.key !== key) throw new Error(`${told} returned ${what} under ${write.key}`);
    if (write.size !== bytes.length) {
      throw new Error(`${told} returned ${bytes.length} bytes of ${what} with ${write.size}`);
    }
    for (let i = ID_BYTES; i < bytes.length; i++) {
      if (bytes[i] === byteAt(id, i)) continue;
      throw new Error(`${told} returned ${what}, with something else from byte ${i} on`);
    }
    if (write.outcome === "failed" || write.outcome === "exists") {
      throw new Error(`${told} returned ${what}, whose writer was told that it is not there`);
    }
    for (const later of this.#supersessions.get(key) ?? []) {
      if (later.startMs <= write.endMs || later.endMs >= startMs) continue;
      throw new Error(
        `${told} returned ${what}, after ${later.what} from ${later.startMs} to ${later.endMs}`,
      );
    }
    // Whatever its writer was told: what was seen has taken effect.
    if (write.seen) return;
    write.seen = true;
    this.#supersede(key, write.startMs, endMs, `a read of value ${id}`);
  }

  #supersede(key: string, startMs: number, endMs: number, what: string): void {
    const known = this.#supersessions.get(key);
    if (known === undefined) this.#supersessions.set(key, [{ startMs, endMs, what }]);
    else known.push({ startMs, endMs, what });
  }
}

function byteAt(id: number, i: number): number {
  if (i < ID_BYTES) return id >>> (i * 8) & 255;
  return (Math.imul(id + 1, 0x9e3779b1) >>> 13) + i * 7 & 255;
}

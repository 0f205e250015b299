/** A client that has read an object once, and what the master and its peers say the next time. */
import assert from "node:assert/strict";
import { crc32c } from "../../proto/crc32c.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { objectChecksum } from "../../proto/object_checksum.ts";
import type { ReplicaDescriptor, ReplicaList } from "../../proto/types.ts";
import { replica, StoreFixture } from "./store_context.ts";
import { readBatch } from "../../client/batch_read.ts";
import type { StoreContext } from "../../client/context.ts";
import { KnownPlaces } from "../../client/known_places.ts";
import { readObject } from "../../client/read.ts";
import type { Region } from "../../client/transfer/engine.ts";

export const A = "10.0.0.2:9";
export const B = "10.0.0.3:9";
export const key = new TextEncoder().encode("k");
export const OLD = Uint8Array.of(1, 2, 3, 4);
export const NEW = Uint8Array.of(5, 6, 7, 8);
export const missing = { code: ErrorCode.OBJECT_NOT_FOUND, value: null };

export type Answer = { code: number; value: ReplicaList | null };

/** A client that has read the object `k` once, at `A`, and can be asked to do so again. */
export class Known {
  readonly t = new StoreFixture();
  store: StoreContext = this.t.store;
  /** What the next look-ups promise of the object, 0 = nothing. */
  holdMs = 0;
  readonly regions = new Map<string, Region>();
  /** The answer to the next look-ups. */
  answer!: () => Answer | Promise<Answer>;
  /** One byte longer than the object. */
  readonly target = new Uint8Array(OLD.length + 1).fill(9);

  /** Without a read when that is asked for. With `holdMs` it takes holds, and begins nothing early. */
  static async open(names = [A], read = true, holdMs = 0): Promise<Known> {
    const known = new Known();
    known.holdMs = holdMs;
    if (holdMs > 0) known.store = { ...known.store, places: new KnownPlaces("off", true) };
    for (const name of [A, B]) {
      const { region } = await known.t.peer(name);
      region.bytes.set(OLD);
      known.regions.set(name, region);
    }
    const { t } = known;
    const answer = known.list(OLD, names.map((name, i) => known.at(name, 0, i + 1)));
    known.answer = () => answer;
    const promising = async () => {
      const { code, value } = await known.answer();
      const { holdMs } = known;
      return { code, value: value === null || holdMs === 0 ? value : { ...value, holdMs } };
    };
    t.answers = {
      GetReplicaList: promising,
      BatchGetReplicaList: async ({ keys }: { keys: unknown[] }) => {
        const one = await promising();
        return keys.map(() => one);
      },
    };
    if (read) assert.equal(await known.read(), true);
    known.target.fill(9);
    return known;
  }

  at(name: string, offset = 0, id = 1, size = OLD.length): ReplicaDescriptor {
    return { ...replica(name, this.regions.get(name)!, size, offset), id };
  }

  list(bytes: Uint8Array, replicas: ReplicaDescriptor[]): Answer {
    const sum = objectChecksum(crc32c(bytes, 0, bytes.length));
    return { code: 0, value: { replicas, leaseTtlMs: 10_000, objectChecksum: sum } };
  }

  /** Operations that peers have been asked for. */
  get moved(): number {
    return this.t.engine.batches.flat().length;
  }

  get asked(): number {
    return this.t.calls.length;
  }

  get counts(): number[] {
    const { begun, used } = this.store.places;
    return [begun, used];
  }

  read(store: StoreContext = this.store): Promise<boolean> {
    const local = this.target;
    return readObject(store, key, (length) => {
      if (length > local.length) throw new StoreError(ErrorCode.INVALID_PARAMS, "too long");
      return [{ offset: 0, length, local, localOffset: 0 }];
    });
  }

  async readInBatch(store: StoreContext = this.store): Promise<boolean> {
    const local = this.target;
    const [code] = await readBatch(store, [key], (_, length) => [
      { offset: 0, length, local, localOffset: 0 },
    ]);
    if (code !== 0 && code !== ErrorCode.OBJECT_NOT_FOUND) {
      throw new StoreError(code as ErrorCode, "the batch says so");
    }
    return code === 0;
  }

  /** Both ways to read, each with a client of its own. */
  static async ways(
    test: (known: Known, read: () => Promise<boolean>) => Promise<void>,
    { names = [A], holdMs = 0 } = {},
  ) {
    for (const way of ["read", "readInBatch"] as const) {
      const known = await Known.open(names, true, holdMs);
      await test(known, () => known[way]());
    }
  }

  /** Moves the time on until `work` has settled; how long that took. */
  async settled(work: Promise<unknown>): Promise<number> {
    const { clock } = this.t;
    const begun = clock.now();
    let done = false;
    void work.catch(() => {}).then(() => done = true);
    while (!done && clock.now() - begun < 60_000) await clock.advance(1);
    assert(done, "it never settled");
    return clock.now() - begun;
  }
}

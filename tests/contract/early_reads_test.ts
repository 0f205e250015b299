// Goal: a get that begins before the master has answered returns what a get that waits would: the value
// of now, or a miss, whatever others have done with the object and its memory.
// Method: real masters, nodes and clients on each engine; a reader that knows where objects were, while
// a writer removes them, puts them again and has their memory used by others.
import assert from "node:assert/strict";
import type { StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { StoreError } from "../../proto/error.ts";
import { LazyMaster, ourMaster, referenceMaster } from "../support/masters.ts";
import { until } from "../support/until.ts";
import { pattern } from "./store_suite.ts";

const KIB = 1 << 10;
const SIZES = [33 * KIB, 100 * KIB, 3 << 20];
const ROUNDS = 60;
const library = openLibrary();
const noShim = "unavailable" in library ? `the C shim: ${library.unavailable}` : null;
const masters: LazyMaster[] = [];
Deno.test.afterAll(async () => {
  for (const master of masters) await master.stop();
});

let scope = 0;

/** A node and two clients of one master. */
class Pair implements AsyncDisposable {
  readonly name = `early${++scope}`;
  readonly #stack = new AsyncDisposableStack();

  private constructor(readonly writer: StoreClient, readonly reader: StoreClient) {}

  static async open(options: StoreOptions, lends = true): Promise<Pair> {
    await using stack = new AsyncDisposableStack();
    const connect = async (more: StoreOptions) =>
      stack.use(
        await StoreClient.connect({ ...options, earlyReads: "on", heldReads: "off", ...more }),
      );
    if (lends) await connect({ globalSegmentSize: "32mb" });
    const pair = new Pair(await connect({}), await connect({}));
    pair.#stack.use(stack.move());
    return pair;
  }

  /** Reads that began early, and those of them that were used, during `work`. */
  async counted(work: () => Promise<void>): Promise<[begun: number, used: number]> {
    const before = this.reader.earlyReads;
    await work();
    const { begun, used } = this.reader.earlyReads;
    return [begun - before.begun, used - before.used];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

for (const kind of [ourMaster, referenceMaster]) {
  const master = new LazyMaster(kind);
  masters.push(master);
  for (const engine of ["native", "native, TCP only", "typescript"] as const) {
    const missing = kind.missing ?? (engine === "typescript" ? null : noShim);
    const test = (name: string, fn: (pair: Pair) => Promise<void>, lends = true) =>
      Deno.test({
        name: `${name}, ${kind.name}, ${engine} engine${missing ? ` (skipped: ${missing})` : ""}`,
        ignore: missing !== null,
        fn: async () => {
          const { address } = await master.get();
          await using pair = await Pair.open({
            masterServerAddress: address,
            engine: engine === "typescript" ? engine : "native",
            forceTcp: engine !== "native",
          }, lends);
          await fn(pair);
        },
      });

    test("known objects are read early, alone and in batches", async (pair) => {
      const { name, writer, reader } = pair;
      const keys = SIZES.map((size) => `${name}/${size}`);
      for (const [i, size] of SIZES.entries()) await writer.put(keys[i], pattern(size));
      using buffer = reader.allocateBuffer(SIZES.at(-1)!);
      const check = async () => {
        for (const [i, size] of SIZES.entries()) {
          buffer.bytes.fill(0);
          assert.equal(await reader.getInto(keys[i], buffer), size);
          assert.deepEqual(buffer.bytes.subarray(0, size), pattern(size));
        }
        const targets = SIZES.map((size) => new Uint8Array(size));
        const batch = await reader.batchGetInto(
          keys.map((key, i) => ({ key, target: targets[i] })),
        );
        assert.deepEqual(batch.map(({ value }) => value), SIZES);
        assert.deepEqual(targets, SIZES.map((size) => pattern(size)));
      };
      assert.deepEqual(await pair.counted(check), [SIZES.length, SIZES.length]);
      assert.deepEqual(await pair.counted(check), [2 * SIZES.length, 2 * SIZES.length]);
      const waits = async () => {
        for (const [i, size] of SIZES.entries()) {
          assert.deepEqual(await reader.get(keys[i]), pattern(size));
        }
      };
      assert.deepEqual(await pair.counted(waits), [0, 0], "memory is made when the size is known");
    });

    test("the answer decides, not what is remembered", async (pair) => {
      const { name, writer, reader } = pair;
      const target = new Uint8Array(100 * KIB);
      for (let round = 0; round < ROUNDS; round++) {
        const key = `${name}/${round % 3}`;
        const size = round % 2 === 0 ? 100 * KIB : 64 * KIB + round;
        // The place of the last round is known; by now it may hold another object.
        await writer.remove(key, { force: true }).catch((error) => {
          if (!(error instanceof StoreError)) throw error;
        });
        target.fill(7);
        assert.equal(await reader.getInto(key, target), null);
        assert(target.every((byte) => byte === 7) || target.subarray(0, 64 * KIB).every(isZero));
        await writer.put(`${name}/other/${round}`, pattern(size, 200));
        await writer.put(key, pattern(size, round));
        const into = target.subarray(0, size);
        const read = () => reader.getInto(key, into);
        assert.equal(await read(), size);
        assert.deepEqual(into, pattern(size, round));
        await writer.upsert(key, pattern(size, round + 100));
        const [{ value }] = await reader.batchGetInto([{ key, target: into }]);
        assert.equal(value, size);
        assert.deepEqual(into, pattern(size, round + 100));
        into.fill(0);
        assert.equal(await read(), size);
        assert.deepEqual(into, pattern(size, round + 100));
      }
      assert.equal(reader.checksumMismatches, 0);
    });

    test("a reader that races with upserts of one size never goes back", async (pair) => {
      const { name, writer, reader } = pair;
      const size = 200 * KIB;
      const versions = Array.from({ length: ROUNDS }, (_, i) => {
        const value = pattern(size, i);
        new DataView(value.buffer).setUint32(0, i);
        return value;
      });
      await writer.upsert(name, versions[0]);
      let written = 0;
      const read = async () => {
        let seen = 0;
        const target = new Uint8Array(size);
        while (written < ROUNDS - 1) {
          const least = written;
          const found = await reader.getInto(name, target);
          if (found === null) continue;
          const version = new DataView(target.buffer).getUint32(0);
          assert(version >= least && version >= seen, `${version} after ${least} and ${seen}`);
          assert.deepEqual(target, versions[version]);
          seen = version;
        }
      };
      const write = async () => {
        for (let i = 1; i < ROUNDS; i++) {
          // Let the reader know the place before it changes.
          const { used } = reader.earlyReads;
          await until(() => reader.earlyReads.used > used);
          await writer.upsert(name, versions[i]);
          written = i;
        }
      };
      await Promise.all([read(), write()]);
      const { begun, used } = reader.earlyReads;
      assert(begun > used, `all of ${begun} early reads were confirmed`);
    });
  }

  Deno.test({
    name: `a known object on a node that was killed, ${kind.name}`,
    ignore: kind.missing !== null,
    fn: async () => {
      const { address } = await master.get();
      const node = await startNode(address, 64 << 20);
      try {
        await using pair = await Pair.open({
          ...{ masterServerAddress: address, transferTimeoutMs: 2000 },
        }, false);
        const { name, writer, reader } = pair;
        await writer.put(name, pattern(100 * KIB));
        const target = new Uint8Array(100 * KIB);
        for (let i = 0; i < 2; i++) {
          assert.equal(await reader.getInto(name, target), target.length);
          assert.deepEqual(target, pattern(100 * KIB));
        }
        await node.stop("SIGKILL");
        const value = await reader.getInto(name, target).catch((error) => {
          if (!(error instanceof StoreError)) throw error;
          return null;
        });
        assert.equal(value, null);
      } finally {
        await node.stop("SIGKILL");
      }
    },
  });
}

function isZero(byte: number): boolean {
  return byte === 0;
}

// Goal: a read by our client gives the bytes that were written, or a miss, whatever became of the
// memory that holds them.
// Method: real masters, nodes and clients on each engine; bits of lent memory are changed, and an
// index is put back that is older than the memory.
import assert from "node:assert/strict";
import type { StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, startMaster } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { LazyMaster, ourMaster, referenceMaster } from "../support/masters.ts";
import { Meddler } from "../support/meddler.ts";
import { until } from "../support/until.ts";
import { pattern } from "./store_suite.ts";

const MIB = 1 << 20;
const library = openLibrary();
const noShim = "unavailable" in library ? `the C shim: ${library.unavailable}` : null;
const masters: LazyMaster[] = [];
Deno.test.afterAll(async () => {
  for (const master of masters) await master.stop();
});

let scope = 0;

for (const kind of [ourMaster, referenceMaster]) {
  const master = new LazyMaster(kind);
  masters.push(master);
  for (const engine of ["native", "native, TCP only", "typescript"] as const) {
    const missing = kind.missing ?? (engine === "typescript" ? null : noShim);
    const why = missing === null ? "" : ` (skipped: ${missing})`;
    const test = (name: string, fn: (t: Fixture) => Promise<void>) =>
      Deno.test({
        name: `${name}, ${kind.name}, ${engine} engine${why}`,
        ignore: missing !== null,
        fn: async () => {
          const { address } = await master.get();
          await using t = new Fixture({
            masterServerAddress: address,
            engine: engine === "typescript" ? engine : "native",
            forceTcp: engine !== "native",
          });
          await fn(t);
        },
      });

    test("an object whose bytes have changed is a miss", async (t) => {
      await t.connect({ globalSegmentSize: "64mb" });
      const client = await t.connect();
      const sizes = [1, 100, 4096, MIB + 1];
      for (const size of sizes) {
        assert.equal(await client.put(t.key(size), pattern(size)), "stored");
        await t.flip(client, t.key(size), size - 1);
      }
      assert.equal(await client.put(t.key("whole"), pattern(50)), "stored");
      const keys = [...sizes.map((size) => t.key(size)), t.key("whole")];
      using buffer = client.allocateBuffer(2 * MIB);
      for (const key of keys.slice(0, -1)) {
        assert.equal(await client.get(key), null);
        assert.equal(await client.getInto(key, new Uint8Array(2 * MIB)), null);
        assert.equal(await client.getInto(key, buffer), null);
        assert.equal(await client.isExist(key), true);
      }
      const misses = [...sizes.map(() => ErrorCode.OBJECT_NOT_FOUND), ErrorCode.OK];
      const batch = await client.batchGet(keys);
      assert.deepEqual(batch.map(({ code }) => code), misses);
      assert.deepEqual(batch.at(-1)?.value, pattern(50));
      const into = keys.map((key) => ({ key, target: new Uint8Array(2 * MIB) }));
      assert.deepEqual((await client.batchGetInto(into)).map(({ code }) => code), misses);
      assert.equal(client.checksumMismatches, 2 * 5 * sizes.length);
      assert.equal(t.lines.filter((line) => /has other bytes of/.test(line)).length, 1);

      const parts = await client.getRanges(t.key(100), [{ offset: 98, length: 2 }]);
      assert.notDeepEqual(parts, [pattern(100).subarray(98)], "parts are not checked");
      await client.upsert(t.key(100), pattern(100, 2));
      assert.deepEqual(await client.get(t.key(100)), pattern(100, 2));
    });

    test("of several replicas the one with the right bytes is read", async (t) => {
      await t.connect({ globalSegmentSize: "16mb" });
      await t.connect({ globalSegmentSize: "16mb" });
      const client = await t.connect();
      const value = pattern(10_000);
      const keys = ["a", "b"].map((name) => t.key(name));
      const config = { replicaNum: 2 };
      const stored = await client.batchPut(keys.map((key) => ({ key, value })), config);
      assert.deepEqual(stored.map(({ code }) => code), [0, 0]);
      for (const key of keys) await t.flip(client, key, 9999);
      for (let i = 0; i < 4; i++) {
        for (const key of keys) assert.deepEqual(await client.get(key), value);
        const batch = await client.batchGet(keys);
        assert.deepEqual(batch.map((item) => item.value), [value, value]);
      }
      assert(client.checksumMismatches > 0);
    });

    test("without checksums wrong bytes are not noticed", async (t) => {
      await t.connect({ globalSegmentSize: "16mb" });
      const checking = await t.connect();
      const careless = await t.connect({ storeChecksum: false });
      await checking.put(t.key("a"), pattern(100));
      await careless.put(t.key("b"), pattern(100));
      for (const name of ["a", "b"]) await t.flip(checking, t.key(name), 3);
      assert.equal(await checking.get(t.key("a")), null);
      assert.equal((await careless.get(t.key("a")))?.length, 100);
      assert.equal((await checking.get(t.key("b")))?.length, 100);
    });
  }

  Deno.test({
    name: `upserts that race with reads, ${kind.name}${kind.missing === null ? "" : " (skipped)"}`,
    ignore: kind.missing !== null,
    fn: async () => {
      await using t = new Fixture({ masterServerAddress: (await master.get()).address });
      await t.connect({ globalSegmentSize: "64mb" });
      const [writer, reader] = [await t.connect(), await t.connect()];
      const key = t.key("raced");
      await writer.upsert(key, pattern(100_000, 0));
      let writing = true;
      const reading = (async () => {
        let reads = 0;
        for (; writing || reads < 100; reads++) {
          const value = reads % 2 === 0
            ? await reader.get(key)
            : (await reader.batchGet([key]))[0].value;
          if (value === null) continue;
          const seed = value.length - 100_000;
          assert(seed >= 0 && seed < 100, `${value.length} bytes`);
          assert.deepEqual(value, pattern(value.length, seed));
        }
      })();
      try {
        for (let seed = 1; seed < 100; seed++) {
          await writer.upsert(key, pattern(100_000 + seed, seed));
        }
      } finally {
        writing = false;
        await reading;
      }
      assert.equal(reader.checksumMismatches, 0);
    },
  });
}

Deno.test("an index that is older than the memory gives misses, not the bytes of others", async () => {
  const directory = await Deno.makeTempDir({ prefix: "snowskin-checks-" });
  const rpcPort = await freePort();
  const start = (life: string) =>
    startMaster([`--data_dir=${directory}/${life}`, "--durability=fsync"], { rpcPort });
  let { process: master, address: masterServerAddress } = await start("kept");
  try {
    await using t = new Fixture({ masterServerAddress, rpcConnectTimeoutMs: 300 });
    const node = await t.connect({ globalSegmentSize: 16 * MIB });
    const client = await t.connect();
    await client.put("old", pattern(10 * MIB, 1));
    await client.put("stays", pattern(1000, 2));
    await copyFiles(`${directory}/kept`, `${directory}/older`);
    await client.remove("old");
    await client.put("new", pattern(10 * MIB, 3));
    await master.stop("SIGKILL");

    ({ process: master } = await start("older"));
    await until(async () => node.connected && client.connected && await has(client, "old"));
    assert.equal(await client.get("old"), null);
    assert.deepEqual(await client.get("stays"), pattern(1000, 2));
    assert(client.checksumMismatches > 0, "the memory was not used again");
  } finally {
    await master.stop();
    await Deno.remove(directory, { recursive: true });
  }
});

/** Clients of one test, with a prefix for its keys. */
class Fixture implements AsyncDisposable {
  /** What the clients logged. */
  readonly lines: string[] = [];
  readonly #prefix = `checks${++scope}/`;
  readonly #options: StoreOptions;
  readonly #clients: StoreClient[] = [];
  readonly #meddler = new Meddler();

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  key(name: string | number): string {
    return this.#prefix + name;
  }

  async connect(extra: StoreOptions = {}): Promise<StoreClient> {
    const log = (line: string) => this.lines.push(line);
    const client = await StoreClient.connect({ ...this.#options, log, ...extra });
    this.#clients.unshift(client);
    return client;
  }

  /** Changes a bit of the first replica of an object. */
  async flip(client: StoreClient, key: string, offset: number): Promise<void> {
    await this.#meddler.flip((await client.replicas(key))![0], offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client.close();
    await this.#meddler[Symbol.asyncDispose]();
  }
}

async function has(client: StoreClient, key: string): Promise<boolean> {
  return (await client.batchIsExist([key]))[0].value === true;
}

async function copyFiles(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFiles(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

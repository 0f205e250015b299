// Goal: a get that does not ask the master, because that has promised that the object stays, returns
// what one that asks would, whoever replaces the object, removes it or loses it.
// Method: real masters, nodes and clients in processes of their own; what was acknowledged to a writer
// is there for the reader from then on.
import assert from "node:assert/strict";
import type { StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { MasterLives } from "../support/master_lives.ts";
import { LazyMaster, type MasterKind, ourMaster, referenceMaster } from "../support/masters.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";
import { pattern } from "./store_suite.ts";

const SIZE = 100 << 10;
const library = openLibrary();
const noShim = "unavailable" in library ? `the C shim: ${library.unavailable}` : null;
const wheel = await findWheel();
const socketMaster: MasterKind = {
  name: "our master on Deno's sockets",
  missing: null,
  start: async ({ flags = [] } = {}) => {
    const started = await startMaster(flags, { env: { SNOWSKIN_NATIVE: "off" } });
    return { ...started, metadataUrl: "" };
  },
};
const masters: LazyMaster[] = [];
Deno.test.afterAll(async () => {
  for (const master of masters) await master.stop();
});

let scope = 0;

/** A node, a writer and a reader of one master, and a name for their objects. */
async function open(stack: AsyncDisposableStack, options: StoreOptions, lends = true) {
  const connect = async (more: StoreOptions = {}) =>
    stack.use(await StoreClient.connect({ ...options, ...more }));
  if (lends) await connect({ globalSegmentSize: "32mb" });
  return { name: `held${++scope}`, writer: await connect(), reader: await connect(), connect };
}

/** How many of the objects that `work` reads were read without asking. */
async function heldIn(reader: StoreClient, work: () => Promise<unknown>): Promise<number> {
  const before = reader.heldReads.count;
  await work();
  return reader.heldReads.count - before;
}

function test(name: string, missing: string | null, fn: (stack: AsyncDisposableStack) => unknown) {
  Deno.test({
    name: `${name}${missing === null ? "" : ` (skipped: ${missing})`}`,
    ignore: missing !== null,
    fn: async () => {
      await using stack = new AsyncDisposableStack();
      await fn(stack);
    },
  });
}

for (const kind of [ourMaster, socketMaster]) {
  const master = new LazyMaster(kind);
  masters.push(master);
  for (const engine of ["native", "typescript"] as const) {
    const missing = kind.missing ?? (engine === "native" ? noShim : null);
    const opened = async (stack: AsyncDisposableStack) =>
      open(stack, { masterServerAddress: (await master.get()).address, engine });
    const where = `${kind.name}, ${engine} engine`;

    test(`what was read is read again without asking, ${where}`, missing, async (stack) => {
      const { name, writer, reader, connect } = await opened(stack);
      const keys = [`${name}/a`, `${name}/b`, `${name}/c`];
      for (const [i, key] of keys.entries()) await writer.put(key, pattern(SIZE, i));
      const target = new Uint8Array(SIZE);
      assert.equal(await heldIn(reader, () => reader.get(keys[0])), 0);
      const again = async () => {
        assert.deepEqual(await reader.get(keys[0]), pattern(SIZE, 0));
        assert.equal(await reader.getInto(keys[0], target), SIZE);
        const parts = await reader.getRanges(keys[0], [{ offset: 10, length: 20 }]);
        assert.deepEqual(parts, [pattern(SIZE, 0).slice(10, 30)]);
        const batch = await reader.batchGet([...keys, `${name}/none`]);
        assert.deepEqual(
          batch.slice(0, 3).map(({ value }) => value),
          [0, 1, 2].map((i) => pattern(SIZE, i)),
        );
        assert.equal(batch[3].value, null);
      };
      assert.equal(await heldIn(reader, again), 4);
      assert.equal(await heldIn(reader, () => reader.batchGet(keys)), 3);
      const asking = await connect({ heldReads: "off" });
      const asks = async () => {
        for (let i = 0; i < 3; i++) assert.deepEqual(await asking.get(keys[1]), pattern(SIZE, 1));
      };
      assert.equal(await heldIn(asking, asks), 0);
    });

    test(
      `a reader never goes back behind an upsert or a removal, ${where}`,
      missing,
      async (stack) => {
        const { name, writer, reader } = await opened(stack);
        let done = false;
        const versions = Array.from({ length: 8 }, (_, i) => pattern(SIZE, i));
        await writer.put(name, versions[0]);
        let written = 0;
        const read = async () => {
          while (!done) {
            const least = written;
            const value = await reader.get(name);
            const version = value === null ? -1 : versions.findIndex((one) => one[0] === value[0]);
            assert(version >= least, `${version} after ${least}`);
            assert.deepEqual(value, versions[version]);
          }
        };
        const before = reader.heldReads.count;
        const write = async () => {
          await until(() => reader.heldReads.count > before);
          for (let i = 1; i < versions.length; i++) {
            await writer.upsert(name, versions[i]);
            written = i;
          }
          done = true;
        };
        await Promise.all([read(), write()]);
        const gone: [string, (key: string) => Promise<unknown>][] = [
          ["remove", (key) => writer.remove(key, { force: true })],
          ["batchRemove", (key) => writer.batchRemove([key], { force: true })],
          ["removeByRegex", (key) => writer.removeByRegex(key, { force: true })],
        ];
        for (const [what, remove] of gone) {
          const key = `${name}/${what}`;
          await writer.put(key, versions[0]);
          for (let i = 0; i < 2; i++) assert.notEqual(await reader.get(key), null);
          await remove(key);
          assert.equal(await reader.get(key), null, what);
          await writer.put(key, versions[1]);
          assert.deepEqual(await reader.get(key), versions[1], what);
        }
      },
    );
  }
}

test(
  "on the reference's master everything is asked for",
  referenceMaster.missing,
  async (stack) => {
    const master = new LazyMaster(referenceMaster);
    masters.push(master);
    const { address } = await master.get();
    const { name, writer, reader } = await open(stack, { masterServerAddress: address });
    await writer.put(name, pattern(SIZE));
    const read = async () => {
      for (let i = 0; i < 3; i++) assert.deepEqual(await reader.get(name), pattern(SIZE));
      assert.deepEqual((await reader.batchGet([name]))[0].value, pattern(SIZE));
    };
    assert.equal(await heldIn(reader, read), 0);
  },
);

const noWheel = "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null;
test("the wheel's upsert waits for our reader", noWheel, async (stack) => {
  assert("python" in wheel);
  const master = await ourMaster.start();
  stack.defer(() => void master.process.stop());
  const options = { masterServerAddress: master.address, metadataServer: master.metadataUrl };
  const { name, writer, reader } = await open(stack, options);
  await writer.put(name, pattern(SIZE));
  const script = new URL("../support/wheel_upsert.py", import.meta.url).pathname;
  const args = [`127.0.0.1:${await freePort()}`, master.metadataUrl, master.address];
  const upsert = new LocalProcess("wheel", wheel.python, [script, ...args, name, "7", `${SIZE}`]);
  stack.use(upsert);
  let replaced = false;
  const ended = upsert.line(/^done/).then(() => replaced = true);
  let held = 0;
  for (let value = await reader.get(name);; value = await reader.get(name)) {
    assert.notEqual(value, null);
    if (value![0] === 7 && value!.every((byte) => byte === 7)) break;
    assert.deepEqual(value, pattern(SIZE));
    assert(!replaced, "an old value after the wheel was told that it is replaced");
    held = reader.heldReads.count;
  }
  await ended;
  assert(held > 10, `only ${held} reads were held`);
});

test("a put of what a killed node had is read at once", noShim, async (stack) => {
  const { process, address } = await startMaster(["--client_ttl=1"]);
  stack.defer(() => void process.stop());
  const node = stack.use(await startNode(address, 32 << 20));
  const { name, writer, reader, connect } = await open(stack, {
    ...{ masterServerAddress: address, transferTimeoutMs: 2000 },
  }, false);
  await writer.put(name, pattern(SIZE));
  const other = await connect({ globalSegmentSize: "32mb" });
  node.kill("SIGKILL");
  // The memory of this host can be read for as long as the reader has it open.
  let stored = false;
  const put = async () => {
    for (;;) {
      const outcome = await other.put(name, pattern(SIZE, 1)).catch(() => "failed");
      if (outcome === "stored") break;
    }
    stored = true;
  };
  const read = async () => {
    for (let last = false; !last;) {
      last = stored;
      const value = await reader.get(name).catch(() => null);
      if (last) assert.deepEqual(value, pattern(SIZE, 1));
    }
  };
  const held = await heldIn(reader, () => Promise.all([put(), read()]));
  assert(held > 0, "nothing was held");
});

test(
  "a master that was killed and started again waits for readers of before",
  null,
  async (stack) => {
    const master = stack.use(
      await MasterLives.start("--default_kv_lease_ttl=10000", "--warm_up=false"),
    );
    const { name, writer, reader } = await open(stack, { masterServerAddress: master.address });
    await writer.put(name, pattern(SIZE));
    await reader.get(name);
    let replaced = false;
    let revived = false;
    const write = async () => {
      await master.kill();
      await master.revive();
      revived = true;
      while (!await writer.upsert(name, pattern(SIZE, 1)).then(() => true, () => false)) {
        // Its node is not back yet.
      }
      replaced = true;
    };
    const read = async () => {
      for (let last = false; !last;) {
        last = replaced;
        const value = await reader.get(name).catch(() => null);
        if (last) assert.deepEqual(value, pattern(SIZE, 1));
      }
    };
    const held = await heldIn(reader, () => Promise.all([write(), read()]));
    assert(revived && held > 0, "nothing was held");
  },
);

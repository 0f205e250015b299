import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { openLibrary } from "../../ffi/library.ts";
import { Opcode, TransferCode, type TransferOperation } from "./engine.ts";
import { INLINE_BURST_MS, InlineBudget, inlineBudget } from "./inline_budget.ts";
import { NativeTransferEngine } from "./native_engine.ts";
import type { NativeTransferOptions } from "./native_options.ts";
import { memoryNodes } from "./numa_nodes.ts";
import { openEngine } from "./open_engine.ts";

const probe = openLibrary();
const missing = "unavailable" in probe ? probe.unavailable : null;
if ("close" in probe) probe.close();

function test(name: string, fn: () => Promise<void>): void {
  const title = missing === null ? name : `${name} (skipped: ${missing})`;
  Deno.test({ name: title, ignore: missing !== null, fn });
}

function open(options: NativeTransferOptions = {}): NativeTransferEngine {
  const library = openLibrary();
  if ("unavailable" in library) throw new Error(library.unavailable);
  return new NativeTransferEngine(library, options);
}

/** An engine that reaches its own published region. */
async function openLoop(options: NativeTransferOptions = {}, bytes = 1 << 20) {
  const engine = open(options);
  const remote = engine.allocate(bytes, { publish: true });
  const local = engine.allocate(bytes);
  const { port } = await engine.listen({ host: "127.0.0.1" });
  const peer = engine.openPeer({ host: "127.0.0.1", port, protocolVersion: 2 });
  const read = (length: number, offset = 0): TransferOperation => ({
    ...{ opcode: Opcode.READ, peer, remoteAddress: remote.remoteBase! + BigInt(offset), length },
    ...{ local, localOffset: offset },
  });
  return {
    engine,
    remote,
    local,
    read,
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

test("a chain of transfers that complete inline leaves the event loop its turns", async () => {
  await using t = await openLoop();
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const begun = performance.now();
  while (turns < 5 && performance.now() - begun < 10_000) {
    assert.equal(await t.engine.transferOne(t.read(64)), TransferCode.OK);
  }
  clearInterval(timer);
  assert(turns >= 5, `${turns} turns`);
});

test("what a chain waits inline between two turns of the event loop is bounded", async () => {
  await using t = await openLoop({}, 8 << 20);
  const bursts: number[][] = [[]];
  const { spend, renew } = InlineBudget.prototype;
  inlineBudget.spend = (ms) => {
    bursts.at(-1)!.push(ms);
    spend.call(inlineBudget, ms);
  };
  inlineBudget.renew = () => {
    bursts.push([]);
    renew.call(inlineBudget);
  };
  try {
    const begun = performance.now();
    for (let i = 0; bursts.length < 20 && performance.now() - begun < 10_000; i++) {
      // Sizes that end inline, and one that outlasts the wait until that has grown.
      const length = i % 8 === 0 ? 4 << 20 : 64;
      assert.equal(await t.engine.transferOne(t.read(length)), TransferCode.OK);
    }
  } finally {
    Object.assign(inlineBudget, { spend, renew });
  }
  assert(bursts.length >= 20, `${bursts.length} turns`);
  for (const burst of bursts) {
    assert(burst.every((ms) => ms > 0));
    // The one that goes over the limit ends the burst; its successor submits and does not wait.
    const within = burst.slice(0, -2).reduce((sum, ms) => sum + ms, 0);
    assert(within < INLINE_BURST_MS, `${within} ms`);
  }
});

test("transfers beyond the length of the queue wait for room", async () => {
  await using t = await openLoop({ maxOps: 256 });
  t.remote.bytes.fill(7);
  const batches = Array.from(
    { length: 3 },
    (_, k) => Array.from({ length: 2500 }, (_, i) => t.read(100, (k * 2500 + i) * 100)),
  );
  const codes = await Promise.all(batches.map((ops) => t.engine.transfer(ops)));
  for (const batch of codes) assert.deepEqual(new Set(batch), new Set([TransferCode.OK]));
  assert(t.local.bytes.subarray(0, 750_000).every((byte) => byte === 7));
});

test("transfers with deadlines of their own are begun in the same turn", async () => {
  await using t = await openLoop();
  const codes = await Promise.all([
    t.engine.transferOne(t.read(10), { timeoutMs: 1000 }),
    t.engine.transferOne(t.read(10), { timeoutMs: 2000 }),
    t.engine.transferOne(t.read(10)),
  ]);
  assert.deepEqual(codes, [TransferCode.OK, TransferCode.OK, TransferCode.OK]);
});

test("a transfer that outlasts the inline wait is picked up by the poll", async () => {
  await using t = await openLoop({ inlineWaitUs: 0 }, 16 << 20);
  t.remote.bytes.fill(3);
  const [large, small] = await Promise.all([
    t.engine.transferOne(t.read(15 << 20, 1 << 20)),
    t.engine.transferOne(t.read(100)),
  ]);
  assert.deepEqual([large, small], [TransferCode.OK, TransferCode.OK]);
  assert(t.local.bytes.every((byte, at) => byte === 3 || (at >= 100 && at < 1 << 20)));
});

test("a region disposed while it is used locally stays mapped until the transfer ends", async () => {
  await using t = await openLoop({}, 32 << 20);
  const transfer = t.engine.transferOne(t.read(32 << 20));
  t.local[Symbol.dispose]();
  assert.equal(await transfer, TransferCode.OK);
});

test("a region can be populated, and disposed while it is", async () => {
  await using t = await openLoop();
  await t.remote.populate();
  const region = t.engine.allocate(256 << 20);
  const populating = region.populate();
  region[Symbol.dispose]();
  await populating.catch((error) => assert.match(error.message, /ECANCELED|ESTALE/));
});

test("memory of the host tells where it lies once it was provided", async () => {
  await using engine = open();
  const [node] = memoryNodes((path) => readFileSync(path, "utf8"));
  const bytes = 8 << 20;
  const region = engine.allocate(bytes, {
    ...{ publish: true },
    placement: {
      numa: node === undefined ? "off" : `${node}`,
      hugepages: "off",
      lockMemory: false,
    },
  });
  assert.equal(region.host?.location, node === undefined ? undefined : `cpu:${node}`);
  await region.populate();
  const survey = await region.host!.survey();
  const provided = survey.pages.get(4096) ?? 0;
  assert(provided >= bytes && provided <= bytes + (1 << 20), `${provided} bytes`);
  if (node !== undefined) assert.equal(survey.nodes.get(node), provided);
});

test("memory that the system does not have is refused", async () => {
  await using t = await openLoop();
  assert.throws(
    () => t.engine.allocate(2 ** 47),
    /MiB of memory cannot be had: the system has not that much/,
  );
  assert.equal(await t.engine.transferOne(t.read(5)), TransferCode.OK);
});

test("tunables out of range are refused by name", async () => {
  assert.throws(() => open({ lanesPerPeer: 17 }), /lanesPerPeer is 17: .* from 1 to 16/);
  assert.throws(() => open({ inlineWaitUs: -1 }), /inlineWaitUs/);
  assert.throws(() => openEngine({ native: "off", connectTimeoutMs: 0.5 }), /connectTimeoutMs/);
  const { engine, reason } = openEngine({ native: "off", serverThreads: 2 });
  assert.equal(engine.name, "tcp-typescript");
  assert.equal(reason, "SNOWSKIN_NATIVE is off");
  await engine[Symbol.asyncDispose]();
});

test("a program that leaves its engine open ends by itself", async () => {
  const program = `
    import { openEngine } from "${new URL("open_engine.ts", import.meta.url)}";
    const { engine } = openEngine();
    const region = engine.allocate(4096, { publish: true });
    const { port } = await engine.listen({ host: "127.0.0.1" });
    const peer = engine.openPeer({ host: "127.0.0.1", port, protocolVersion: 2 });
    const op = { opcode: 0, peer, remoteAddress: region.remoteBase, length: 99 };
    console.log(await engine.transferOne({ ...op, local: region, localOffset: 0 }));
  `;
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/program.ts`, program);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--no-config", `${folder}/program.ts`],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const decoder = new TextDecoder();
    assert.equal(decoder.decode(stderr), "");
    assert.equal(decoder.decode(stdout), "0\n");
    assert.equal(code, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

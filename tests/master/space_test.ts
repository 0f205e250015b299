// How a master gives its space: who waits, who is refused, what is evicted and what is not. The
// segments are names only: nothing is stored.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaStatus } from "../../proto/types.ts";
import { loopModes, MasterProcess, testEachLoop } from "../support/master_process.ts";
import { addressOf, assertOk, MetadataNode } from "../support/metadata_node.ts";
import { until } from "../support/until.ts";

const MIB = 2 ** 20;
const FULL = ErrorCode.NO_AVAILABLE_HANDLE;
/** How much earlier than a lease of the master's clock a test may see its end. */
const CLOCK_SLACK_MS = 20;

/** Nothing is evicted before a put needs its space. */
const NO_WATERMARK = "--eviction_high_watermark_ratio=1";

const someLoop = loopModes.find(({ absent }) => absent === null)!;

function names(count: number, prefix = "key"): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}

async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const startedMs = performance.now();
  const value = await work;
  return { value, ms: performance.now() - startedMs };
}

testEachLoop("a put waits for space while leases run out", async (mode) => {
  const flags = ["--default_kv_lease_ttl=600", "--put_wait_ms=10000", NO_WATERMARK];
  await using master = await MasterProcess.start(mode, flags);
  const node = await MetadataNode.join(master.connect(), 1, 4 * MIB);
  for (const key of names(4)) assertOk(await node.put(key, MIB));
  const leasedMs = performance.now();
  assert.equal((await node.existing(names(4))).length, 4);
  const [put, other] = await Promise.all([
    timed(node.put("new", MIB)),
    timed(node.ping()),
  ]);
  const waitedMs = performance.now() - leasedMs;
  assertOk(put.value);
  assert(waitedMs >= 600 - CLOCK_SLACK_MS, `it got space after ${waitedMs} ms`);
  assert(waitedMs < 9000, `it got space after ${waitedMs} ms`);
  assert(other.ms < put.ms, "a put that waits held up a ping");
  assert.equal(await node.exists("new"), true);
});

testEachLoop("a put is refused with -200 when its waiting time is over", async (mode) => {
  const flags = ["--default_kv_lease_ttl=60000", "--put_wait_ms=300", NO_WATERMARK];
  await using master = await MasterProcess.start(mode, flags);
  const node = await MetadataNode.join(master.connect(), 1, 4 * MIB);
  for (const key of names(4)) assertOk(await node.put(key, MIB));
  assert.equal((await node.existing(names(4))).length, 4);
  const [first, second] = await Promise.all([
    timed(node.start("a", MIB)),
    timed(node.start("b", MIB, { upsert: true })),
  ]);
  for (const { value, ms } of [first, second]) {
    assert.equal(value.code, FULL);
    assert(ms >= 300 - CLOCK_SLACK_MS && ms < 3000, `refused after ${ms} ms`);
  }
  assert.equal((await node.existing(names(4))).length, 4);
});

testEachLoop("without a waiting time a put is refused at once", async (mode) => {
  await using master = await MasterProcess.start(mode, ["--put_wait_ms=0"]);
  const node = await MetadataNode.join(master.connect(), 1, MIB);
  assertOk((await node.start("unfinished", MIB)).code);
  const refused = await timed(node.start("a", MIB));
  assert.equal(refused.value.code, FULL);
  assert(refused.ms < 200, `refused after ${refused.ms} ms`);
});

testEachLoop("a batch of 100 with room for 50 gets 50", async (mode) => {
  await using master = await MasterProcess.start(mode, [
    "--put_wait_ms=100",
    NO_WATERMARK,
    "--eviction_ratio=0",
  ]);
  const node = await MetadataNode.join(master.connect(), 1, 50 * 65_536);
  const codes = (await node.startBatch(names(100), 65_536)).map(({ code }) => code);
  assert.deepEqual(codes, [...Array(50).fill(ErrorCode.OK), ...Array(50).fill(FULL)]);
  for (const key of names(50)) assertOk(await node.end(key));
  assert.deepEqual(await node.existing(names(100)), names(50));
});

testEachLoop("a put of a client that has hung up takes no space", async (mode) => {
  await using master = await MasterProcess.start(mode, ["--put_wait_ms=60000", NO_WATERMARK]);
  const node = await MetadataNode.join(master.connect(), 1, MIB);
  assertOk((await node.start("unfinished", MIB)).code);
  const dying = master.connect();
  const waiting = new MetadataNode(dying, 2).start("orphan", MIB).catch(() => null);
  const waitingWrites = async () => {
    const text = await (await fetch(`${master.adminUrl}/metrics`)).text();
    return Number(/^snowskin_\w*waiting\w* (\d+)/m.exec(text)?.[1] ?? NaN);
  };
  await until(async () => await waitingWrites() === 1);
  await master.disconnect(dying);
  await waiting;
  await until(async () => await waitingWrites() === 0);
  assertOk(await node.end("unfinished"));
  assertOk(await node.put("next", MIB));
});

Deno.test("1000 puts in a row into a small pool are all accepted, without any waiting", async () => {
  await using master = await MasterProcess.start(someLoop, ["--put_wait_ms=0"]);
  const node = await MetadataNode.join(master.connect(), 1, 64 * MIB);
  const refused: string[] = [];
  for (const key of names(1000)) if (await node.put(key, MIB) !== ErrorCode.OK) refused.push(key);
  assert.deepEqual(refused, []);
  const left = await node.existing(names(1000));
  assert(left.length >= 48, `${left.length} objects are left in room for 64`);
  assert.deepEqual(left, names(1000).slice(-left.length), "the ones put last");
});

Deno.test("objects under a lease survive puts that need the space of all others", async () => {
  const flags = ["--put_wait_ms=0", "--default_kv_lease_ttl=60000"];
  await using master = await MasterProcess.start(someLoop, flags);
  const node = await MetadataNode.join(master.connect(), 1, 16 * MIB);
  const leased = names(8, "leased");
  for (const key of leased) assertOk(await node.put(key, MIB));
  const before = await Promise.all(leased.map(async (key) => (await node.get(key)).value));
  for (const key of names(200)) assertOk(await node.put(key, MIB));
  const after = await Promise.all(leased.map(async (key) => (await node.get(key)).value));
  assert.deepEqual(after.map((list) => list?.replicas), before.map((list) => list?.replicas));
});

Deno.test("above the watermark the least recently used objects go, down to the mark", async () => {
  const flags = ["--eviction_high_watermark_ratio=0.5", "--eviction_ratio=0.1"];
  await using master = await MasterProcess.start(someLoop, flags);
  const node = await MetadataNode.join(master.connect(), 1, 64 * MIB);
  for (const key of names(60)) assertOk(await node.put(key, MIB));
  const used = async () => {
    const response = await fetch(`${master.adminUrl}/query_segment?segment=segment-1`);
    return Number(/Used\(bytes\): *(\d+)/i.exec(await response.text())?.[1] ?? NaN);
  };
  await until(async () => await used() <= 32 * MIB);
  const left = await node.existing(names(60));
  assert(left.length >= 20, `${left.length} objects are left`);
  assert.deepEqual(left, names(60).slice(-left.length), "the ones put last");
});

Deno.test("space of a removed object is not given again while it may still be read", async () => {
  const flags = ["--default_kv_lease_ttl=700", "--put_wait_ms=10000", NO_WATERMARK];
  await using master = await MasterProcess.start(someLoop, flags);
  const node = await MetadataNode.join(master.connect(), 1, 2 * MIB);
  assertOk(await node.put("a", MIB));
  const leasedMs = performance.now();
  const address = addressOf((await node.get("a")).value?.replicas);
  assert.equal(await node.remove("a"), ErrorCode.OBJECT_HAS_LEASE);
  assertOk(await node.remove("a", true));
  assert.equal(await node.exists("a"), false);
  const again = await node.start("a", MIB);
  assert.notEqual(addressOf(again.value), address);
  const next = await node.start("b", MIB);
  const waitedMs = performance.now() - leasedMs;
  assert.equal(addressOf(next.value), address);
  assert(waitedMs >= 700 - CLOCK_SLACK_MS, `given again after ${waitedMs} ms`);
});

Deno.test("an upsert of equal size leaves the old value readable until it ends", async () => {
  await using master = await MasterProcess.start(someLoop, ["--put_wait_ms=50", NO_WATERMARK]);
  const node = await MetadataNode.join(master.connect(), 1, 3 * MIB);
  const readable = async () => {
    const { code, value } = await node.get("k");
    assertOk(code);
    assert.deepEqual(value!.replicas.map(({ status }) => status), [ReplicaStatus.COMPLETE]);
    return addressOf(value!.replicas);
  };
  assertOk(await node.put("k", MIB));
  const old = await readable();
  const written = addressOf((await node.start("k", MIB, { upsert: true })).value);
  assert.notEqual(written, old);
  assert.equal(await readable(), old);
  assertOk(await node.revoke("k", { upsert: true }));
  assert.equal(await readable(), old);
  const second = addressOf((await node.start("k", MIB, { upsert: true })).value);
  assert.equal(await readable(), old);
  assertOk(await node.end("k", { upsert: true }));
  assert.equal(await readable(), second);
  assert.equal((await node.start("k", MIB, { upsert: true })).code, FULL);
  assert.equal(await readable(), second);
});

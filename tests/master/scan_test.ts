// Calls that look at every key: what they do to a master that others use at the same time. The
// segments are names only: nothing is stored.
import assert from "node:assert/strict";
import { cpuMicroseconds } from "../../bench/process_stat.ts";
import { StoreError } from "../../proto/error.ts";
import { bytesOf } from "../support/core_driver.ts";
import { type LoopMode, MasterProcess, testEachLoop } from "../support/master_process.ts";
import { assertOk, MetadataNode } from "../support/metadata_node.ts";
import { Random } from "../support/random.ts";
import { until } from "../support/until.ts";

const KEYS = 2000;
const BATCH = 500;
const KEY_BYTES = 200;

/** Takes a new state for almost every byte of a key: about a second for all keys. */
const SLOW = "c[ab]{60}a";
const tenantId = bytesOf("default");

/** A master with keys of random letters a and b. */
async function filled(mode: LoopMode): Promise<{
  master: MasterProcess;
  node: MetadataNode;
  keys: string[];
}> {
  const master = await MasterProcess.start(mode, ["--default_kv_lease_ttl=1"]);
  const node = await MetadataNode.join(master.connect(), 1, 1 << 30);
  const random = new Random(1);
  const letter = () => random.oneIn(2) ? "a" : "b";
  const keys = Array.from(
    { length: KEYS },
    () => Array.from({ length: KEY_BYTES }, letter).join(""),
  );
  for (let at = 0; at < KEYS; at += BATCH) {
    const batch = keys.slice(at, at + BATCH);
    for (const { code } of await node.startBatch(batch, 1)) assertOk(code);
    const codes = await Promise.all(batch.map((key) => node.end(key)));
    codes.forEach(assertOk);
  }
  return { master, node, keys };
}

/** Asks for one key after the other until `work` has settled; how long each answer took. */
async function askingDuring<T>(
  node: MetadataNode,
  key: string,
  work: Promise<T>,
): Promise<{ value: T; tookMs: number; latencies: number[] }> {
  const startedMs = performance.now();
  const latencies: number[] = [];
  let settled = false;
  work.finally(() => settled = true).catch(() => {});
  while (!settled) {
    const askedMs = performance.now();
    assert.equal(await node.exists(key), true);
    latencies.push(performance.now() - askedMs);
  }
  return { value: await work, tookMs: performance.now() - startedMs, latencies };
}

testEachLoop("a pattern that takes long over many keys holds up nobody", async (mode) => {
  const { master, node, keys } = await filled(mode);
  await using _master = master;
  const listing = master.connect().getReplicaListByRegex({ regex: SLOW, tenantId });
  const { value, tookMs, latencies } = await askingDuring(node, keys[0], listing);
  assert.deepEqual(value, { code: 0, value: [] });
  latencies.sort((a, b) => a - b);
  const median = latencies[latencies.length >> 1];
  const worst = latencies.at(-1)!;
  const told = `${latencies.length} answers in ${tookMs} ms: median ${median}, worst ${worst}`;
  assert(latencies.length >= 50 && median < 20 && worst < tookMs / 3, told);
});

testEachLoop("patterns that grow with a power of the key are answered soon", async (mode) => {
  const { master, keys } = await filled(mode);
  await using _master = master;
  const client = master.connect();
  for (const regex of ["(a|b|ab)*c", "(.*a){20}$", "(([ab])+.)+c", "^(a+|b+)+$"]) {
    const startedMs = performance.now();
    const { code, value } = await client.getReplicaListByRegex({ regex, tenantId });
    const tookMs = performance.now() - startedMs;
    assertOk(code);
    assert.equal(
      value!.length,
      /c$/.test(regex)
        ? 0
        : keys.filter((key) => regex.startsWith("^") || key.endsWith("a")).length,
      regex,
    );
    assert(tookMs < 5000, `${regex}: ${tookMs} ms`);
  }
});

testEachLoop("a scan ends with the connection that asked for it", async (mode) => {
  const { master, node, keys } = await filled(mode);
  await using _master = master;
  const client = master.connect();
  const request = { regex: `${SLOW}|^[ab]`, force: true, tenantId };
  const removal = assert.rejects(client.removeByRegex(request), StoreError);
  await until(async () => (await node.existing(keys)).length < KEYS);
  await master.disconnect(client);
  await removal;
  const { pid } = master.process;
  await until(async () => {
    const [cpu, startedMs] = [cpuMicroseconds(pid), performance.now()];
    await until(() => performance.now() - startedMs >= 100);
    return cpuMicroseconds(pid) - cpu < 20_000;
  });
  const left = (await node.existing(keys)).length;
  assert(left > 0 && left < KEYS, `${left} keys are left`);
});

testEachLoop("everything is removed over HTTP while others are served", async (mode) => {
  const { master, node, keys } = await filled(mode);
  await using _master = master;
  assertOk(await node.put("other", 1));
  const ask = async () => {
    const url = `${master.adminUrl}/api/v1/remove_all?force=true`;
    return await (await fetch(url, { method: "POST" })).json();
  };
  assert.deepEqual(await ask(), { success: true, removed_count: KEYS + 1 });
  assert.deepEqual(await node.existing(keys), []);
  assert.deepEqual(await ask(), { success: true, removed_count: 0 });
});

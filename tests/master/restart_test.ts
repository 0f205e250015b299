// Goal: a lone master that is killed at any moment and started again on its directory loses nothing
// that it has acknowledged, as long as the owners live; no read ever returns wrong bytes.
// Method: real processes; writers and removers run while the master gets SIGKILL; what was answered
// with success is compared with what can be read once the owners are back.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, startMaster, startNode } from "../../examples/local_cluster.ts";
import { StoreError } from "../../proto/error.ts";
import { MasterLives } from "../support/master_lives.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;
const OBJECTS = 1000;
const WRITERS = 4;
const VALUE_BYTES = 4096;

function valueOf(key: string): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES);
  let state = 0x811c9dc5;
  for (const letter of key) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193);
  for (let i = 0; i < value.length; i++) {
    state = Math.imul(state ^ i, 0x01000193);
    value[i] = state >>> 13;
  }
  return value;
}

function connect(master: MasterLives, bytes = 0): Promise<StoreClient> {
  return StoreClient.connect({
    masterServerAddress: master.address,
    globalSegmentSize: bytes,
    rpcConnectTimeoutMs: 300,
  });
}

/** Whether the call was answered with success; failures of the connection count as unanswered. */
async function acknowledged(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}

/** Keys that a master knows, readable or not. */
async function keyCount(master: MasterLives): Promise<number> {
  const text = await (await fetch(`${master.adminUrl}/get_all_keys`)).text();
  return text.split("\n").filter((line) => line !== "").length;
}

/** What writers and removers were told. */
class Load {
  readonly stored = new Set<string>();
  readonly removed = new Set<string>();
  /** Keys about which the last answer never came. */
  readonly open = new Set<string>();
  answers = 0;

  async write(client: StoreClient, prefix: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const key = `${prefix}/${i}`;
      if (!await acknowledged(client.put(key, valueOf(key)))) return void this.open.add(key);
      this.stored.add(key);
      this.answers++;
      if (i % 5 !== 4) continue;
      const victim = `${prefix}/${i - 2}`;
      this.stored.delete(victim);
      if (!await acknowledged(client.remove(victim))) return void this.open.add(victim);
      this.removed.add(victim);
    }
  }

  /** Everything acknowledged is there with its bytes, everything removed is not. */
  async check(client: StoreClient): Promise<void> {
    for (const key of this.stored) {
      assert.deepEqual(await client.get(key), valueOf(key), `${key} was acknowledged`);
    }
    for (const key of this.removed) assert.equal(await client.get(key), null, `${key} was removed`);
    for (const key of this.open) {
      const value = await client.get(key);
      if (value !== null) assert.deepEqual(value, valueOf(key));
    }
  }
}

for (const [name, flags] of [["batch", []], ["fsync", ["--durability=fsync"]]] as const) {
  Deno.test(`a killed master loses nothing that it acknowledged, durability ${name}`, async () => {
    await using master = await MasterLives.start(...flags);
    await using _node = await startNode(master.address, 64 * MIB);
    await using lender = await connect(master, 64 * MIB);
    const clients = await Promise.all(Array.from({ length: WRITERS }, () => connect(master)));
    const load = new Load();
    for (let life = 0; life < 3; life++) {
      const share = OBJECTS / WRITERS / 3 | 0;
      const stopAt = load.answers + share * (1 + Math.random() * (WRITERS - 1));
      const killed = until(() => load.answers >= stopAt).then(() => master.kill());
      const writers = clients.map((client, i) => load.write(client, `${life}/${i}`, 4 * share));
      await Promise.all([killed, ...writers]);
      assert(load.stored.size > 0 && load.open.size > 0, "the kill came in the middle");
      await master.revive();
      assert(master.lines.some((line) => /recovered \d+ keys and 2 segments/.test(line)));
      await until(() => [lender, ...clients].every(({ connected }) => connected));
      const oldest = Array.from(load.stored).slice(0, 40);
      await until(async () => {
        const found = await clients[0].batchIsExist(oldest);
        return found.every(({ value }) => value === true);
      }, 20_000);
      await load.check(clients[1]);
    }
    await Promise.all(clients.map((client) => client.close()));
  });
}

Deno.test("owners that are killed with the master lose theirs after the grace, and only they", async () => {
  await using master = await MasterLives.start("--reattach_grace=4s");
  await using node = await startNode(master.address, 64 * MIB);
  await using lender = await connect(master, 64 * MIB);
  await using client = await connect(master);
  const [, nodeName] = /segment (\S+),/.exec(await node.line(/^store node ready/))!;
  const keysOf = (prefix: string) => Array.from({ length: 50 }, (_, i) => `${prefix}/${i}`);
  const [kept, lost] = [keysOf("kept"), keysOf("lost")];
  for (const key of kept) {
    await client.put(key, valueOf(key), { preferredSegment: lender.hostname });
  }
  for (const key of lost) await client.put(key, valueOf(key), { preferredSegment: nodeName });
  await Promise.all([node.stop("SIGKILL"), master.kill()]);
  await master.revive();
  await until(() => lender.connected && client.connected);
  const allExist = (answer: boolean) => async () =>
    (await client.batchIsExist(answer ? kept : lost)).every(({ value }) => value === answer);
  await until(allExist(true));
  for (const key of kept) assert.deepEqual(await client.get(key), valueOf(key));
  assert(await allExist(false)(), "the keys of an owner that is away read as missing");
  assert.equal(await client.put(lost[0], valueOf("new")), "stored", "a put takes the place");
  await client.remove(lost[1]);
  assert.deepEqual(await client.get(lost[0]), valueOf("new"));
  await until(async () => await keyCount(master) === kept.length + 1);
  assert(await allExist(true)());
});

Deno.test("a second master on the directory ends and says who has it", async () => {
  await using master = await MasterLives.start();
  const second = startMaster([`--data_dir=${master.directory}`]);
  await assert.rejects(second, /in use by process \d+ on \S+ since \d{4}-/);
});

Deno.test("HTTP metadata documents are there after a kill", async () => {
  const port = await freePort();
  await using master = await MasterLives.start(
    "--http_metadata_server_host=127.0.0.1",
    `--http_metadata_server_port=${port}`,
  );
  const url = (key: string) => `http://127.0.0.1:${port}/metadata?key=${encodeURIComponent(key)}`;
  const big = "x".repeat(300_000);
  for (const [key, body] of [["mooncake/ram/a:1", "{}"], ["big", big], ["gone", "x"]]) {
    assert.equal(await (await fetch(url(key), { method: "PUT", body })).text(), "metadata updated");
  }
  await (await fetch(url("gone"), { method: "DELETE" })).text();
  await master.kill();
  await master.revive();
  assert.equal(await (await fetch(url("mooncake/ram/a:1"))).text(), "{}");
  assert.equal(await (await fetch(url("big"))).text(), big);
  const gone = await fetch(url("gone"));
  assert.equal(gone.status, 404);
  await gone.text();
});

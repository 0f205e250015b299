// Goal: a master that lost its directory comes back from a snapshot with every key whose owner lives,
// and whatever interrupts a snapshot, the ones before it stay good. Method: real processes; the master
// gets SIGKILL and its directory is deleted; a directory and moto's S3 server as places.
import assert from "node:assert/strict";
import { JsonPeer } from "../../bench/json_peer.ts";
import { StoreClient } from "../../client/store_client.ts";
import {
  freePort,
  type LocalProcess,
  startMaster,
  startNode,
} from "../../examples/local_cluster.ts";
import { writeCheckpoint } from "../../master/journal/checkpoint.ts";
import { FactBuffer } from "../../master/journal/fact_buffer.ts";
import { CoreDriver } from "../support/core_driver.ts";
import { findMoto, MotoServer } from "../support/moto.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";

const MIB = 1 << 20;
const KEYS = 100;
const root = new URL("../../", import.meta.url).pathname;

const wheel = await findWheel();
const moto = await findMoto();
const noWheel = "python" in wheel ? "" : ` (skipped: ${wheel.reason})`;
const noMoto = "python" in moto ? "" : ` (skipped: moto: ${moto.reason})`;

function valueOf(key: string, version = 0): Uint8Array {
  const seed = Array.from(key).reduce(
    (sum, letter) => sum * 31 + letter.charCodeAt(0) | 0,
    version,
  );
  return new Uint8Array(3000).map((_, i) => Math.imul(seed + i, 0x9e3779b1) >>> 11);
}

/** A master with snapshots on one port, across its lives and directories. */
class Master implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-backup-test-" });
  readonly env: Record<string, string>;
  adminUrl = "";
  port = 0;
  #process: LocalProcess | null = null;

  constructor(readonly flags: string[], env: Record<string, string> = {}) {
    this.env = { MOONCAKE_SNAPSHOT_LOCAL_PATH: `${this.directory}/snapshots`, ...env };
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get lines(): string[] {
    return this.#process!.lines;
  }

  get snapshotPath(): string {
    return `${this.directory}/snapshots/mooncake_cluster`;
  }

  async start(): Promise<this> {
    this.port ||= await freePort();
    const flags = [
      ...[`--data_dir=${this.directory}/data`, "--enable_snapshot=true"],
      ...["--enable_snapshot_restore=true", "--snapshot_interval_seconds=3600"],
      ...["--default_kv_lease_ttl=500", ...this.flags],
    ];
    const { process, adminUrl } = await startMaster(flags, { rpcPort: this.port, env: this.env });
    this.#process = process;
    this.adminUrl = adminUrl;
    return this;
  }

  async kill(): Promise<void> {
    await this.#process?.stop("SIGKILL");
  }

  /** The machine is gone, with its disk. */
  async lose(): Promise<void> {
    await this.kill();
    await Deno.remove(`${this.directory}/data`, { recursive: true });
  }

  async snapshot(): Promise<{ id: string; keys: number; bytes: number; problems: string[] }> {
    const answer = await fetch(`${this.adminUrl}/api/v1/snapshots`, { method: "POST" });
    const document = await answer.json();
    assert(answer.ok, JSON.stringify(document));
    return document;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.stop();
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** Runs `snowskin` to its end. */
async function snowskin(args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${root}snowskin.ts`, ...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd();
  return { code, out: text(stdout), err: text(stderr) };
}

async function putAll(client: StoreClient, prefix: string): Promise<void> {
  for (let i = 0; i < KEYS; i++) await client.put(`${prefix}/${i}`, valueOf(`${prefix}/${i}`));
}

/** Every key of a prefix is there with its bytes, once the owners are back. */
async function checkAll(client: StoreClient, prefix: string): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, i) => `${prefix}/${i}`);
  await until(() => client.connected);
  await until(async () => (await client.batchIsExist(keys)).every(({ value }) => value === true));
  for (const key of keys) assert.deepEqual(await client.get(key), valueOf(key), key);
}

for (const kind of ["a directory", "S3"] as const) {
  const why = kind === "S3" ? noMoto : "";
  Deno.test({
    name: `a master that lost its directory has every key again from ${kind}${why}`,
    ignore: why !== "",
    fn: async () => {
      await using server = kind === "S3" && "python" in moto
        ? await MotoServer.start(moto.python)
        : null;
      const flags = kind === "S3" ? ["--snapshot_object_store_type=s3"] : [];
      await using master = await new Master(flags, server?.env).start();
      await using _node = await startNode(master.address, 64 * MIB);
      await using client = await StoreClient.connect({
        ...{ masterServerAddress: master.address, rpcConnectTimeoutMs: 300 },
      });
      await putAll(client, "a");
      const first = await master.snapshot();
      assert.deepEqual([first.keys, first.problems], [KEYS, []]);
      await putAll(client, "b");
      const second = await master.snapshot();
      assert.equal(second.keys, 2 * KEYS);
      await client.put("later", valueOf("later"));
      const list = await (await fetch(`${master.adminUrl}/api/v1/snapshots`)).json();
      const ids = list.places[0].snapshots.map(({ id }: { id: string }) => id);
      assert.deepEqual(ids, [second.id, first.id]);
      const metrics = await (await fetch(`${master.adminUrl}/metrics`)).text();
      assert.match(metrics, /^master_snapshot_success 2$/m);

      await master.lose();
      await master.start();
      assert(master.lines.some((line) => line.includes(`restored snapshot ${second.id}`)));
      await checkAll(client, "a");
      await checkAll(client, "b");
      assert.equal(await client.get("later"), null, "it came after the snapshot");
      await client.put("later", valueOf("later", 1));

      await master.kill();
      await master.start();
      assert(master.lines.some((line) => line.includes("nothing is restored: ")));
      await checkAll(client, "b");
      assert.deepEqual(await client.get("later"), valueOf("later", 1), "the journal is newer");
    },
  });
}

Deno.test({
  name: `the wheel reads again what it put, from a snapshot of a damaged pair${noWheel}`,
  ignore: noWheel !== "",
  fn: async () => {
    assert("python" in wheel);
    await using master = await new Master([]).start();
    const script = `${root}tests/interop/wheel_peer.py`;
    const args = [script, master.address, "P2PHANDSHAKE", String(64 * MIB)];
    const { peer, hello } = await JsonPeer.start<{ code: number }>(wheel.python, args);
    await using client = peer;
    assert.equal(hello.code, 0);
    for (let i = 0; i < 20; i++) {
      const order = { do: "put", key: `k${i}`, size: 5000, seed: i };
      assert.equal((await client.ask<{ code: number }>(order)).code, 0);
    }
    const whole = await master.snapshot();
    const damaged = await master.snapshot();
    const path = `${master.snapshotPath}/${damaged.id}/index.snap`;
    const bytes = await Deno.readFile(path);
    bytes[bytes.length >> 1] ^= 1;
    await Deno.writeFile(path, bytes);

    await master.lose();
    await master.start();
    const told = (text: string) => master.lines.some((line) => line.includes(text));
    assert(told(`snapshot ${damaged.id} in ${master.snapshotPath} is passed over: `));
    assert(told(`restored snapshot ${whole.id}`));
    const get = (i: number) =>
      client.ask<{ size: number; sum: number }>({ do: "get", key: `k${i}` });
    await until(async () => (await get(0)).size === 5000);
    for (let i = 0; i < 20; i++) {
      const sum = Array.from({ length: 5000 }, (_, at) => (at * 31 + i * 17 + (at >> 8)) & 255)
        .reduce((total, byte) => total + byte, 0);
      assert.deepEqual(await get(i), { ...await get(i), size: 5000, sum });
    }
  },
});

Deno.test("a kill in the middle of a snapshot leaves the ones before it, and the next start works", async () => {
  const driver = new CoreDriver();
  driver.core.attachFacts(new FactBuffer());
  driver.mount(1, 2 ** 40);
  const padding = "x".repeat(90);
  for (let i = 0; i < 200_000; i++) driver.put(`${i}/${padding}`, 4096);
  await using master = new Master(["--reattach_grace=1h"]);
  const journal = `${master.directory}/data/journal`;
  await Deno.mkdir(journal, { recursive: true });
  writeCheckpoint(journal, 7, driver.core);
  await master.start();
  const { id, keys } = await master.snapshot();
  assert.equal(keys, 200_000);
  const unfinished = () =>
    Array.from(Deno.readDirSync(master.snapshotPath), ({ name }) => name).filter((name) => {
      const files = Array.from(Deno.readDirSync(`${master.snapshotPath}/${name}`));
      return files.length > 0 && files.every((file) => file.name !== "manifest.json");
    });
  for (let tries = 0; unfinished().length === 0; tries++) {
    assert(tries < 10, "no kill came in the middle");
    const asked = fetch(`${master.adminUrl}/api/v1/snapshots`, { method: "POST" });
    asked.then((answer) => answer.body?.cancel(), () => {}); // the master is killed meanwhile
    const folders = Array.from(Deno.readDirSync(master.snapshotPath)).length;
    await until(() => Array.from(Deno.readDirSync(master.snapshotPath)).length > folders);
    await master.kill();
    await asked.catch(() => {});
    if (unfinished().length === 0) await master.start();
  }
  await Deno.remove(`${master.directory}/data`, { recursive: true });
  await master.start();
  assert(master.lines.some((line) => /restored snapshot \S+ with 200000 keys/.test(line)));
  const again = await master.snapshot();
  assert.deepEqual([again.keys, again.problems], [200_000, []]);
  assert(again.id > id);
  const left = Array.from(Deno.readDirSync(journal), ({ name }) => name);
  assert.deepEqual(left.filter((name) => /copy|partial/.test(name)), []);
});

Deno.test("backup and restore by hand: any directory, verified, and refused in one line", async () => {
  await using master = await new Master([]).start();
  await using _node = await startNode(master.address, 64 * MIB);
  await using client = await StoreClient.connect({
    ...{ masterServerAddress: master.address, rpcConnectTimeoutMs: 300 },
  });
  await putAll(client, "a");
  const to = `${master.directory}/by-hand`;
  const admin = `--master_admin=${new URL(master.adminUrl).host}`;
  const made = await snowskin(["backup", `--to=${to}`, admin, "--keep=2"]);
  assert.equal(made.code, 0, made.err);
  const said =
    /^snapshot (\S+): 100 keys and 1 segments up to group \d+, \d+ bytes, are in (\S+), /;
  const [, id, where] = said.exec(made.out)!;
  assert.equal(where, to);

  const inUse = await snowskin(["restore", `--from=${to}`, `--data_dir=${master.directory}/data`]);
  assert.equal(inUse.code, 3);
  assert.match(inUse.err, /^snowskin restore: --data_dir=\S+: in use by process \d+[^\n]*$/);
  await master.kill();
  const full = await snowskin(["restore", `--from=${to}`, `--data_dir=${master.directory}/data`]);
  assert.deepEqual([full.code, full.err], [
    3,
    `snowskin restore: --data_dir=${master.directory}/data: holds an index; ` +
    "allowed: an empty directory",
  ]);
  await Deno.remove(`${master.directory}/data`, { recursive: true });
  const back = await snowskin([
    ...["restore", "--from", to, "--data_dir", `${master.directory}/data`, `--snapshot=${id}`],
  ]);
  assert.equal(back.code, 0, back.err);
  assert.match(
    back.out,
    new RegExp(`^restored snapshot ${id} from ${to}: 100 keys and 1 segments`),
  );
  await master.start();
  await checkAll(client, "a");

  const nobody = `127.0.0.1:${await freePort()}`;
  const now = `--master_admin=${new URL(master.adminUrl).host}`;
  const refusals: [string[], number, RegExp][] = [
    [["backup"], 2, /--to=: no place; allowed: a directory, s3:\/\/bucket\/prefix$/],
    [["backup", "--to=ftp://x"], 2, /--to=ftp:\/\/x: ftp:\/\/ is unknown; allowed: /],
    [["backup", "--too=x"], 2, /'--too'.*; allowed: --to, --master_admin, --keep, --help$/],
    [["backup", "--to=/x", "--keep=0"], 2, /--keep=0: not a count; allowed: 1 to 999999$/],
    [["backup", "--to=/x", "--master_admin=x"], 2, /--master_admin=x: not an address; allowed: /],
    [["backup", "--to=/x", `--master_admin=127.0.0.1:${master.port}`], 1, /master_admin=\S+: /],
    [["backup", "--to=/x", `--master_admin=${nobody}`], 1, /admin=127\S+: .*refused/i],
    [["backup", "--to=/dev/null/x", now], 1, /^snowskin backup: \/dev\/null\/x: cannot /],
    [["restore", "--from=/nowhere"], 2, /--data_dir=: no directory; allowed: /],
    [["restore", "--from=/nowhere", `--data_dir=${master.directory}/x`], 1, /no snapshot in \/now/],
    [["restore", "--from=/n", "--data_dir=/x", "--snapshot=x"], 2, /not an id; allowed: YYYY/],
  ];
  for (const [args, code, line] of refusals) {
    const result = await snowskin(args);
    assert.deepEqual([result.code, result.out], [code, ""], `${args}: ${result.err}`);
    assert.match(result.err, line);
    assert(!result.err.includes("\n"), result.err);
  }
});

Deno.test({
  name:
    `wrong keys for a bucket are one line, and stop neither the master nor the old index${noMoto}`,
  ignore: noMoto !== "",
  fn: async () => {
    assert("python" in moto);
    await using server = await MotoServer.start(moto.python, { INITIAL_NO_AUTH_ACTION_COUNT: "1" });
    const known = "the access key is not known there (InvalidAccessKeyId)";
    await using master = new Master(["--snapshot_object_store_type=s3"], server.env);
    await assert.rejects(
      master.start(),
      (error: Error) =>
        error.message.includes(`--enable_snapshot_restore=true: s3://`) &&
        error.message.includes(known),
    );
    master.flags.push("--enable_snapshot_restore=false");
    await master.start();
    const answer = await fetch(`${master.adminUrl}/api/v1/snapshots`, { method: "POST" });
    assert.equal(answer.status, 500);
    assert((await answer.json()).error_message.endsWith(known));
    const warned = master.lines.filter((line) => line.includes(known));
    assert.equal(warned.length, 1);
    const place = `s3://${MotoServer.bucket}/by-hand`;
    const admin = `--master_admin=${new URL(master.adminUrl).host}`;
    const backup = await snowskin(["backup", `--to=${place}`, admin], server.env);
    assert.deepEqual(
      [backup.code, backup.err],
      [1, `snowskin backup: ${place}: cannot be listed: ${known}`],
    );
  },
});

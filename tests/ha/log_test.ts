// Goal: the log that masters share can be read and audited, beside their copies of it, while they run and
// when they have ended, by somebody who may only read. Method: real masters, etcd and Redis.
import assert from "node:assert/strict";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { connectTo, HaMasters, valueOf } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";

const root = new URL("../../", import.meta.url).pathname;

async function log(...args: string[]): Promise<{ code: number; out: string; notes: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${root}snowskin.ts`, "log", ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const [out, notes] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, notes };
}

async function output(command: string, args: string[]): Promise<string> {
  const env = { ETCDCTL_API: "3" };
  const { success, stdout, stderr } = await new Deno.Command(command, { args, env }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Two masters with some objects, and what is said of their log while they run and afterwards. */
async function auditBoth(
  flags: string[],
  reader: string[],
  client: string,
  content: () => Promise<string>,
): Promise<void> {
  await using masters = await HaMasters.start(2, flags);
  await using store = await connectTo(client, { bytes: 16 << 20 });
  for (let i = 0; i < 20; i++) await store.put(`key ${i}`, valueOf(`${i}`));
  for (let i = 0; i < 5; i++) await store.remove(`key ${i}`, { force: true });
  const directories = masters.all.map(({ directory }) => `--data_dir=${directory}`);

  // A put into reserved memory gets its key at its end.
  const kinds = "--kind=WRITE_STARTED,WRITE_NAMED";
  const shown = await log("inspect", ...reader, "--key=key%207", kinds, "--json");
  assert.equal(shown.code, 0, shown.notes);
  assert.equal(JSON.parse(shown.out).key, "key%207");
  const running = await log("audit", ...directories, ...reader);
  assert.equal(running.code, 0, running.out + running.notes);
  assert.match(running.out, /note: a master uses it: process \d+ on /);
  assert.match(running.out, /the log of cluster mooncake_cluster in \w+: sound/);

  await store.close();
  await until(async () => {
    const groups = await Promise.all(masters.all.map((master) => master.ready()));
    return new Set(groups.map(({ applied_group }) => applied_group)).size === 1;
  });
  for (const master of masters.all) await master.process.stop("SIGTERM");
  const before = await content();
  const ended = await log("audit", ...directories, ...reader, "--json");
  assert.equal(ended.code, 0, ended.out + ended.notes);
  const { logs } = JSON.parse(ended.out);
  assert.equal(logs.length, 3);
  assert.equal(
    new Set(logs.map(({ state }: { state: { digest: number } }) => state.digest)).size,
    1,
  );
  assert.equal(await content(), before, "nothing was written");
}

testWith(etcdAbsent, "the log in etcd and the masters' copies of it are sound", async () => {
  await using etcd = await EngineServer.etcd();
  const flags = [`--etcd_endpoints=${etcd.address}`];
  const all = ["--endpoints", etcd.address, "get", "--prefix", "snowskin/", "-w", "fields"];
  await auditBoth(flags, flags, `etcd://${etcd.address}`, () => output("etcdctl", all));
});

testWith(redisAbsent, "the log in Redis is audited by a user who may only read", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const password = `${directory}/password`;
    await Deno.writeTextFile(password, "secret\n");
    await using redis = await EngineServer.redis(
      ...["--user", "reader", "on", ">secret", "~*", "+@read", "+@connection"],
    );
    const flags = ["--ha_backend_type=redis", `--ha_backend_connstring=redis://${redis.address}`];
    const reader = [...flags, "--ha_user=reader", `--ha_password_file=${password}`];
    await auditBoth(flags, reader, `redis://${redis.address}`, () => Promise.resolve(""));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

testWith(
  etcdAbsent,
  "a shared log that is not there, or nobody answers for, is one line",
  async () => {
    await using etcd = await EngineServer.etcd();
    const none = await log("audit", `--etcd_endpoints=${etcd.address}`, "--cluster_id=other");
    assert.deepEqual([none.code, none.out], [1, ""]);
    assert.equal(none.notes, "snowskin log: the log of cluster other in etcd: there is none\n");
    await etcd.stop();
    const absent = await log("inspect", `--etcd_endpoints=${etcd.address}`);
    assert.equal(absent.code, 1);
    assert.match(
      absent.notes,
      /^snowskin log: the log of cluster \S+ in etcd cannot be read: [^\n]+\n$/,
    );
  },
);

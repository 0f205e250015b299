// Goal: with etcd, the loss of any master loses nothing that was acknowledged, and a leader that is no
// longer one answers nothing. Method: real masters, real etcd, our client under load; the leader is
// killed, frozen, cut off from etcd, and etcd runs full.
import assert from "node:assert/strict";
import { MasterClient } from "../../client/master_client.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { parseHostPort } from "../../client/transfer/address.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { StoreError } from "../../proto/error.ts";
import { CuttableProxy } from "../support/cuttable_proxy.ts";
import { EngineServer, etcdAbsent, testWith } from "../support/engine_servers.ts";
import { connectTo, HaLoad, HaMasters, type Ready, valueOf } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;

async function etcdctl(etcd: EngineServer, ...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("etcdctl", {
    args: ["--endpoints", etcd.address, ...args],
    env: { ETCDCTL_API: "3" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

testWith(
  etcdAbsent,
  "a killed leader is replaced in seconds and nothing acknowledged is lost",
  async () => {
    await using etcd = await EngineServer.etcd();
    await using masters = await HaMasters.start(3, [`--etcd_endpoints=${etcd.address}`]);
    await using node = await connectTo(`etcd://${etcd.address}`, { bytes: 256 * MIB });
    await using client = await connectTo(`etcd://${etcd.address}`);
    await masters.standbys();
    const load = new HaLoad();
    const writers = [node, client].map((one, i) => load.write(one, `w${i}`));
    await until(() => load.stored.size > 500);
    const leader = await masters.leader();
    const before = load.stored.size;
    await leader.process.stop("SIGKILL");
    const killedMs = performance.now();
    await until(() => load.stored.size > before + 10);
    console.log(`first puts ${Math.round(performance.now() - killedMs)} ms after the kill`);
    await until(() => load.stored.size > before + 500);
    load.stop();
    await Promise.all(writers);
    console.log(
      `longest pause between two acknowledged puts: ${Math.round(load.longestPauseMs)} ms`,
    );
    assert(load.longestPauseMs < 5000);
    await load.check(client);
    await leader.start();
    const { keys } = await (await masters.leader()).ready();
    await until(async () => (await leader.ready("?promote=1")).keys === keys);
    assert.equal((await leader.ready()).status, 503, "the old leader is back, as a standby");
  },
);

/** Asks a master directly; `null` = it does not answer. */
async function ask(address: string, key: string): Promise<number | null> {
  const { host, port } = parseHostPort(address)!;
  const rpc = new RpcClient({
    ...{ host, port: port!, clock: systemClock, connectTimeoutMs: 500, requestTimeoutMs: 4000 },
  });
  const bytes = (text: string) => new TextEncoder().encode(text);
  try {
    const request = { key: bytes(key), tenantId: bytes("default") };
    return (await new MasterClient(rpc).getReplicaList(request)).code;
  } catch (error) {
    if (error instanceof StoreError) return null;
    throw error;
  } finally {
    await rpc.close();
  }
}

testWith(etcdAbsent, "a leader that was frozen answers nothing when it wakes up", async () => {
  await using etcd = await EngineServer.etcd();
  await using masters = await HaMasters.start(2, [`--etcd_endpoints=${etcd.address}`]);
  await using client = await connectTo(`etcd://${etcd.address}`, { bytes: 64 * MIB });
  await masters.standbys();
  await client.put("old", valueOf("old"));
  const frozen = await masters.leader();
  assert.equal(await ask(frozen.address, "old"), 0);
  frozen.process.kill("SIGSTOP");
  // These lie in the sockets of the frozen leader when it wakes up.
  const asked = Promise.all(["old", "new"].map((key) => ask(frozen.address, key)));
  await masters.leader(frozen);
  await until(() => client.put("new", valueOf("new")).then(() => true, () => false));
  frozen.process.kill("SIGCONT");
  assert.deepEqual(await asked, [null, null]);
  await until(() => frozen.canLead());
  assert.deepEqual(await client.get("old"), valueOf("old"));
  assert.deepEqual(await client.get("new"), valueOf("new"));
});

testWith(
  etcdAbsent,
  "a leader that is cut off from etcd stops answering before another leads",
  async () => {
    await using etcd = await EngineServer.etcd();
    await using proxy = await CuttableProxy.to(etcd.port);
    await using masters = await HaMasters.start(1, [`--etcd_endpoints=${proxy.address}`]);
    const cut = await masters.leader();
    const other = await masters.add([`--etcd_endpoints=${etcd.address}`]);
    await masters.standbys();
    await using client = await connectTo(`etcd://${etcd.address}`, { bytes: 64 * MIB });
    await client.put("a", valueOf("a"));
    proxy.cut();
    const answers: { atMs: number; code: number | null }[] = [];
    let asking = true;
    const asker = (async () => {
      while (asking) answers.push({ code: await ask(cut.address, "a"), atMs: performance.now() });
    })();
    await until(() => other.leads());
    const electedMs = performance.now();
    await until(() => client.put("b", valueOf("b")).then(() => true, () => false));
    asking = false;
    await asker;
    const late = answers.filter(({ atMs, code }) => code !== null && atMs > electedMs);
    assert.deepEqual(late, []);
    assert(answers.some(({ code }) => code === 0), "it has answered for a while");
    proxy.mend();
    await until(() => cut.canLead());
    assert.deepEqual(await client.get("a"), valueOf("a"));
    assert.deepEqual(await client.get("b"), valueOf("b"));
  },
);

testWith(
  etcdAbsent,
  "a late standby takes a checkpoint, follows, checks itself, and can lead",
  async () => {
    await using etcd = await EngineServer.etcd();
    const flags = [`--etcd_endpoints=${etcd.address}`, "--ha_log_bytes=524288"];
    await using masters = await HaMasters.start(2, flags);
    await using client = await connectTo(`etcd://${etcd.address}`, { bytes: 256 * MIB });
    await using other = await connectTo(`etcd://${etcd.address}`);
    const load = new HaLoad();
    const writers = [client, other].map((one, i) => load.write(one, `${"w".repeat(400)}${i}`));
    const prefix = "snowskin/mooncake_cluster/log/";
    await until(async () => {
      const keys = await etcdctl(etcd, "get", prefix, "--prefix", "--keys-only", "--limit=1");
      const first = Number(keys.slice(prefix.length).split(".")[0]);
      return first > 1;
    });
    const late = await masters.add();
    await until(() => late.canLead());
    await late.process.line(/took the checkpoint of group \d+ from/);
    // Its doors are closed for a moment whenever it begins anew from a checkpoint.
    let check: Ready["self_check"] = null;
    await until(async () => {
      check = await late.ready().then(({ self_check }) => self_check, () => null);
      return check !== null;
    });
    assert.equal(check!.same_as_leader, true);
    load.stop();
    await Promise.all(writers);
    const earlier = masters.all.filter((master) => master !== late);
    for (const master of earlier) await master.process.stop("SIGKILL");
    await until(() => late.leads());
    await until(() => client.put("last", valueOf("last")).then(() => true, () => false));
    // It may still be on its way to the leader that is gone.
    await until(() => other.get("last").then((value) => value !== null, () => false));
    await load.check(other);
  },
);

testWith(
  etcdAbsent,
  "a full etcd refuses changes with a clear error, and they go on once there is room",
  async () => {
    await using etcd = await EngineServer.etcd("--quota-backend-bytes=8388608");
    await using masters = await HaMasters.start(1, [`--etcd_endpoints=${etcd.address}`]);
    await using client = await connectTo(`etcd://${etcd.address}`, { bytes: 64 * MIB });
    await client.put("before", valueOf("before"));
    const filler = "x".repeat(1 << 16);
    for (let full = false; !full;) {
      full = await etcdctl(etcd, "put", "filler", filler).then(() => false, () => true);
    }
    let refusal = "";
    await until(async () => {
      const put = client.put("during", valueOf("during"));
      refusal = await put.then(() => "", (error: Error) => error.message);
      return refusal !== "";
    });
    assert.match(refusal, /the change could not be kept|PERSISTENT_FAIL/);
    assert.deepEqual(await client.get("before"), valueOf("before"), "reads go on");
    const leader = await masters.leader();
    await leader.process.line(/changes are refused, reads go on: etcd refuses: .*space exceeded/);
    await etcdctl(etcd, "del", "filler");
    const status = JSON.parse(await etcdctl(etcd, "endpoint", "status", "-w", "json"));
    await etcdctl(etcd, "compact", String(status[0].Status.header.revision));
    await etcdctl(etcd, "defrag");
    await etcdctl(etcd, "alarm", "disarm");
    await leader.process.line(/changes are taken again/);
    await client.put("after", valueOf("after"));
    assert.deepEqual(await client.get("after"), valueOf("after"));
  },
);

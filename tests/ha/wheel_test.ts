// Goal: an unmodified wheel finds our leader in etcd, and goes on when another master leads.
import assert from "node:assert/strict";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { EngineServer, etcdAbsent, testWith } from "../support/engine_servers.ts";
import { HaMasters } from "../support/ha_masters.ts";
import { findWheel } from "../support/wheel.ts";

const wheel = await findWheel();
const missing = etcdAbsent ?? ("reason" in wheel ? `the reference wheel: ${wheel.reason}` : null);

testWith(
  missing,
  "the wheel stores and reads through the leader in etcd, also after a failover",
  async () => {
    if ("reason" in wheel) return;
    await using etcd = await EngineServer.etcd();
    await using masters = await HaMasters.start(2, [
      ...[`--etcd_endpoints=${etcd.address}`, "--cluster_id=wheel-cluster"],
    ]);
    await masters.standbys();
    const script = new URL("wheel_client.py", import.meta.url).pathname;
    const env = { MC_STORE_CLUSTER_ID: "wheel-cluster" };
    const args = [script, `etcd://${etcd.address}`];
    await using client = new LocalProcess("wheel", wheel.python, args, { env });
    await client.line(/^stored enough/);
    const leader = await masters.leader();
    await leader.process.stop("SIGKILL");
    const line = await client.line(/^result /, 60_000);
    const result = JSON.parse(line.slice("result ".length));
    console.log(
      `the wheel's puts go on ${result.back_after_s?.toFixed(1)} s after the first that failed`,
    );
    assert.equal(result.missing, 0);
    assert.equal(result.wrong, 0);
    assert(result.stored >= 300 && result.back_after_s !== null);
  },
);

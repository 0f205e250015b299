// Goal: tenants of a cluster keep their objects, name spaces and quotas when the leader is lost.
// Method: two masters that begin with one quota file, Redis between them; the leader is killed.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { StoreError } from "../../proto/error.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { EngineServer, redisAbsent, testWith } from "../support/engine_servers.ts";
import { type HaMaster, HaMasters, valueOf } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;

async function chargedOf(master: HaMaster, tenant: string) {
  const answer = await fetch(`${master.adminUrl}/api/v1/tenant_quotas?tenant_id=${tenant}`);
  const { data } = await answer.json();
  return [data?.requested_quota_bytes, data?.charged_bytes];
}

testWith(redisAbsent, "tenants and their objects outlive the leader of a cluster", async () => {
  const quotas = await Deno.makeTempFile({ suffix: ".yaml" });
  await Deno.writeTextFile(
    quotas,
    'version: 1\n\ntenants:\n  - name: "a"\n    quota: 16MB\n  - name: "b"\n    quota: 8MB\n',
  );
  {
    await using redis = await EngineServer.redis();
    const address = `redis://${redis.address}`;
    await using masters = await HaMasters.start(2, [
      ...["--ha_backend_type=redis", `--ha_backend_connstring=${address}`],
      ...["--enable_multi_tenants", `--tenant_quota_connector_uri=${quotas}`],
    ]);
    const connect = (tenantId: string, globalSegmentSize = 0) =>
      StoreClient.connect({
        ...{ masterServerAddress: address, tenantId, globalSegmentSize },
        rpcConnectTimeoutMs: 1000,
      });
    await using a = await connect("a", 32 * MIB);
    await using b = await connect("b");
    await using stranger = await connect("c");
    await a.put("same", valueOf("a"));
    await b.put("same", valueOf("b"));
    const [standby] = await masters.standbys();
    const leader = await masters.leader();
    const { status } = await fetch(`${leader.adminUrl}/api/v1/tenant_quotas?tenant_id=a`, {
      method: "PUT",
      body: `{"requested_quota_bytes":${12 * MIB}}`,
    });
    assert.equal(status, 200);
    await leader.process.stop("SIGKILL");
    await masters.leader(leader);
    const taken = () => a.put("later", valueOf("later")).then(() => true, () => false);
    await until(taken);
    assert.deepEqual(await a.get("same"), valueOf("a"));
    assert.deepEqual(await b.get("same"), valueOf("b"));
    assert.equal(await b.get("later"), null);
    const unregistered = (error: unknown) =>
      error instanceof StoreError && error.code === ErrorCode.TENANT_NOT_REGISTERED;
    await assert.rejects(stranger.put("x", valueOf("x")), unregistered);
    const bytes = valueOf("a").length;
    assert.deepEqual(await chargedOf(standby, "a"), [12 * MIB, 2 * bytes]);
    assert.deepEqual(await chargedOf(standby, "b"), [8 * MIB, bytes]);
  }
  await Deno.remove(quotas);
});

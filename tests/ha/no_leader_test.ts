// Goal: who finds no leader is told what was found instead, and what to do about it. Method: real
// engines that nobody leads by, and one that names a master that is gone.
import assert from "node:assert/strict";
import { openEtcd } from "../../client/transfer/etcd_client.ts";
import { openRedis } from "../../client/transfer/redis_client.ts";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { connectTo } from "../support/ha_masters.ts";

const KEY = "mooncake-store/mooncake_cluster/master_view";
const nobody = { user: "", password: "", tlsCa: "", tlsCert: "", tlsKey: "" };
const gone = /: the leader is 127\.0\.0\.1:1: connection refused; start one with "deno run /;

testWith(etcdAbsent, "no leader in etcd, and one that is gone", async () => {
  await using server = await EngineServer.etcd();
  const url = `etcd://${server.address}`;
  const flags = `--enable_ha=true --etcd_endpoints=${server.address} --cluster_id=mooncake_cluster`;
  await assert.rejects(connectTo(url), (error: Error) => {
    assert(error.message.startsWith(`No master leads by ${url}: etcd has no key ${KEY}; start `));
    assert(error.message.includes(flags), error.message);
    return true;
  });
  const etcd = await openEtcd([server.address], nobody, 1000);
  await etcd.put(KEY).value("127.0.0.1:1");
  etcd.close();
  await assert.rejects(connectTo(url), gone);
});

testWith(redisAbsent, "no leader in Redis, and one that is gone", async () => {
  await using server = await EngineServer.redis();
  const url = `redis://${server.address}/0`;
  await assert.rejects(connectTo(url), (error: Error) => {
    assert(error.message.startsWith(`No master leads by ${url}: Redis has no key ${KEY}; start `));
    assert(error.message.includes(`--ha_backend_connstring=${url}`), error.message);
    return true;
  });
  const redis = await openRedis(url, nobody, 1000);
  await redis.set(KEY, "127.0.0.1:1");
  redis.disconnect();
  await assert.rejects(connectTo(url), gone);
});

// Goal: engines behind certificates and passwords serve masters and clients, and strangers are told why
// not. Method: an authority of the test's own; real etcd and Redis that ask for client certificates.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { makeCertificates, run } from "../support/certificates.ts";
import {
  EngineServer,
  etcdAbsent,
  opensslAbsent,
  redisAbsent,
  testWith,
} from "../support/engine_servers.ts";
import { connectTo, HaMasters, valueOf } from "../support/ha_masters.ts";

testWith(etcdAbsent ?? opensslAbsent, "etcd with certificates on both sides", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await makeCertificates(directory);
    const path = (name: string) => `${directory}/${name}`;
    await using etcd = await EngineServer.etcd(
      ...[`--cert-file=${path("server.pem")}`, `--key-file=${path("server.key")}`],
      ...[`--trusted-ca-file=${path("ca.pem")}`, "--client-cert-auth"],
    );
    const endpoint = `localhost:${etcd.port}`;
    await using masters = await HaMasters.start(1, [
      ...[`--etcd_endpoints=${endpoint}`, `--ha_tls_ca=${path("ca.pem")}`],
      ...[`--ha_tls_cert=${path("client.pem")}`, `--ha_tls_key=${path("client.key")}`],
    ]);
    await using client = await StoreClient.connect({
      ...{ masterServerAddress: `etcd://${endpoint}`, globalSegmentSize: 16 << 20 },
      ...{ haTlsCa: path("ca.pem"), haTlsCert: path("client.pem"), haTlsKey: path("client.key") },
    });
    await client.put("a", valueOf("a"));
    assert.deepEqual(await client.get("a"), valueOf("a"));
    const stranger = await masters.add([`--etcd_endpoints=${etcd.address}`]);
    await stranger.process.line(/this master cannot lead: etcd: /);
    const lost = await masters.all[0].process.stop("SIGTERM");
    assert.equal(lost.code, 0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

testWith(redisAbsent ?? opensslAbsent, "Redis with certificates on both sides", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await makeCertificates(directory);
    const path = (name: string) => `${directory}/${name}`;
    await using redis = await EngineServer.redis(
      ...["--tls-port", "0", "--tls-auth-clients", "yes", "--tls-ca-cert-file", path("ca.pem")],
      ...["--tls-cert-file", path("server.pem"), "--tls-key-file", path("server.key")],
    );
    const url = `rediss://localhost:${redis.port}`;
    await using masters = await HaMasters.start(1, [
      ...["--ha_backend_type=redis", `--ha_backend_connstring=${url}`],
      ...[`--ha_tls_ca=${path("ca.pem")}`, `--ha_tls_cert=${path("client.pem")}`],
      `--ha_tls_key=${path("client.key")}`,
    ]);
    await using client = await StoreClient.connect({
      ...{ masterServerAddress: url, globalSegmentSize: 16 << 20, haTlsCa: path("ca.pem") },
      ...{ haTlsCert: path("client.pem"), haTlsKey: path("client.key") },
    });
    await client.put("a", valueOf("a"));
    assert.deepEqual(await client.get("a"), valueOf("a"));
    assert.equal((await masters.all[0].ready()).keys, 1);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

testWith(etcdAbsent, "etcd with users", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/good`, "secret\n");
    await Deno.writeTextFile(`${directory}/bad`, "wrong\n");
    await using etcd = await EngineServer.etcd();
    const etcdctl = (...args: string[]) =>
      run("etcdctl", ["--endpoints", etcd.address, ...args], { ETCDCTL_API: "3" });
    await etcdctl("user", "add", "root:secret");
    await etcdctl("auth", "enable");
    const flags = [`--etcd_endpoints=${etcd.address}`, "--ha_user=root"];
    await using masters = await HaMasters.start(1, [
      ...flags,
      `--ha_password_file=${directory}/good`,
    ]);
    const stranger = await masters.add([...flags, `--ha_password_file=${directory}/bad`]);
    await stranger.process.line(/this master cannot lead: etcd refuses: .*authentication failed/);
    await assert.rejects(
      connectTo(`etcd://${etcd.address}`),
      /No master leads by etcd:.*asked: 3 /,
    );
    await using client = await StoreClient.connect({
      ...{ masterServerAddress: `etcd://${etcd.address}`, globalSegmentSize: 16 << 20 },
      ...{ haUser: "root", haPassword: "secret" },
    });
    await client.put("a", valueOf("a"));
    assert.deepEqual(await client.get("a"), valueOf("a"));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

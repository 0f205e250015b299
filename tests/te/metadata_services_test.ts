// Goal: etcd and Redis keep the documents of transfer endpoints as the reference's engine keeps them,
// behind users and certificates, too. Method: real servers, their own command lines as witnesses.
import assert from "node:assert/strict";
import { systemClock } from "../../client/transfer/clock.ts";
import { KvMetadata, type MetadataKv } from "../../client/transfer/kv_metadata.ts";
import {
  type MetadataAccess,
  openMetadataKv,
  parseMetadataServer,
} from "../../client/transfer/metadata_server.ts";
import { openAccess } from "../../client/transfer/service_access.ts";
import { parseSegmentDocument } from "../../proto/metadata/segment_document.ts";
import { makeCertificates, run } from "../support/certificates.ts";
import {
  EngineServer,
  etcdAbsent,
  opensslAbsent,
  redisAbsent,
  testWith,
} from "../support/engine_servers.ts";

const DOCUMENT = parseSegmentDocument(
  '{"buffers":[{"addr":140325037273104,"length":4096,"name":"10.0.0.7:12345"}],' +
    '"name":"10.0.0.7:12345","protocol":"tcp","rdma_server_name":"","tcp_data_host":"10.0.0.7",' +
    '"tcp_data_port":16196,"tcp_proto_version":2,"timestamp":"2026-01-01 09:29:37.214397"}',
);
const META = { host: "10.0.0.7", port: 15001 };
const RPC_KEY = "mooncake/rpc_meta/10.0.0.7:12345";
const RAM_KEY = "mooncake/ram/10.0.0.7:12345";
const RPC_TEXT = '{"ip_or_host_name":"10.0.0.7","rpc_port":15001}';

async function withKv(
  server: string,
  access: Partial<MetadataAccess>,
  use: (kv: MetadataKv) => Promise<void>,
): Promise<void> {
  const service = parseMetadataServer("metadata", server);
  assert(service.kind !== "p2p");
  const kv = openMetadataKv(service, { ...openAccess, ...access }, systemClock);
  try {
    await use(kv);
  } finally {
    await kv.close();
  }
}

/** What every service has to do. */
async function keepDocuments(kv: MetadataKv): Promise<void> {
  let alive = true;
  const open = () => new KvMetadata({ kv, clusterId: "", probe: () => Promise.resolve(alive) });
  const owner = open();
  await owner.publish(DOCUMENT, META);
  assert.equal(await kv.get(RPC_KEY), RPC_TEXT);
  assert.deepEqual(parseSegmentDocument(await kv.get(RAM_KEY) ?? ""), DOCUMENT);
  assert.deepEqual((await open().lookup(DOCUMENT.name)).document, DOCUMENT);
  assert.deepEqual(await open().handshakeAddress(DOCUMENT.name), META);
  await assert.rejects(open().lookup("nobody:1"), /no segment "nobody:1"/);

  const other = { host: "10.0.0.8", port: 15002 };
  await assert.rejects(open().publish(DOCUMENT, other), /in use by the process that answers/);
  assert.equal(await kv.get(RPC_KEY), RPC_TEXT);
  await kv.put(RAM_KEY, "another");
  await kv.delete(RPC_KEY);
  assert.equal(await owner.restore(), true);
  assert.equal(await owner.restore(), false);
  assert.deepEqual(await kv.list("mooncake/"), [RAM_KEY, RPC_KEY]);
  assert.deepEqual(await kv.list("mooncake/r?m"), []);

  alive = false;
  const successor = open();
  await successor.publish(DOCUMENT, other);
  assert.deepEqual(await open().handshakeAddress(DOCUMENT.name), other);
  await successor.withdraw();
  assert.deepEqual(await kv.list(""), []);
}

testWith(etcdAbsent, "etcd keeps documents as the reference does", async () => {
  await using etcd = await EngineServer.etcd();
  await withKv(`etcd://${etcd.address}`, {}, keepDocuments);
  await withKv(etcd.address, {}, async (kv) => {
    await kv.put(RPC_KEY, RPC_TEXT);
    const args = ["--endpoints", etcd.address, "get", "--print-value-only", RPC_KEY];
    const { stdout } = await new Deno.Command("etcdctl", { args, env: { ETCDCTL_API: "3" } })
      .output();
    assert.equal(new TextDecoder().decode(stdout), `${RPC_TEXT}\n\n`, "the value ends a line");
  });
});

testWith(redisAbsent, "Redis keeps documents in the database that was asked for", async () => {
  await using redis = await EngineServer.redis();
  await withKv(`redis://${redis.address}`, {}, keepDocuments);
  await withKv(`redis://${redis.address}`, { database: 3 }, (kv) => kv.put(RPC_KEY, RPC_TEXT));
  await withKv(`redis://${redis.address}/3`, {}, async (kv) => {
    assert.equal(await kv.get(RPC_KEY), RPC_TEXT);
  });
  const args = ["-p", String(redis.port), "-n", "3", "--raw", "get", RPC_KEY];
  const { stdout } = await new Deno.Command("redis-cli", { args }).output();
  assert.equal(new TextDecoder().decode(stdout), `${RPC_TEXT}\n`);
});

testWith(etcdAbsent, "etcd with users, and an etcd that is not there", async () => {
  await using etcd = await EngineServer.etcd();
  const server = `etcd://${etcd.address}`;
  const etcdctl = (...args: string[]) =>
    run("etcdctl", ["--endpoints", etcd.address, ...args], { ETCDCTL_API: "3" });
  await etcdctl("user", "add", "root:secret");
  await etcdctl("auth", "enable");
  await withKv(server, { user: "root", password: "secret" }, keepDocuments);
  for (const access of [{}, { user: "root", password: "wrong" }]) {
    await withKv(server, access, async (kv) => {
      await assert.rejects(kv.get(RPC_KEY), /The etcd at 127\.0\.0\.1:\d+ cannot be asked: /);
    });
  }
  await etcd.stop();
  await withKv(server, {}, async (kv) => {
    await assert.rejects(kv.get(RPC_KEY), /The etcd at 127\.0\.0\.1:\d+ cannot be asked: /);
  });
});

testWith(redisAbsent, "Redis with users, and a Redis that is not there", async () => {
  await using redis = await EngineServer.redis("--user", "te", "on", ">secret", "~*", "+@all");
  const server = `redis://${redis.address}`;
  const redisCli = (...args: string[]) => run("redis-cli", ["-p", String(redis.port), ...args]);
  await redisCli("acl", "setuser", "default", "off");
  await withKv(server, { user: "te", password: "secret" }, keepDocuments);
  await withKv(server, { user: "te", password: "wrong" }, async (kv) => {
    await assert.rejects(kv.get(RPC_KEY), /The Redis at redis:.* cannot be asked: /);
  });
  await redis.stop();
  await withKv(server, {}, async (kv) => {
    await assert.rejects(kv.get(RPC_KEY), /The Redis at redis:.* cannot be asked: /);
  });
});

testWith(
  etcdAbsent ?? redisAbsent ?? opensslAbsent,
  "etcd and Redis with certificates on both sides",
  async () => {
    const directory = await Deno.makeTempDir();
    try {
      await makeCertificates(directory);
      const path = (name: string) => `${directory}/${name}`;
      const access = {
        tlsCa: path("ca.pem"),
        tlsCert: path("client.pem"),
        tlsKey: path("client.key"),
      };
      await using etcd = await EngineServer.etcd(
        ...[`--cert-file=${path("server.pem")}`, `--key-file=${path("server.key")}`],
        ...[`--trusted-ca-file=${path("ca.pem")}`, "--client-cert-auth"],
      );
      await withKv(`etcd://localhost:${etcd.port}`, access, keepDocuments);
      await using redis = await EngineServer.redis(
        ...["--tls-port", "0", "--tls-auth-clients", "yes", "--tls-ca-cert-file", path("ca.pem")],
        ...["--tls-cert-file", path("server.pem"), "--tls-key-file", path("server.key")],
      );
      await withKv(`rediss://localhost:${redis.port}`, access, keepDocuments);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

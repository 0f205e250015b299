import assert from "node:assert/strict";
import { createServer as createTcpServer } from "node:net";
import type { SegmentDocument } from "../../proto/metadata/segment_document.ts";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import { listenHandshakes } from "../../tests/support/handshakes.ts";
import { ReferenceMetadata } from "../../tests/support/reference_metadata.ts";
import { until } from "../../tests/support/until.ts";
import { systemClock } from "./clock.ts";
import { HttpKv } from "./http_kv.ts";
import { KvMetadata, type KvMetadataOptions } from "./kv_metadata.ts";
import { P2pMetadata } from "./metadata_store.ts";

const HOST = "127.0.0.1";

function documentOf(name: string, changes: Partial<SegmentDocument> = {}): SegmentDocument {
  return {
    name,
    protocols: ["tcp"],
    buffers: [{
      name,
      addr: 0x5eed_0000_0000n,
      length: 4096,
      protocol: "",
      rkeys: [],
      lkeys: [],
    }],
    tcpDataHost: "10.0.0.7",
    tcpDataPort: 16000,
    tcpProtoVersion: 2,
    localName: "",
    rdmaServerName: "",
    devices: [],
    priorities: new Map(),
    timestamp: "",
    ...changes,
  };
}

function clientOf(
  { url }: ReferenceMetadata,
  changes: Partial<KvMetadataOptions> = {},
): KvMetadata {
  return new KvMetadata({
    kv: new HttpKv({ url, clock: systemClock }),
    clusterId: "",
    probe: () => Promise.resolve(false),
    ...changes,
  });
}

const meta = { host: "10.0.0.7", port: 15001 };
const RAM = "mooncake%2Fram%2F10.0.0.7%3A12345";
const RPC = "mooncake%2Frpc_meta%2F10.0.0.7%3A12345";

Deno.test("documents are stored under the keys and with the escape of the reference", async () => {
  await using store = await ReferenceMetadata.start();
  await clientOf(store).publish(documentOf("10.0.0.7:12345"), meta);
  assert.deepEqual([...store.values.keys()], [RPC, RAM]);
  assert.equal(store.values.get(RPC), '{"ip_or_host_name":"10.0.0.7","rpc_port":15001}');
  await clientOf(store, { clusterId: "c1" }).publish(documentOf("a!'()*b"), meta);
  assert(store.values.has("mooncake%2Fc1%2Fram%2Fa%21%27%28%29%2Ab"));
});

Deno.test("a looked-up document names the data host, or that of rpc_meta", async () => {
  await using store = await ReferenceMetadata.start();
  const client = clientOf(store);
  await client.publish(documentOf("a:1"), meta);
  assert.equal((await client.lookup("a:1")).dataHost, "10.0.0.7");
  await client.publish(documentOf("b:1", { tcpDataHost: "" }), { host: "10.0.0.8", port: 15002 });
  const found = await clientOf(store).lookup("b:1");
  assert.equal(found.dataHost, "10.0.0.8");
  assert.equal(found.document.buffers[0].addr, 0x5eed_0000_0000n);
  await assert.rejects(client.lookup("nobody:1"), /no segment "nobody:1"/);
  store.values.delete("mooncake%2Frpc_meta%2Fb%3A1");
  await assert.rejects(client.lookup("b:1"), /no host for segment b:1/);
});

Deno.test("the name of a dead process is taken over, that of a living one is refused", async () => {
  await using store = await ReferenceMetadata.start();
  await clientOf(store).publish(documentOf("10.0.0.7:12345"), { host: "10.0.0.7", port: 15999 });
  const probed: string[] = [];
  const second = (alive: boolean) =>
    clientOf(store, {
      probe: (host, port) => {
        probed.push(`${host}:${port}`);
        return Promise.resolve(alive);
      },
    });
  await assert.rejects(
    second(true).publish(documentOf("10.0.0.7:12345"), meta),
    /The name "10\.0\.0\.7:12345" is in use by the process that answers at 10\.0\.0\.7:15999/,
  );
  await second(false).publish(documentOf("10.0.0.7:12345"), meta);
  assert.match(store.values.get(RPC) ?? "", /15001/);
  assert.deepEqual(probed, ["10.0.0.7:15999", "10.0.0.7:15999"]);
});

Deno.test("replaced and deleted documents are put back, untouched ones left alone", async () => {
  await using store = await ReferenceMetadata.start();
  const client = clientOf(store);
  await client.publish(documentOf("10.0.0.7:12345"), meta);
  const stored = new Map(store.values);
  assert.equal(await client.restore(), false);
  for (const key of [RPC, RAM]) {
    store.values.set(key, '{"ip_or_host_name":"6.6.6.6","rpc_port":666}');
    assert.equal(await client.restore(), true, key);
    assert.deepEqual(store.values, stored);
    store.values.delete(key);
    assert.equal(await client.restore(), true, key);
    assert.equal(store.values.get(key), stored.get(key));
  }
});

Deno.test("withdrawing deletes our documents and spares those of a successor", async () => {
  await using store = await ReferenceMetadata.start();
  const client = clientOf(store);
  await client.publish(documentOf("10.0.0.7:12345"), meta);
  store.values.set(RAM, "another");
  await client.withdraw();
  assert.deepEqual([...store.values], [[RAM, "another"]]);
  assert.equal(await client.restore(), false);
});

Deno.test("a silent metadata server costs 3 seconds, an absent one an error", async () => {
  const silent = createTcpServer((socket) => socket.on("error", () => {}).resume());
  let connections = 0;
  silent.on("connection", () => connections++);
  await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
  const { port } = silent.address() as { port: number };
  const clock = new FakeClock();
  const make = (clock: FakeClock) =>
    new KvMetadata({
      kv: new HttpKv({ url: `http://${HOST}:${port}/metadata`, clock }),
      clusterId: "",
      probe: () => Promise.resolve(false),
    });
  const asked = make(clock).lookup("a:1");
  await until(() => connections === 1 && clock.pending === 1);
  await Promise.all([assert.rejects(asked, /no answer within 3000 ms/), clock.advance(3000)]);
  await new Promise((resolve) => silent.close(resolve));
  await assert.rejects(make(new FakeClock()).lookup("a:1"), /cannot be asked/);
});

Deno.test("without a service the peer itself answers for its document", async () => {
  const handshake = { clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 };
  const owner = new P2pMetadata(handshake);
  const server = await listenHandshakes(HOST, {
    ...handshake,
    document: () => owner.handshakeAnswer(),
  });
  const name = `${HOST}:${server.port}`;
  const reader = new P2pMetadata(handshake);
  await assert.rejects(reader.lookup(name), /answers no document/);
  await owner.publish(documentOf(name, { tcpDataHost: "" }));
  const found = await reader.lookup(name);
  assert.equal(found.dataHost, HOST);
  assert.equal(found.document.name, name);
  await assert.rejects(reader.lookup("no-port"), /no handshake address/);
  await server.close();
  await assert.rejects(reader.lookup(name), /Cannot shake hands/);
});

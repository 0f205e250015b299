import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { SegmentDocument } from "../../proto/metadata/segment_document.ts";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import { listenHandshakes } from "../../tests/support/handshakes.ts";
import { until } from "../../tests/support/until.ts";
import { systemClock } from "./clock.ts";
import { HttpMetadata, type HttpMetadataOptions } from "./http_metadata.ts";
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

/** The store of a reference master: keys as sent, and no replacing of another's `rpc_meta`. */
class ReferenceStore {
  readonly values = new Map<string, string>();
  readonly #server: Server;
  url = "";

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const key = request.url?.split("?key=")[1] ?? "";
      let body = "";
      for await (const chunk of request) body += chunk;
      const old = this.values.get(key);
      let status = 200;
      if (request.method === "PUT") {
        const taken = key.includes("rpc_meta") && old !== undefined && old !== body;
        if (taken) status = 400;
        else this.values.set(key, body);
      } else if (old === undefined) status = 404;
      else if (request.method === "DELETE") this.values.delete(key);
      response.writeHead(status).end(status === 200 && request.method === "GET" ? old : "");
    });
  }

  static async start(): Promise<ReferenceStore> {
    const store = new ReferenceStore();
    await new Promise<void>((resolve) => store.#server.listen(0, HOST, resolve));
    const { port } = store.#server.address() as { port: number };
    store.url = `http://${HOST}:${port}/metadata`;
    return store;
  }

  client(changes: Partial<HttpMetadataOptions> = {}): HttpMetadata {
    return new HttpMetadata({
      url: this.url,
      clusterId: "",
      clock: systemClock,
      probe: () => Promise.resolve(false),
      ...changes,
    });
  }

  stop(): Promise<unknown> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }
}

const meta = { host: "10.0.0.7", port: 15001 };
const RAM = "mooncake%2Fram%2F10.0.0.7%3A12345";
const RPC = "mooncake%2Frpc_meta%2F10.0.0.7%3A12345";

Deno.test("documents are stored under the keys and with the escape of the reference", async () => {
  const store = await ReferenceStore.start();
  await store.client().publish(documentOf("10.0.0.7:12345"), meta);
  assert.deepEqual([...store.values.keys()], [RPC, RAM]);
  assert.equal(store.values.get(RPC), '{"ip_or_host_name":"10.0.0.7","rpc_port":15001}');
  await store.client({ clusterId: "c1" }).publish(documentOf("a!'()*b"), meta);
  assert(store.values.has("mooncake%2Fc1%2Fram%2Fa%21%27%28%29%2Ab"));
  await store.stop();
});

Deno.test("a looked-up document names the data host, or that of rpc_meta", async () => {
  const store = await ReferenceStore.start();
  const client = store.client();
  await client.publish(documentOf("a:1"), meta);
  assert.equal((await client.lookup("a:1")).dataHost, "10.0.0.7");
  await client.publish(documentOf("b:1", { tcpDataHost: "" }), { host: "10.0.0.8", port: 15002 });
  const found = await store.client().lookup("b:1");
  assert.equal(found.dataHost, "10.0.0.8");
  assert.equal(found.document.buffers[0].addr, 0x5eed_0000_0000n);
  await assert.rejects(client.lookup("nobody:1"), /no segment "nobody:1"/);
  store.values.delete("mooncake%2Frpc_meta%2Fb%3A1");
  await assert.rejects(client.lookup("b:1"), /no host for segment b:1/);
  await store.stop();
});

Deno.test("the name of a dead process is taken over, that of a living one is refused", async () => {
  const store = await ReferenceStore.start();
  await store.client().publish(documentOf("10.0.0.7:12345"), { host: "10.0.0.7", port: 15999 });
  const probed: string[] = [];
  const second = (alive: boolean) =>
    store.client({
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
  await store.stop();
});

Deno.test("replaced and deleted documents are put back, untouched ones left alone", async () => {
  const store = await ReferenceStore.start();
  const client = store.client();
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
  await store.stop();
});

Deno.test("withdrawing deletes our documents and spares those of a successor", async () => {
  const store = await ReferenceStore.start();
  const client = store.client();
  await client.publish(documentOf("10.0.0.7:12345"), meta);
  store.values.set(RAM, "another");
  await client.withdraw();
  assert.deepEqual([...store.values], [[RAM, "another"]]);
  assert.equal(await client.restore(), false);
  await store.stop();
});

Deno.test("a silent metadata server costs 3 seconds, an absent one an error", async () => {
  const silent = createTcpServer((socket) => socket.on("error", () => {}).resume());
  let connections = 0;
  silent.on("connection", () => connections++);
  await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
  const { port } = silent.address() as { port: number };
  const clock = new FakeClock();
  const make = (clock: FakeClock) =>
    new HttpMetadata({
      url: `http://${HOST}:${port}/metadata`,
      clusterId: "",
      clock,
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

import assert from "node:assert/strict";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import { MemoryEngine, MemoryNetwork } from "../../tests/support/memory_engine.ts";
import { Random } from "../../tests/support/random.ts";
import { systemClock } from "./clock.ts";
import { TransferEndpoint, UNKNOWN_PEER } from "./endpoint.ts";
import type { EndpointOperation } from "./endpoint.ts";
import type { EndpointOptions } from "./endpoint_options.ts";
import { Opcode, type Region, TransferCode } from "./engine.ts";
import { type MetadataStore, P2pMetadata } from "./metadata_store.ts";

const handshake = { clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 };
const random = new Random(7);

function open(
  network: MemoryNetwork,
  options: Partial<EndpointOptions> = {},
): { endpoint: TransferEndpoint; engine: MemoryEngine } {
  const engine = new MemoryEngine(network);
  const endpoint = new TransferEndpoint({
    engine,
    metadata: new P2pMetadata(handshake),
    named: false,
    clock: systemClock,
    random: () => random.below(1 << 20) / (1 << 20),
    localHostname: "127.0.0.1",
    advertisedHost: "",
    dataPort: 0,
    bindAddress: "",
    minPort: 20_000,
    maxPort: 32_000,
    handshakeTimeoutMs: 5000,
    handshakeMaxLength: 1 << 20,
    maxProtocolVersion: 2,
    memcpy: true,
    forceTcp: false,
    log: () => {},
    ...options,
  });
  return { endpoint, engine };
}

function op(
  opcode: Opcode,
  endpoint: string,
  remote: Region,
  local: Uint8Array,
  offset = 0,
): EndpointOperation {
  const remoteAddress = (remote.remoteBase ?? 0n) + BigInt(offset);
  const { length } = local;
  return { opcode, endpoint, peer: UNKNOWN_PEER, remoteAddress, length, local, localOffset: 0 };
}

Deno.test("a process without published memory has no name and listens nowhere", async () => {
  const network = new MemoryNetwork();
  const { endpoint } = open(network);
  assert.equal(endpoint.name, "");
  assert.equal(network.engines.size, 0);
  await endpoint.close();
});

Deno.test("lent memory is found by its name, written and read, and refused once reclaimed", async () => {
  const network = new MemoryNetwork();
  const owner = open(network).endpoint;
  const reader = open(network).endpoint;
  const region = await owner.lend(4096);
  assert.match(owner.name, /^127\.0\.0\.1:2\d{4}$|^127\.0\.0\.1:3[01]\d{3}$/);
  const value = Uint8Array.of(1, 2, 3);
  const codes = await reader.transfer([op(Opcode.WRITE, owner.name, region, value, 100)], 1000);
  assert.deepEqual([...codes], [0]);
  assert.deepEqual([...region.bytes.subarray(99, 104)], [0, 1, 2, 3, 0]);
  const back = new Uint8Array(3);
  await reader.transfer([op(Opcode.READ, owner.name, region, back, 100)], 1000);
  assert.deepEqual(back, value);
  await owner.reclaim(region);
  const refused = await reader.transfer([op(Opcode.READ, owner.name, region, back)], 1000);
  assert.deepEqual([...refused], [TransferCode.ADDRESS_NOT_REGISTERED]);
  await reader.close();
  await owner.close();
});

Deno.test("a transfer with this process itself is a copy, unless that is switched off", async () => {
  const network = new MemoryNetwork();
  for (const memcpy of [true, false]) {
    const { endpoint, engine } = open(network, { memcpy });
    await endpoint.lend(64);
    const region = await endpoint.lend(64);
    const write = op(Opcode.WRITE, endpoint.name, region, Uint8Array.of(7, 8), 62);
    const beyond = op(Opcode.WRITE, endpoint.name, region, Uint8Array.of(7, 8), 63);
    const codes = await endpoint.transfer([write, beyond], 1000);
    assert.deepEqual([...codes], [0, TransferCode.ADDRESS_NOT_REGISTERED]);
    assert.deepEqual([...region.bytes.subarray(61)], [0, 7, 8]);
    assert.equal(engine.batches.length, memcpy ? 0 : 1);
    await endpoint.close();
  }
});

Deno.test("operations with unknown peers fail alone and say why", async () => {
  const network = new MemoryNetwork();
  const owner = open(network).endpoint;
  const reader = open(network).endpoint;
  const region = await owner.lend(64);
  const bytes = Uint8Array.of(1);
  const codes = await reader.transfer([
    op(Opcode.WRITE, "127.0.0.1:1", region, bytes),
    op(Opcode.WRITE, owner.name, region, bytes),
    op(Opcode.WRITE, "nonsense", region, bytes),
  ], 1000);
  assert.deepEqual([...codes], [TransferCode.METADATA, 0, TransferCode.METADATA]);
  assert.match(reader.explain("127.0.0.1:1", codes[0]), /Cannot find the peer 127\.0\.0\.1:1/);
  assert.match(reader.explain("nonsense", codes[2]), /no handshake address/);
  assert.match(reader.explain(owner.name, TransferCode.SOCKET), /ended with SOCKET -102/);
  await reader.close();
  await owner.close();
});

/** Documents of a name that moves: what a restarted node leaves in a metadata server. */
class MovingMetadata implements MetadataStore {
  lookups = 0;

  constructor(public target: { host: string; port: number } | null) {}

  lookup(name: string) {
    this.lookups++;
    if (this.target === null) return Promise.reject(new Error("gone"));
    const document = {
      name,
      protocols: ["tcp"],
      buffers: [],
      tcpDataHost: this.target.host,
      tcpDataPort: this.target.port,
      tcpProtoVersion: 2,
      localName: "",
      rdmaServerName: "",
      devices: [],
      priorities: new Map(),
      timestamp: "",
    };
    return Promise.resolve({ document, dataHost: this.target.host });
  }

  handshakeAddress = () => Promise.reject(new Error("gone"));
  publish = () => Promise.resolve();
  restore = () => Promise.resolve(false);
  withdraw = () => Promise.resolve();
  handshakeAnswer = () => null;
  close = () => Promise.resolve();
}

Deno.test("a document is looked up once, and again when a transfer failed", async () => {
  const network = new MemoryNetwork();
  const first = new MemoryEngine(network);
  const second = new MemoryEngine(network);
  await first.listen({ host: "10.0.0.1", port: 1 });
  await second.listen({ host: "10.0.0.1", port: 2 });
  const moved = second.allocate(64, { publish: true });
  const metadata = new MovingMetadata({ host: "10.0.0.1", port: 1 });
  const { endpoint } = open(network, { metadata, named: true });
  const bytes = Uint8Array.of(9);
  const stay = first.allocate(64, { publish: true });
  await endpoint.transfer([op(Opcode.WRITE, "node:1", stay, bytes)], 1000);
  await endpoint.transfer([op(Opcode.WRITE, "node:1", stay, bytes)], 1000);
  assert.equal(metadata.lookups, 1);

  first.vanish();
  metadata.target = { host: "10.0.0.1", port: 2 };
  const codes = await endpoint.transfer([op(Opcode.WRITE, "node:1", moved, bytes)], 1000);
  assert.deepEqual([...codes], [0], "the move costs no error");
  assert.equal(metadata.lookups, 2);

  second.vanish();
  metadata.target = null;
  const gone = await endpoint.transfer([op(Opcode.WRITE, "node:1", moved, bytes)], 1000);
  assert.deepEqual([...gone], [TransferCode.SOCKET]);
  const still = await endpoint.transfer([op(Opcode.WRITE, "node:1", moved, bytes)], 1000);
  assert.deepEqual([...still], [TransferCode.METADATA]);
  await endpoint.close();
});

Deno.test("a connection that had died costs one more attempt, a refused address does not", async () => {
  const network = new MemoryNetwork();
  const owner = open(network).endpoint;
  const { endpoint: reader, engine } = open(network);
  const region = await owner.lend(64);
  const bytes = Uint8Array.of(1);
  let failures = 1;
  network.fault = () => failures-- > 0 ? TransferCode.SOCKET : TransferCode.OK;
  assert.deepEqual(
    [...await reader.transfer([op(Opcode.WRITE, owner.name, region, bytes)], 1000)],
    [0],
  );
  assert.equal(engine.batches.length, 2);
  network.fault = () => TransferCode.ADDRESS_NOT_REGISTERED;
  await reader.transfer([op(Opcode.WRITE, owner.name, region, bytes)], 1000);
  assert.equal(engine.batches.length, 3);
  await reader.close();
  await owner.close();
});

Deno.test("documents that somebody changed are put back every few seconds", async () => {
  const clock = new FakeClock();
  const lines: string[] = [];
  let restores = 0;
  const metadata = new MovingMetadata(null);
  metadata.restore = () => Promise.resolve(++restores === 2);
  const { endpoint } = open(new MemoryNetwork(), {
    metadata,
    named: true,
    clock,
    localHostname: "127.0.0.1:12345",
    log: (line) => lines.push(line),
  });
  await endpoint.lend(64);
  assert.equal(endpoint.name, "127.0.0.1:12345");
  await clock.advance(10_000);
  assert.equal(restores, 2);
  assert.deepEqual(lines, ["the documents of 127.0.0.1:12345 had been changed and were put back"]);
  await endpoint.close();
  assert.equal(clock.pending, 0);
});

Deno.test("a closed endpoint moves nothing and looks nobody up", async () => {
  const metadata = new MovingMetadata({ host: "10.0.0.1", port: 1 });
  const { endpoint, engine } = open(new MemoryNetwork(), { metadata, named: true });
  const region = engine.allocate(64, { publish: true });
  await endpoint.close();
  const codes = await endpoint.transfer([op(Opcode.READ, "a:1", region, new Uint8Array(1))], 1000);
  assert.deepEqual([...codes], [TransferCode.SOCKET]);
  assert.equal(metadata.lookups, 0);
});

Deno.test("memory whose document cannot be published is given back", async () => {
  const metadata = new MovingMetadata(null);
  metadata.publish = () => Promise.reject(new Error("disk full"));
  const { endpoint, engine } = open(new MemoryNetwork(), { metadata, named: true });
  await assert.rejects(endpoint.lend(64), /disk full/);
  assert.equal(engine.regions[0].bytes.length, 0);
  await endpoint.close();
  assert(engine.disposed);
});

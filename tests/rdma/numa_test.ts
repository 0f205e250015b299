/**
 * Placement of memory on two emulated NUMA nodes, as `/proc/self/numa_maps` shows it, and pages of the
 * kernel's pool. The devices are Soft-RoCE.
 */
import assert from "node:assert/strict";
import type { StoreClient } from "../../mod.ts";
import { parseHostPort } from "../../client/transfer/address.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import {
  DEFAULT_PLACEMENT,
  type MemoryPlacement,
  Opcode,
  type Region,
  TransferCode,
  type TransferEngine,
} from "../../client/transfer/engine.ts";
import { exchangeHandshake } from "../../client/transfer/handshake_client.ts";
import type { MemorySurvey } from "../../client/transfer/memory_maps.ts";
import { memoryNodes } from "../../client/transfer/numa_nodes.ts";
import { openEngine } from "../../client/transfer/open_engine.ts";
import { HandshakeType } from "../../proto/handshake.ts";
import { parseSegmentDocument } from "../../proto/metadata/segment_document.ts";
import { GuestMaster, guestTest, pattern, python, WheelPeer } from "./guest.ts";

const MIB = 1 << 20;
const HUGE = 2 * MIB;
/** What is mapped in all is 64 MiB. */
const MAPPED = 64 * MIB;
const LENGTH = MAPPED - 64 * 1024;

function about(actual: number, expected: number): void {
  assert(Math.abs(actual - expected) <= HUGE, `${actual} bytes instead of about ${expected}`);
}

function bytesOn({ nodes }: MemorySurvey): [number, number] {
  return [nodes.get(0) ?? 0, nodes.get(1) ?? 0];
}

function nativeEngine(): TransferEngine {
  const { engine, reason } = openEngine();
  assert.equal(reason, null);
  return engine;
}

/** Has memory provided, tells where it lies, and has another engine write and read it. */
async function placed(
  placement: Partial<MemoryPlacement>,
): Promise<{ survey: MemorySurvey; notes: readonly string[] }> {
  await using engine = nativeEngine();
  const region = engine.allocate(LENGTH, {
    ...{ publish: true, placement: { ...DEFAULT_PLACEMENT, ...placement } },
  });
  await region.populate();
  assert(region.host !== undefined);
  const survey = await region.host.survey();
  console.log(JSON.stringify(placement), "nodes", [...survey.nodes], "pages", [...survey.pages]);
  await useFromOutside(engine, region);
  return { survey, notes: region.host.notes };
}

async function useFromOutside(engine: TransferEngine, region: Region): Promise<void> {
  await using other = nativeEngine();
  const { host, port } = await engine.listen({ host: "127.0.0.1" });
  const { localName } = engine;
  assert.notEqual(localName, "");
  const peer = other.openPeer({ host, port, protocolVersion: 2, localName });
  const value = pattern(5 * MIB + 3);
  const remoteAddress = region.remoteBase! + BigInt(LENGTH - value.length);
  const op = { peer, remoteAddress, length: value.length, localOffset: 0 };
  const write = { ...op, opcode: Opcode.WRITE, local: value };
  assert.equal(await other.transferOne(write, { timeoutMs: 60_000 }), TransferCode.OK);
  const back = new Uint8Array(value.length);
  const read = { ...op, opcode: Opcode.READ, local: back };
  assert.equal(await other.transferOne(read, { timeoutMs: 60_000 }), TransferCode.OK);
  assert.deepEqual(back, value);
  assert.equal(engine.stats().connections, 0);
}

function setPool(path: string, pages: number): void {
  Deno.writeTextFileSync(path, `${pages}\n`);
  assert.equal(Number(Deno.readTextFileSync(path)), pages, `the pool ${path}`);
}

const poolOf = (node: number) =>
  `/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/nr_hugepages`;

guestTest("memory lies on the nodes that were asked for", async () => {
  assert.deepEqual(memoryNodes(Deno.readTextFileSync), [0, 1]);
  const expected: [string, number, number][] = [
    ["split", 0.5, 0.5],
    ["interleave", 0.5, 0.5],
    ["0", 1, 0],
    ["1", 0, 1],
    ["0,1", 0.5, 0.5],
  ];
  for (const [numa, first, second] of expected) {
    const [on0, on1] = bytesOn((await placed({ numa, hugepages: "off" })).survey);
    about(on0, first * MAPPED);
    about(on1, second * MAPPED);
  }
});

guestTest("pages come from the pool, split over the nodes and mapped by peers", async () => {
  for (const node of [0, 1]) setPool(poolOf(node), 20);
  const { survey, notes } = await placed({ numa: "split", hugepages: "2mb" });
  assert.deepEqual(notes, []);
  assert.deepEqual(bytesOn(survey), [MAPPED / 2, MAPPED / 2]);
  assert.deepEqual([...survey.pages], [[HUGE, MAPPED]]);
});

guestTest("a node without huge pages of its own takes those of another, and lives", async () => {
  setPool(poolOf(0), 40);
  setPool(poolOf(1), 0);
  const { survey } = await placed({ numa: "1", hugepages: "2mb" });
  assert.deepEqual(bytesOn(survey), [MAPPED, 0]);
});

guestTest("without pages in the pool smaller ones are taken, with a line each", async () => {
  for (const node of [0, 1]) setPool(poolOf(node), 0);
  const { notes } = await placed({ hugepages: "1gb" });
  assert.match(notes[0], /pool of 1 GiB pages/);
  assert.match(
    notes[1],
    /^0 of 0 pages in the pool of 2 MiB pages are free and a segment needs 32/,
  );
});

/** A node over RDMA with all of its memory provided, in two pieces. */
async function splitNode(master: GuestMaster): Promise<StoreClient> {
  const node = await master.client("rxe1", {
    ...{ globalSegmentSize: MAPPED, localBufferSize: 0, populate: true, numa: "split" },
  });
  await node.populated;
  return node;
}

guestTest("a split segment is reached over RDMA, its document names the nodes", async () => {
  await using master = await GuestMaster.start();
  const node = await splitNode(master);
  const client = await master.client("rxe0");
  try {
    const survey = await node.surveyMemory();
    assert(survey !== null);
    for (const bytes of bytesOn(survey)) about(bytes, MAPPED / 2);
    const { host, port } = parseHostPort(node.segments[0].teEndpoint)!;
    const answer = await exchangeHandshake(host, port!, HandshakeType.METADATA, {}, {
      ...{ clock: systemClock, timeoutMs: 60_000, maxLength: MIB },
    });
    const { buffers, priorities } = parseSegmentDocument(answer);
    assert.deepEqual(buffers.map(({ name }) => name), ["segments:4096:0,1"]);
    for (const name of ["*", "cpu:0", "cpu:1"]) assert(priorities.has(name), name);
    const value = pattern(2 * MIB + 3);
    await client.put("placed", value);
    assert.deepEqual(await client.get("placed"), value);
  } finally {
    await client.close();
    await node.close();
  }
});

guestTest("the published wheel reads and writes a split segment over RDMA", async () => {
  await using master = await GuestMaster.start();
  const node = await splitNode(master);
  const client = await master.client("rxe0");
  try {
    await using peer = await WheelPeer.start(python!, master.address, 0, "rxe0");
    const size = MIB + 7;
    assert.deepEqual(await peer.ask({ do: "put", key: "w", size }), { code: 0 });
    assert.deepEqual(await client.get("w"), pattern(size));
    await client.put("o", pattern(size));
    assert.deepEqual(await peer.ask({ do: "get", key: "o" }), { size, right: true });
  } finally {
    await client.close();
    await node.close();
  }
}, python);

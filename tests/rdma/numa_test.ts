/**
 * Placement of memory on two emulated NUMA nodes, as `/proc/self/numa_maps` shows it, and pages of the
 * kernel's pool. The devices are Soft-RoCE.
 */
import assert from "node:assert/strict";
import type { StoreClient, StoreOptions } from "../../mod.ts";
import { memoryNodes } from "../../client/transfer/numa_nodes.ts";
import { parseHostPort } from "../../client/transfer/address.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { exchangeHandshake } from "../../client/transfer/handshake_client.ts";
import { HandshakeType } from "../../proto/handshake.ts";
import { parseSegmentDocument } from "../../proto/metadata/segment_document.ts";
import { GuestMaster, guestTest, pattern, python, WheelPeer } from "./guest.ts";

const MIB = 1 << 20;
const SEGMENT = 64 * MIB;
const HUGE = 2 * MIB;
/** What a segment keeps beside its objects, and what rounding to pages may add. */
const SLACK = 2 * HUGE;

/** A node of the pool with all of its memory provided. */
async function nodeOf(
  master: GuestMaster,
  options: Partial<StoreOptions>,
): Promise<StoreClient> {
  const node = await master.client("rxe1", {
    globalSegmentSize: SEGMENT,
    localBufferSize: 0,
    populate: true,
    ...options,
  });
  await node.populated;
  return node;
}

const overTcp = { protocol: "tcp", deviceName: "" };

async function bytesOn(node: StoreClient): Promise<[number, number]> {
  const survey = await node.surveyMemory();
  assert(survey !== null);
  return [survey.nodes.get(0) ?? 0, survey.nodes.get(1) ?? 0];
}

function about(actual: number, expected: number): void {
  assert(Math.abs(actual - expected) <= SLACK, `${actual} bytes instead of about ${expected}`);
}

async function roundTrip(master: GuestMaster, options: Partial<StoreOptions> = {}): Promise<void> {
  const client = await master.client("rxe0", options);
  try {
    const value = pattern(5 * MIB + 3);
    await client.upsert("placed", value);
    assert.deepEqual(await client.get("placed"), value);
  } finally {
    await client.close();
  }
}

function setPool(path: string, pages: number): void {
  Deno.writeTextFileSync(path, `${pages}\n`);
  assert.equal(Number(Deno.readTextFileSync(path)), pages, `the pool ${path}`);
}
const poolOf = (node: number) =>
  `/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/nr_hugepages`;

guestTest("memory lies on the nodes that were asked for", async () => {
  assert.deepEqual(memoryNodes(Deno.readTextFileSync), [0, 1]);
  await using master = await GuestMaster.start();
  const expected: [string, number, number][] = [
    ["split", 0.5, 0.5],
    ["interleave", 0.5, 0.5],
    ["0", 1, 0],
    ["1", 0, 1],
    ["0,1", 0.5, 0.5],
  ];
  for (const [numa, first, second] of expected) {
    const node = await nodeOf(master, { numa, hugepages: "off", ...overTcp });
    try {
      const [on0, on1] = await bytesOn(node);
      console.log(`numa=${numa}: ${on0} bytes on node 0, ${on1} on node 1`);
      about(on0, first * SEGMENT);
      about(on1, second * SEGMENT);
      await roundTrip(master, overTcp);
    } finally {
      await node.close();
    }
  }
});

guestTest("a split segment is reached over RDMA, its document names the nodes", async () => {
  await using master = await GuestMaster.start();
  const node = await nodeOf(master, { numa: "split" });
  try {
    const [on0, on1] = await bytesOn(node);
    about(on0, SEGMENT / 2);
    about(on1, SEGMENT / 2);
    const { host, port } = parseHostPort(node.segments[0].teEndpoint)!;
    const answer = await exchangeHandshake(host, port!, HandshakeType.METADATA, {}, {
      ...{ clock: systemClock, timeoutMs: 60_000, maxLength: MIB },
    });
    const { buffers, priorities } = parseSegmentDocument(answer);
    assert.deepEqual(buffers.map(({ name }) => name), ["segments:4096:0,1"]);
    assert.deepEqual([...priorities.keys()], ["*", "cpu:0", "cpu:1"]);
    await roundTrip(master);
  } finally {
    await node.close();
  }
});

guestTest("the published wheel reads and writes a split segment over RDMA", async () => {
  await using master = await GuestMaster.start();
  const node = await nodeOf(master, { numa: "split" });
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

guestTest("pages come from the pool, split over the nodes and mapped by peers", async () => {
  for (const node of [0, 1]) setPool(poolOf(node), 40);
  await using master = await GuestMaster.start();
  for (const extra of [overTcp, {}]) {
    const node = await nodeOf(master, { numa: "split", hugepages: "2mb", ...extra });
    try {
      const [on0, on1] = await bytesOn(node);
      about(on0, SEGMENT / 2);
      about(on1, SEGMENT / 2);
      const pages = (await node.surveyMemory())?.pages;
      assert.deepEqual([...pages ?? []], [[HUGE, SEGMENT]]);
      await roundTrip(master, extra);
    } finally {
      await node.close();
    }
  }
});

guestTest("a node without huge pages of its own takes those of another, and lives", async () => {
  setPool(poolOf(0), 40);
  setPool(poolOf(1), 0);
  await using master = await GuestMaster.start();
  const node = await nodeOf(master, { numa: "1", hugepages: "2mb", ...overTcp });
  try {
    assert.deepEqual(await bytesOn(node), [SEGMENT, 0]);
    await roundTrip(master, overTcp);
  } finally {
    await node.close();
  }
});

guestTest("without pages in the pool the log says so, and smaller ones are taken", async () => {
  for (const node of [0, 1]) setPool(poolOf(node), 0);
  await using master = await GuestMaster.start();
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const node = await nodeOf(master, { hugepages: "1gb", ...overTcp, log });
  try {
    assert.match(
      lines.join("\n"),
      /0 pages in the pool of 2 MiB pages are free and a segment needs 32/,
    );
    await roundTrip(master, overTcp);
  } finally {
    await node.close();
  }
});

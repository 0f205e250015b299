// What strangers may send to the ports of a master. After each of it the master still answers
// well-formed clients at once, on every port, and has not grown.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { beginRequest, endRequest } from "../../proto/coro_rpc/header.ts";
import { ResponseSplitter } from "../../proto/coro_rpc/splitter.ts";
import { ServiceReady } from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { STORE_VERSION } from "../../proto/version.ts";
import { damagedRequest, goldenRequests, ourRequests } from "../support/damaged_requests.ts";
import { MasterProcess, testEachLoop } from "../support/master_process.ts";
import { chosenSeed, Random } from "../support/random.ts";
import { closed, connectMany, randomBytes, write } from "../support/raw_traffic.ts";
import { until } from "../support/until.ts";

/** MiB that a master may have grown by at any point; the socket loop has a buffer per connection. */
const GROWTH_LIMIT_MIB: Record<string, number> = { "native loop": 32, "socket loop": 64 };
const QUICK_MS = 250;
const TRIES = 5;

const encoder = new TextEncoder();

/** Fails unless a new client of each port is answered quickly. */
async function assertServes(master: MasterProcess, what: string): Promise<void> {
  const ask = async () => {
    const startedMs = performance.now();
    const socket = await master.dial(master.rpcPort);
    const { splitter } = answersOf(socket);
    await write(socket, serviceReady(1));
    await until(() => splitter.count === 1 || socket.destroyed);
    assert.equal(splitter.count, 1, `${what}: the connection was closed`);
    socket.destroy();
    for (const url of [`${master.adminUrl}/health`, `${master.adminUrl}/metrics/summary`]) {
      const response = await fetch(url);
      await response.body?.cancel();
      assert(response.ok, `${what}: ${url} answered ${response.status}`);
    }
    const missing = await fetch(`http://127.0.0.1:${master.metadataPort}/metadata?key=none`);
    await missing.body?.cancel();
    assert.equal(missing.status, 404, what);
    return performance.now() - startedMs;
  };
  const times: number[] = [];
  while (times.length < TRIES) {
    const tookMs = await ask();
    if (tookMs < QUICK_MS) return;
    times.push(Math.round(tookMs));
  }
  assert.fail(`${what}: it took ${times.join(", ")} ms to be answered`);
}

/** A whole, well-formed request. */
function serviceReady(seq: number): Uint8Array {
  const writer = new Writer();
  const start = beginRequest(writer, seq, ServiceReady.functionId);
  endRequest(writer, start);
  return writer.bytes.slice();
}

/** Counts the answers that come on a connection. */
function answersOf(socket: Socket): { splitter: { count: number; seqs: Set<number> } } {
  const splitter = new ResponseSplitter();
  const seen = { count: 0, seqs: new Set<number>() };
  socket.on("data", (chunk) => {
    splitter.feed(chunk);
    while (splitter.next()) {
      seen.count++;
      seen.seqs.add(splitter.seq);
    }
  });
  return { splitter: seen };
}

async function randomTraffic(master: MasterProcess, random: Random): Promise<void> {
  for (const port of [master.rpcPort, master.adminPort, master.metadataPort!]) {
    await connectMany(master, port, 1000, async (socket) => {
      const bytes = randomBytes(random, 1 + random.below(2000));
      if (random.oneIn(3)) bytes.set([0x15, 0, 0].slice(0, bytes.length));
      await write(socket, bytes);
      if (random.oneIn(2)) socket.destroy();
    });
    master.hangUp();
  }
  await connectMany(master, master.rpcPort, 50, async (socket) => {
    await write(socket, Uint8Array.of(0x16, ...randomBytes(random, 30)));
    await closed(socket);
  });
}

/** Headers that are cut, and such that announce gigabytes; all of them stay open. */
async function lyingHeaders(master: MasterProcess, random: Random): Promise<void> {
  const header = serviceReady(7);
  await connectMany(
    master,
    master.rpcPort,
    300,
    (socket) => write(socket, header.subarray(0, 1 + random.below(19))),
  );
  await connectMany(master, master.rpcPort, 70, (socket, i) => {
    const lie = header.slice();
    const view = new DataView(lie.buffer);
    view.setUint32(12, i < 50 ? 0xffff_ffff : 2_000_000_000, true);
    view.setUint32(16, i < 50 ? 0xffff_ffff : 0, true);
    return write(socket, Uint8Array.of(...lie, ...randomBytes(random, 100)));
  });
  await connectMany(master, master.rpcPort, 20, (socket) => {
    const large = header.slice();
    new DataView(large.buffer).setUint32(12, 60 << 20, true);
    return write(socket, Uint8Array.of(...large, ...randomBytes(random, 1000)));
  });
  const ports = [master.adminPort, master.metadataPort!];
  for (const port of ports) {
    await connectMany(master, port, 100, (socket, i) => {
      const path = port === master.adminPort ? "/batch_query_keys?keys=a" : "/metadata?key=a";
      const head = `PUT ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000000\r\n\r\nxyz`;
      return write(socket, encoder.encode(i % 2 === 0 ? head : head.slice(0, 30)));
    });
  }
}

/** Damaged requests that are framed right: each gets one answer. */
async function damagedFrames(master: MasterProcess, random: Random, seed: number): Promise<void> {
  const golden = [...goldenRequests(), ...ourRequests()];
  await connectMany(master, master.rpcPort, 10, async (socket, i) => {
    const { splitter } = answersOf(socket);
    for (let seq = 0; seq < 300; seq++) {
      const frame = damagedRequest(golden, random);
      new DataView(frame.buffer).setUint32(4, seq, true);
      await write(socket, frame);
    }
    await until(() => splitter.count >= 300 || socket.destroyed, 5000).catch(() => {});
    const missing = Array.from({ length: 300 }, (_, seq) => seq).filter((seq) =>
      !splitter.seqs.has(seq)
    );
    assert.deepEqual(missing, [], `seed ${seed}: connection ${i} got ${splitter.count} answers`);
    assert.equal(splitter.count, 300, `seed ${seed}: an answer too many`);
  });
}

async function byteByByte(master: MasterProcess): Promise<void> {
  const socket = await master.dial(master.rpcPort);
  socket.setNoDelay(true);
  const { splitter } = answersOf(socket);
  const other = master.connect();
  const stream = Uint8Array.of(...serviceReady(1), ...goldenRequests()[0]);
  for (let at = 0; at < stream.length; at++) {
    await write(socket, stream.subarray(at, at + 1));
    if (at % 10 === 0) assert.equal((await other.serviceReady()).value, STORE_VERSION);
  }
  await until(() => splitter.count === 2);
}

testEachLoop("bytes that are not the protocol harm nobody else", async (mode) => {
  const seed = chosenSeed();
  const random = new Random(seed);
  await using master = await MasterProcess.start(mode, ["--put_wait_ms=20"], { metadata: true });
  await assertServes(master, "at first");
  const before = master.rssBytes;
  const grown: Record<string, number> = {};
  const check = async (what: string) => {
    await assertServes(master, `seed ${seed}: ${what}`);
    grown[what] = Math.round((master.rssBytes - before) / 2 ** 20);
  };

  await randomTraffic(master, random);
  await check("after random bytes");
  await lyingHeaders(master, random);
  await check("while headers lie");
  master.hangUp();
  await damagedFrames(master, random, seed);
  await check("after damaged requests");
  master.hangUp();
  const idle = await connectMany(master, master.rpcPort, 1000, (socket) => {
    socket.resume();
    return Promise.resolve();
  });
  await check("with idle connections");
  assert(idle.every((socket) => !socket.destroyed), "an idle connection was closed");
  master.hangUp();
  await byteByByte(master);
  await check("after a slow client");

  const limit = GROWTH_LIMIT_MIB[mode.name];
  const most = Math.max(...Object.values(grown));
  assert(most <= limit, `grown by MiB, at most ${limit}: ${JSON.stringify(grown)}`);
  console.log(`  ${mode.name}: grown by MiB: ${JSON.stringify(grown)}`);
  const complaints = master.process.lines.filter((line) => !/^I\d{4} /.test(line));
  assert.deepEqual(complaints, [], `seed ${seed}`);
  assert.equal((await master.process.stop()).code, 0);
});

import assert from "node:assert/strict";
import { openLibrary } from "./library.ts";
import { NativeRpcServer, type RpcServerOptions } from "./rpc_server.ts";
import { RpcKind } from "./rpc_symbols.ts";
import { eventfdWaker } from "./wake.ts";

const opened = openLibrary();
const skip = "unavailable" in opened;
const title = (text: string) =>
  "unavailable" in opened ? `${text} (skipped: ${opened.unavailable})` : text;

const HEADER = 20;

function frame(seq: number, functionId: number, body: Uint8Array, attachment = 0): Uint8Array {
  const bytes = new Uint8Array(HEADER + body.length + attachment);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x15;
  view.setUint32(4, seq, true);
  view.setUint32(8, functionId, true);
  view.setUint32(12, body.length, true);
  view.setUint32(16, attachment, true);
  bytes.set(body, HEADER);
  bytes.set(pattern(attachment, 5), HEADER + body.length);
  return bytes;
}

interface Received {
  connection: number;
  kind: number;
  seq: number;
  functionId: number;
  body: Uint8Array;
  attachment: Uint8Array;
}

/** A server whose polls the test makes itself, so that nothing depends on timing. */
class Fixture implements Disposable {
  readonly server: NativeRpcServer;
  readonly received: Received[] = [];
  #replies: Uint8Array[] = [];
  readonly #clients: Deno.Conn[] = [];
  readonly #closed = new Set<Deno.Conn>();

  constructor(options: Partial<RpcServerOptions> = {}) {
    if ("unavailable" in opened) throw new Error(opened.unavailable);
    this.server = new NativeRpcServer(opened.symbols, {
      host: "127.0.0.1",
      port: 0,
      maxConnections: 2000,
      maxFrameBytes: 1 << 20,
      idleTimeoutSec: 0,
      tcpNoDelay: true,
      ...options,
    });
  }

  async connect(): Promise<Deno.Conn> {
    const client = await Deno.connect({ hostname: "127.0.0.1", port: this.server.port });
    this.#clients.push(client);
    return client;
  }

  close(client: Deno.Conn): void {
    this.#closed.add(client);
    client.close();
  }

  reply(connection: number, bytes: Uint8Array): void {
    const record = new Uint8Array(8 + bytes.length);
    new DataView(record.buffer).setUint32(0, connection, true);
    new DataView(record.buffer).setUint32(4, bytes.length, true);
    record.set(bytes, 8);
    this.#replies.push(record);
  }

  /** One poll; replies given before are sent with it. */
  poll(timeoutMs = 0): boolean {
    const length = this.#replies.reduce((sum, record) => sum + record.length, 0);
    const replies = new Uint8Array(length);
    let at = 0;
    for (const record of this.#replies) {
      replies.set(record, at);
      at += record.length;
    }
    this.#replies = [];
    const woken = this.server.poll(replies, timeoutMs);
    this.server.visit((connection, kind, seq, functionId, bytes, start, end, frameEnd) => {
      const body = bytes.slice(start, end);
      const attachment = bytes.slice(end, frameEnd);
      this.received.push({ connection, kind, seq, functionId, body, attachment });
    });
    return woken;
  }

  /** Polls until the condition holds. */
  until(condition: () => boolean): void {
    const deadline = performance.now() + 10_000;
    while (!condition()) {
      assert(performance.now() < deadline, "the condition did not come true in 10 s");
      this.poll(20);
    }
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) if (!this.#closed.has(client)) client.close();
    this.server[Symbol.dispose]();
  }
}

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 13) & 255);
}

async function readExactly(client: Deno.Conn, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count;) {
    const n = await client.read(bytes.subarray(at));
    assert(n !== null, `the connection ended after ${at} of ${count} bytes`);
    at += n;
  }
  return bytes;
}

async function writeAll(client: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await client.write(bytes.subarray(at));
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: title(name), ignore: skip, fn });
}

test("short attachments come with their frames however they are cut, long ones are left out", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  const attachments = [0, 8, 64, 65, 1000, 3];
  const frames = attachments.map((length, seq) => frame(seq, 1, pattern(40, seq), length));
  const stream = new Uint8Array(frames.reduce((sum, one) => sum + one.length, 0));
  frames.reduce((at, one) => (stream.set(one, at), at + one.length), 0);
  for (const step of [stream.length, 61, 7]) {
    fixture.received.length = 0;
    for (let at = 0; at < stream.length; at += step) {
      await writeAll(client, stream.subarray(at, at + step));
      fixture.poll();
    }
    fixture.until(() => fixture.received.length === attachments.length);
    for (const [seq, { body, attachment }] of fixture.received.entries()) {
      assert.deepEqual(body, pattern(40, seq));
      const { length } = attachment;
      assert.equal(length, attachments[seq] > 64 ? 0 : attachments[seq], `in steps of ${step}`);
      assert.deepEqual(attachment, pattern(length, 5));
    }
  }
});

test("a frame arrives whole and its reply goes back to its connection", async () => {
  using fixture = new Fixture();
  const [a, b] = [await fixture.connect(), await fixture.connect()];
  await writeAll(a, frame(7, 0xdeadbeef, pattern(100, 1)));
  await writeAll(b, frame(8, 1, pattern(5, 2)));
  fixture.until(() => fixture.received.length === 2);
  const fromA = fixture.received.find(({ seq }) => seq === 7)!;
  const fromB = fixture.received.find(({ seq }) => seq === 8)!;
  assert.equal(fromA.functionId, 0xdeadbeef);
  assert.deepEqual(fromA.body, pattern(100, 1));
  fixture.reply(fromA.connection, pattern(30, 3));
  fixture.reply(fromB.connection, pattern(40, 4));
  fixture.poll();
  assert.deepEqual(await readExactly(a, 30), pattern(30, 3));
  assert.deepEqual(await readExactly(b, 40), pattern(40, 4));
});

test("a thousand pipelined frames keep their order", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  const frames = Array.from({ length: 1000 }, (_, i) => frame(i, i, pattern(i % 300, i)));
  const writing = (async () => {
    for (const one of frames) await writeAll(client, one);
  })();
  while (fixture.received.length < 1000) {
    fixture.poll(1);
    await Promise.race([writing, new Promise((resolve) => setTimeout(resolve, 1))]);
  }
  await writing;
  assert.deepEqual(fixture.received.map(({ seq }) => seq), frames.map((_, i) => i));
  assert(fixture.received.every(({ body, seq }) => body.length === seq % 300));
});

test("frames cut anywhere and frames beyond the buffer arrive whole", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  const sizes = [0, 1, 70_000, 3, 900_000, 0, 500_000];
  const stream = sizes.map((size, i) => frame(i, 5, pattern(size, i), i % 2 === 0 ? 0 : 33));
  const bytes = new Uint8Array(stream.reduce((sum, part) => sum + part.length, 0));
  stream.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  for (let at = 0; at < bytes.length;) {
    const n = Math.min(bytes.length - at, 1 + (at * 7919) % 60_000);
    await writeAll(client, bytes.subarray(at, at + n));
    fixture.poll();
    at += n;
  }
  fixture.until(() => fixture.received.length === sizes.length);
  fixture.received.forEach(({ body }, i) => assert.deepEqual(body, pattern(sizes[i], i)));
});

test("a frame above the limit is reported, its bytes are dropped, the connection lives", async () => {
  using fixture = new Fixture({ maxFrameBytes: 10_000 });
  const client = await fixture.connect();
  await writeAll(client, frame(1, 2, pattern(10_001, 1)));
  await writeAll(client, frame(2, 2, pattern(10, 1)));
  fixture.until(() => fixture.received.length === 2);
  assert.deepEqual(fixture.received.map(({ kind }) => kind), [RpcKind.TOO_LARGE, RpcKind.REQUEST]);
  assert.equal(fixture.received[1].body.length, 10);
});

test("a header that claims gigabytes costs no memory", async () => {
  using fixture = new Fixture();
  const clients = await Promise.all(Array.from({ length: 50 }, () => fixture.connect()));
  const lie = frame(1, 2, new Uint8Array(0));
  new DataView(lie.buffer).setUint32(12, 0xffffffff, true);
  new DataView(lie.buffer).setUint32(16, 0xffffffff, true);
  const before = Deno.memoryUsage().rss;
  await Promise.all(clients.map((client) => writeAll(client, lie)));
  fixture.until(() => fixture.received.length === 50);
  assert(Deno.memoryUsage().rss - before < 64 << 20);
});

test("bytes that are not the protocol cost only their connection", async () => {
  using fixture = new Fixture();
  const good = await fixture.connect();
  for (
    const garbage of [pattern(500, 9), Uint8Array.of(0x15, 9, 0, 0), Uint8Array.of(0x15, 0, 3)]
  ) {
    const bad = await fixture.connect();
    const padded = new Uint8Array(40);
    padded.set(garbage.subarray(0, 40));
    await writeAll(bad, padded);
    fixture.until(() => fixture.server.connections === 2);
    fixture.until(() => fixture.server.connections === 1);
    assert.equal(await bad.read(new Uint8Array(1)).catch(() => null), null);
  }
  await writeAll(good, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
});

test("a reply to a connection that is gone is dropped, also when its slot is used again", async () => {
  using fixture = new Fixture();
  const first = await fixture.connect();
  await writeAll(first, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
  fixture.close(first);
  fixture.until(() => fixture.server.connections === 0);
  const second = await fixture.connect();
  await writeAll(second, frame(2, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 2);
  fixture.reply(fixture.received[0].connection, pattern(50, 1));
  fixture.reply(fixture.received[1].connection, pattern(60, 2));
  fixture.poll();
  assert.deepEqual(await readExactly(second, 60), pattern(60, 2));
});

test("a client that does not read its replies does not stop the others", async () => {
  using fixture = new Fixture();
  const [slow, quick] = [await fixture.connect(), await fixture.connect()];
  await writeAll(slow, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
  const big = pattern(1 << 20, 5);
  for (let i = 0; i < 16; i++) fixture.reply(fixture.received[0].connection, big);
  fixture.poll();
  await writeAll(quick, frame(2, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 2);
  fixture.reply(fixture.received[1].connection, pattern(10, 7));
  fixture.poll();
  assert.deepEqual(await readExactly(quick, 10), pattern(10, 7));
  const reading = readExactly(slow, 16 << 20);
  let done = false;
  reading.then(() => done = true, () => done = true);
  while (!done) {
    fixture.poll(1);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.deepEqual((await reading).subarray(15 << 20), big);
});

test("a client that always leaves something unread costs no more than that", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  await writeAll(client, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
  const [{ connection }] = fixture.received;
  const piece = pattern(1 << 20, 5);
  for (let i = 0; i < 24; i++) fixture.reply(connection, piece);
  fixture.poll();
  const before = Deno.memoryUsage().rss;
  // What JavaScript has not collected yet counts, too, so much more goes through than may be left.
  const pieces = 256;
  for (let i = 0; i < pieces; i++) {
    let read: Uint8Array | null = null;
    const reading = readExactly(client, piece.length).then((bytes) => read = bytes);
    while (read === null) {
      fixture.poll();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    assert.deepEqual(await reading, piece);
    fixture.reply(connection, piece);
  }
  const grown = Deno.memoryUsage().rss - before;
  assert(grown < pieces / 2 * piece.length, `grew by ${grown} bytes`);
});

test("a client that leaves 64 MiB unread is closed when the next reply comes", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  await writeAll(client, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
  const [{ connection }] = fixture.received;
  const piece = new Uint8Array(16 << 20);
  for (let i = 0; i < 5; i++) {
    fixture.reply(connection, piece);
    fixture.poll();
    assert(fixture.server.isOpen(connection), `closed after ${16 * i} MiB`);
  }
  fixture.reply(connection, piece);
  fixture.poll();
  fixture.reply(connection, piece);
  fixture.poll();
  assert.equal(fixture.server.isOpen(connection), false);
});

test("what unfinished frames take together is bounded", async () => {
  using fixture = new Fixture({ maxKeptMib: 8 });
  const clients = await Promise.all(Array.from({ length: 20 }, () => fixture.connect()));
  const most = frame(1, 2, pattern(1 << 20, 1)).subarray(0, 1 << 20);
  fixture.until(() => fixture.server.connections === 20);
  const writing = Promise.allSettled(clients.map((client) => writeAll(client, most)));
  let written = false;
  writing.then(() => written = true);
  while (!written) {
    fixture.poll();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  fixture.until(() => fixture.server.connections < 20);
  assert(fixture.server.connections >= 4, "frames were refused before the limit was reached");
  const small = await fixture.connect();
  const whole = frame(9, 3, pattern(1000, 1));
  await writeAll(small, whole.subarray(0, 500));
  fixture.until(() => fixture.server.connections <= 9);
  fixture.poll(20);
  await writeAll(small, whole.subarray(500));
  fixture.until(() => fixture.received.some(({ seq }) => seq === 9));
});

test("a frame that arrives byte by byte is whole in the end", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  const bytes = frame(3, 4, pattern(60, 2));
  for (let at = 0; at < bytes.length; at++) {
    await writeAll(client, bytes.subarray(at, at + 1));
    fixture.poll();
    assert.equal(fixture.received.length > 0, false, `after ${at} bytes`);
    if (at === bytes.length - 2) break;
  }
  await writeAll(client, bytes.subarray(bytes.length - 1));
  fixture.until(() => fixture.received.length === 1);
  assert.deepEqual(fixture.received[0].body, pattern(60, 2));
});

test("replies sent between two polls come before those of the next", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  await writeAll(client, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
  const [{ connection }] = fixture.received;
  const record = new Uint8Array(8 + 5);
  new DataView(record.buffer).setUint32(0, connection, true);
  new DataView(record.buffer).setUint32(4, 5, true);
  record.set(pattern(5, 1), 8);
  fixture.server.send(record);
  assert.deepEqual(await readExactly(client, 5), pattern(5, 1));
  fixture.reply(connection, pattern(6, 2));
  fixture.poll();
  assert.deepEqual(await readExactly(client, 6), pattern(6, 2));
  assert.throws(() => fixture.server.send(record.subarray(0, 9)), /mc_rpc_send.*EINVAL/);
});

test("a connection is open until its client has hung up", async () => {
  using fixture = new Fixture();
  const client = await fixture.connect();
  await writeAll(client, frame(1, 1, pattern(3, 1)));
  fixture.until(() => fixture.received.length === 1);
  const [{ connection }] = fixture.received;
  assert.equal(fixture.server.isOpen(connection), true);
  assert.equal(fixture.server.isOpen(connection + 1), false);
  fixture.close(client);
  fixture.until(() => fixture.server.connections === 0);
  assert.equal(fixture.server.isOpen(connection), false);
});

test("connections beyond the limit are closed at once", async () => {
  using fixture = new Fixture({ maxConnections: 3 });
  for (let i = 0; i < 3; i++) await fixture.connect();
  fixture.until(() => fixture.server.connections === 3);
  const extra = await fixture.connect();
  fixture.poll(50);
  assert.equal(await extra.read(new Uint8Array(1)).catch(() => null), null);
});

test("writing to the wake descriptor ends a poll", async () => {
  using fixture = new Fixture();
  await Promise.resolve();
  eventfdWaker(fixture.server.wakeFd)();
  assert.equal(fixture.poll(10_000), true);
  assert.equal(fixture.poll(0), false);
});

test("a taken port and a bad host are refused with the reason", async () => {
  using fixture = new Fixture();
  await Promise.resolve();
  const again = { port: fixture.server.port };
  assert.throws(() => new Fixture(again), /EADDRINUSE/);
  assert.throws(() => new Fixture({ host: "nowhere" }), /EINVAL/);
});

/**
 * How every transfer engine behaves when the other side, or time, is against it. Free of `Deno`, so
 * that it runs under Node too.
 */
import assert from "node:assert/strict";
import { Opcode, TransferCode } from "../../client/transfer/engine.ts";
import { WINDOW_BYTES } from "../../proto/address_window.ts";
import { until } from "../support/until.ts";
import {
  type EngineKind,
  EnginePair,
  fill,
  type RegisterTest,
  same,
  scoped,
} from "./engine_pair.ts";
import { RawClient, RawServer, requestBytes, statusBytes } from "./raw_peer.ts";

const { READ, WRITE } = Opcode;

/** Registers the tests of an engine as a client. */
export function transferClientFaultSuite(
  register: RegisterTest,
  kind: EngineKind,
  version: 1 | 2,
): void {
  const test = scoped(register);
  const status = version === 2 ? [statusBytes(0)] : [];

  /** A client engine with a peer that the test plays itself. */
  async function against(
    serve?: Parameters<typeof RawServer.listen>[0],
    options?: Parameters<EngineKind["open"]>[0],
  ) {
    const server = await RawServer.listen(serve);
    const client = kind.open(options);
    const local = client.allocate(1 << 20);
    const address = { host: "127.0.0.1", port: server.port, protocolVersion: version };
    const peer = client.openPeer(address);
    const read = (length: number, localOffset = 0) => ({
      ...{ opcode: READ, peer, remoteAddress: 4096n, length, local, localOffset },
    });
    return {
      ...{ server, client, local, peer, read },
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  test("a peer that dies in the middle fails the transfer; the next reconnects", async (scope) => {
    const t = scope.own(
      await against(async (connection, index) => {
        for (;;) {
          const request = await connection.takeRequest();
          if (request === null) return;
          const { size } = request;
          connection.send(...status, new Uint8Array(index === 0 ? size / 2 : size).fill(index + 1));
          if (index === 0) await until(() => t.local.bytes[0] === 1);
          if (index === 0) return connection.destroy();
        }
      }),
    );
    assert.equal(await t.client.transferOne(t.read(200_000)), TransferCode.SOCKET);
    assert.equal(await t.client.transferOne(t.read(200_000)), TransferCode.OK);
    assert(t.local.bytes.subarray(0, 200_000).every((byte) => byte === 2));
  });

  test("a peer that closes an idle connection does not fail the next transfer", async (scope) => {
    let closed = false;
    const t = scope.own(
      await against(async (connection, index) => {
        await connection.takeRequest();
        connection.send(...status, new Uint8Array(64).fill(index + 1));
        if (index > 0) return;
        await until(() => t.local.bytes[0] === 1);
        connection.destroy();
        await until(() => connection.ended);
        closed = true;
      }),
    );
    assert.equal(await t.client.transferOne(t.read(64)), TransferCode.OK);
    await until(() => closed);
    const waited = performance.now() + 20;
    await until(() => performance.now() > waited);
    assert.equal(await t.client.transferOne(t.read(64)), TransferCode.OK);
    assert.equal(t.local.bytes[0], 2);
  });

  test("a peer that never answers is a time-out within the deadline", async (scope) => {
    const t = scope.own(await against());
    const begun = performance.now();
    const codes = await t.client.transfer([t.read(100), t.read(5000)], { timeoutMs: 120 });
    const elapsed = performance.now() - begun;
    assert.deepEqual([...codes], [TransferCode.TIMEOUT, TransferCode.TIMEOUT]);
    assert(elapsed >= 110 && elapsed < 3000, `took ${elapsed} ms`);
  });

  test("reads end when their signal is aborted, and late bytes go nowhere", async (scope) => {
    let release = false;
    const t = scope.own(
      await against(async (connection) => {
        await connection.takeRequest();
        await connection.takeRequest();
        connection.send(...status, new Uint8Array(50).fill(1));
        await until(() => release);
        connection.send(new Uint8Array(50).fill(2), ...status, new Uint8Array(60).fill(3));
      }),
    );
    const stop = new AbortController();
    const cancelled = t.client.transferOne(t.read(100), { signal: stop.signal });
    const kept = t.client.transferOne(t.read(60, 4096));
    await until(() => t.local.bytes[0] === 1);
    stop.abort();
    assert.equal(await cancelled, TransferCode.CANCELLED);
    t.local.bytes.fill(9, 0, 100);
    release = true;
    assert.equal(await kept, TransferCode.OK);
    assert(t.local.bytes.subarray(0, 100).every((byte) => byte === 9));
    assert(t.local.bytes.subarray(4096, 4156).every((byte) => byte === 3));
  });

  test("a peer that does not read is a time-out too", async (scope) => {
    const t = scope.own(await against((connection) => connection.pause()));
    const source = new Uint8Array(64 << 20);
    const write = { opcode: WRITE, peer: t.peer, remoteAddress: 0n, length: source.length };
    const code = await t.client.transferOne(
      { ...write, local: source, localOffset: 0 },
      { timeoutMs: 150 },
    );
    assert.equal(code, TransferCode.TIMEOUT);
  });

  test("an overdue transfer does not break those that share its connection", async (scope) => {
    const t = scope.own(
      await against(async (connection) => {
        await connection.take(48);
        await until(() => first.done);
        connection.send(...status, new Uint8Array(100).fill(7));
        connection.send(...status, new Uint8Array(50).fill(9));
      }),
    );
    const first = { done: false };
    const overdue = t.client.transferOne(t.read(100, 0), { timeoutMs: 60 });
    const patient = t.client.transferOne(t.read(50, 1000));
    assert.equal(await overdue, TransferCode.TIMEOUT);
    t.local.bytes.fill(1, 0, 100);
    first.done = true;
    assert.equal(await patient, TransferCode.OK);
    assert(t.local.bytes.subarray(1000, 1050).every((byte) => byte === 9));
    assert(t.local.bytes.subarray(0, 100).every((byte) => byte === 1), "touched after its end");
  });

  test("a refused connection is an unreachable endpoint", async (scope) => {
    const server = await RawServer.listen();
    const { port } = server;
    await server[Symbol.asyncDispose]();
    const client = scope.own(kind.open());
    const local = client.allocate(64);
    const peer = client.openPeer({ host: "127.0.0.1", port, protocolVersion: version });
    const read = { opcode: READ, peer, remoteAddress: 0n, length: 64, local, localOffset: 0 };
    assert.equal(await client.transferOne(read), TransferCode.ENDPOINT);
    const both = await client.transfer([read, read]);
    assert.deepEqual([...both], [TransferCode.ENDPOINT, TransferCode.ENDPOINT]);
  });

  test("closing a peer fails what is in flight to it", async (scope) => {
    const t = scope.own(await against());
    const reads = t.client.transfer([t.read(10), t.read(500_000)]);
    await until(() => t.server.connections.length > 0);
    t.client.closePeer(t.peer);
    assert.deepEqual([...await reads], [TransferCode.SOCKET, TransferCode.SOCKET]);
    await assert.rejects(t.client.transferOne(t.read(1)), RangeError);
  });

  test("disposing the engine fails what is in flight and waits for it", async (scope) => {
    const t = scope.own(await against());
    const reads = Array.from({ length: 20 }, (_, i) => t.client.transferOne(t.read(1000 + i)));
    await until(() => t.server.connections.length > 0);
    await t[Symbol.asyncDispose]();
    assert.deepEqual(new Set(await Promise.all(reads)), new Set([TransferCode.SOCKET]));
  });

  if (version === 1) return;

  test("an answer that is no status fails the transfer", async (scope) => {
    const t = scope.own(
      await against(async (connection) => {
        await connection.takeRequest();
        connection.send(new Uint8Array(108).fill(0x41));
      }),
    );
    assert.equal(await t.client.transferOne(t.read(100)), TransferCode.SOCKET);
  });

  test("bytes that nobody asked for end the connection, not the engine", async (scope) => {
    const t = scope.own(
      await against(async (connection, index) => {
        await connection.takeRequest();
        connection.send(...status, new Uint8Array(100).fill(index + 1));
        if (index === 0) connection.send(new Uint8Array(5000));
      }),
    );
    assert.equal(await t.client.transferOne(t.read(100)), TransferCode.OK);
    const limit = { timeoutMs: 2000 };
    for (let i = 0; i < 3 && t.local.bytes[0] !== 2; i++) {
      assert.notEqual(await t.client.transferOne(t.read(100), limit), TransferCode.TIMEOUT);
    }
    assert.equal(t.local.bytes[0], 2);
  });

  test("a refusal while a large write is being sent ends it early", async (scope) => {
    const t = scope.own(
      await against(async (connection, index) => {
        await connection.takeRequest();
        if (index === 0) connection.send(statusBytes(1));
      }),
    );
    const source = new Uint8Array(48 << 20);
    const write = { opcode: WRITE, peer: t.peer, remoteAddress: 0n, length: source.length };
    const code = await t.client.transferOne({ ...write, local: source, localOffset: 0 });
    assert.equal(code, TransferCode.ADDRESS_NOT_REGISTERED);
  });
}

/** Registers the tests of an engine as a server. */
export function transferServerFaultSuite(register: RegisterTest, kind: EngineKind): void {
  const test = scoped(register);

  async function serving(
    bytes: number,
    options?: Parameters<EngineKind["open"]>[0],
  ) {
    const t = await EnginePair.open({ client: kind, server: kind, version: 2 }, {
      ...{ bytes, server: options ?? {} },
    });
    const works = async () => {
      const { client, local, peer } = t;
      const read = { opcode: READ, peer, remoteAddress: t.at(0), length: 9, local, localOffset: 0 };
      assert.equal(await client.transferOne(read), TransferCode.OK);
    };
    return Object.assign(t, { works });
  }

  test("answers requests in order when hundreds arrive at once", async (scope) => {
    const t = scope.own(await serving(1 << 20));
    fill(t.remote.bytes, 1);
    const raw = scope.own(await RawClient.connect(t.port));
    const count = 500;
    for (let i = 0; i < count; i++) raw.send(requestBytes(READ, 2, t.at(i * 100), 100));
    const answers = await raw.receive(count * 108);
    assert.equal(answers.length, count * 108);
    for (let i = 0; i < count; i++) {
      assert(same(answers.subarray(i * 108, i * 108 + 8), statusBytes(0)));
      const body = answers.subarray(i * 108 + 8, (i + 1) * 108);
      assert(same(body, t.remote.bytes.subarray(i * 100, i * 100 + 100)), `answer ${i}`);
    }
  });

  test("carries out a write before a read that follows it, however they are cut", async (scope) => {
    const t = scope.own(await serving(1 << 20));
    const raw = scope.own(await RawClient.connect(t.port));
    const body = new Uint8Array(70_000);
    fill(body, 9);
    const stream = new Uint8Array(24 + body.length + 24);
    stream.set(requestBytes(WRITE, 2, t.at(77), body.length));
    stream.set(body, 24);
    stream.set(requestBytes(READ, 2, t.at(77), body.length), 24 + body.length);
    for (const cut of [1, 23, 24, 25, 8191, 24 + body.length, 24 + body.length + 5]) {
      const before = raw.length;
      raw.send(stream.slice(0, cut));
      await new Promise((resolve) => setTimeout(resolve, 1));
      raw.send(stream.slice(cut));
      const answers = (await raw.receive(before + 16 + body.length)).subarray(before);
      assert(same(answers.subarray(0, 8), statusBytes(0)));
      assert(same(answers.subarray(8, 16), statusBytes(0)));
      assert(same(answers.subarray(16), body), `cut at ${cut}`);
    }
  });

  test("refuses size 0 and unknown opcodes with a status in version 2 and a close in 1", async (scope) => {
    const t = scope.own(await serving(4096));
    const unknown = requestBytes(READ, 2, t.at(0), 16);
    unknown[16] = 0x85;
    for (const request of [requestBytes(READ, 2, t.at(0), 0), unknown]) {
      const raw = scope.own(await RawClient.connect(t.port));
      raw.send(request, requestBytes(READ, 2, t.at(0), 16));
      await raw.receive(8);
      raw.end();
      await raw.untilClosed();
      assert.deepEqual(raw.bytes, statusBytes(1), "nothing is served after a refusal");
    }
    const old = requestBytes(READ, 1, t.at(0), 16);
    old[16] = 0x05;
    for (const request of [requestBytes(WRITE, 1, t.at(0), 0), old]) {
      const raw = scope.own(await RawClient.connect(t.port));
      raw.send(request);
      await raw.untilClosed();
      assert.equal(raw.length, 0);
    }
    assert.equal(t.server.stats().refused, 4);
    await t.works();
  });

  test("delivers the refusal of a write whose body is still coming", async (scope) => {
    const t = scope.own(await serving(4096));
    const raw = scope.own(await RawClient.connect(t.port));
    raw.send(requestBytes(WRITE, 2, 5n, 3 << 20), new Uint8Array(1 << 20));
    await raw.receive(8);
    raw.send(new Uint8Array(2 << 20));
    raw.end();
    await raw.untilClosed();
    assert.deepEqual(raw.bytes, statusBytes(1));
  });

  test("survives garbage", async (scope) => {
    const t = scope.own(await serving(4096));
    fill(t.remote.bytes, 3);
    const before = t.remote.bytes.slice();
    const garbage = new Uint8Array(3000);
    for (let i = 0; i < 60; i++) {
      fill(garbage, i);
      const raw = scope.own(await RawClient.connect(t.port));
      raw.send(garbage.subarray(0, 1 + i * 50));
      raw.end();
      await raw.untilClosed();
    }
    assert(same(t.remote.bytes, before));
    await t.works();
  });

  test("a region that goes away ends the reads and writes under way in it", async (scope) => {
    const t = scope.own(await serving(64 << 20));
    const { remote } = t;
    fill(remote.bytes.subarray(0, 4096), 4);
    const expected = remote.bytes.slice(0, 4096);
    const reader = scope.own(await RawClient.connect(t.port));
    reader.send(requestBytes(READ, 2, t.at(0), remote.length));
    await reader.receive(4096);
    reader.pause();
    const writer = scope.own(await RawClient.connect(t.port));
    writer.send(requestBytes(WRITE, 2, t.at(0), 1 << 20), new Uint8Array(500_000));
    await until(() => t.server.stats().servedWriteBytes > 0);

    const base = t.at(0);
    remote[Symbol.dispose]();
    writer.send(new Uint8Array((1 << 20) - 500_000));
    writer.end();
    await writer.untilClosed();
    assert.deepEqual(writer.bytes, statusBytes(1));
    reader.resume();
    await reader.untilClosed();
    assert(reader.length < remote.length, "the whole region was sent");
    assert(same(reader.bytes.subarray(8, 4104), expected));

    const { client, local, peer } = t;
    const read = { opcode: READ, peer, remoteAddress: base, length: 1, local, localOffset: 0 };
    assert.equal(await client.transferOne(read), TransferCode.ADDRESS_NOT_REGISTERED);
  });

  test("a fence ends the reads and writes under way in its window, and no others", async (scope) => {
    const t = scope.own(await serving(64 << 20));
    const length = 1 << 20;
    const half = new Uint8Array(length / 2).fill(7);
    fill(t.remote.bytes.subarray(0, 4096), 4);
    const expected = t.remote.bytes.slice(0, 4096);
    const reader = scope.own(await RawClient.connect(t.port));
    reader.send(requestBytes(READ, 2, t.at(0), t.remote.length));
    await reader.receive(4096);
    reader.pause();
    const [late, next] = [
      scope.own(await RawClient.connect(t.port)),
      scope.own(await RawClient.connect(t.port)),
    ];
    const nextAddress = t.at(length) + BigInt(WINDOW_BYTES);
    late.send(requestBytes(WRITE, 2, t.at(length), length), half);
    next.send(requestBytes(WRITE, 2, nextAddress, length), half);
    await until(() => t.server.stats().servedWriteBytes === length);

    const writer = new Uint8Array(16).fill(1);
    assert(await t.server.fence(t.at(0), t.remote.length, 60_000, writer));
    late.send(half);
    late.end();
    await late.untilClosed();
    assert.deepEqual(late.bytes, statusBytes(1));
    const second = t.remote.bytes.subarray(length * 1.5, length * 2);
    assert(second.every((byte) => byte === 0), "bytes came in after the fence");
    next.send(half);
    assert.deepEqual(await next.receive(8), statusBytes(0));
    assert(second.every((byte) => byte === 7));
    reader.resume();
    await reader.untilClosed();
    assert(reader.length < t.remote.length, "the whole region was sent");
    assert(same(reader.bytes.subarray(8, 4104), expected));
  });

  test("serves 500 connections", async (scope) => {
    const t = scope.own(await serving(1 << 20));
    fill(t.remote.bytes, 5);
    const clients = await Promise.all(
      Array.from({ length: 500 }, async () => scope.own(await RawClient.connect(t.port))),
    );
    for (const [i, raw] of clients.entries()) raw.send(requestBytes(READ, 2, t.at(i), 2000));
    for (const [i, raw] of clients.entries()) {
      const answer = await raw.receive(2008);
      assert(same(answer.subarray(8), t.remote.bytes.subarray(i, i + 2000)), `client ${i}`);
    }
    assert.equal(t.server.stats().connections, 500);
    await Promise.all(clients.map((raw) => raw[Symbol.asyncDispose]()));
    await until(() => t.server.stats().connections === 0);
    await t.works();
  });

  test("closes connections over its limit", async (scope) => {
    const t = scope.own(await serving(4096, { maxConnections: 3 }));
    await t.works();
    for (let i = 0; i < 2; i++) scope.own(await RawClient.connect(t.port));
    await until(() => t.server.stats().connections === 3);
    const surplus = scope.own(await RawClient.connect(t.port));
    await surplus.untilClosed();
    await t.works();
  });

  test("silent connections give way when there are too many", async (scope) => {
    const t = scope.own(await serving(4096, { maxConnections: 3, stallTimeoutMs: 100 }));
    await t.works();
    const silent = [];
    for (let i = 0; i < 2; i++) silent.push(scope.own(await RawClient.connect(t.port)));
    await until(() => t.server.stats().connections === 3);
    await until(async () => {
      const raw = scope.own(await RawClient.connect(t.port));
      raw.send(requestBytes(READ, 2, t.at(0), 5));
      return (await raw.receive(13)).length === 13;
    });
    assert(silent.every(({ closed }) => closed));
    await t.works();
  });

  test("drops peers that stall in the middle and keeps those that only wait", async (scope) => {
    const t = scope.own(await serving(64 << 20, { stallTimeoutMs: 100 }));
    const idle = scope.own(await RawClient.connect(t.port));
    idle.send(requestBytes(READ, 2, t.at(0), 5));
    await idle.receive(13);
    const header = scope.own(await RawClient.connect(t.port));
    header.send(requestBytes(READ, 2, t.at(0), 5).subarray(0, 20));
    const body = scope.own(await RawClient.connect(t.port));
    body.send(requestBytes(WRITE, 2, t.at(0), 500), new Uint8Array(100));
    const deaf = scope.own(await RawClient.connect(t.port));
    deaf.pause();
    deaf.send(requestBytes(READ, 2, t.at(0), t.remote.length));
    await header.untilClosed();
    await body.untilClosed();
    await until(() => t.server.stats().connections === 1);
    idle.send(requestBytes(READ, 2, t.at(0), 5));
    assert.equal((await idle.receive(26)).length, 26);
    await t.works();
  });

  test("answers a peer that has closed its sending side", async (scope) => {
    const t = scope.own(await serving(4 << 20));
    fill(t.remote.bytes, 8);
    const raw = scope.own(await RawClient.connect(t.port));
    raw.send(requestBytes(READ, 2, t.at(0), t.remote.length), requestBytes(READ, 2, t.at(3), 10));
    raw.end();
    await raw.untilClosed();
    assert.equal(raw.length, 8 + t.remote.length + 18);
    assert(same(raw.bytes.subarray(8, 8 + t.remote.length), t.remote.bytes));
  });

  test("stops while peers are connected and transferring", async (scope) => {
    const t = scope.own(await serving(32 << 20));
    const { client, local, peer } = t;
    const read = { opcode: READ, peer, remoteAddress: t.at(0), length: local.length, local };
    const transfers = Array.from(
      { length: 4 },
      () => client.transferOne({ ...read, localOffset: 0 }),
    );
    await until(() => t.server.stats().connections > 0);
    await t.server[Symbol.asyncDispose]();
    for (const code of await Promise.all(transfers)) {
      assert([TransferCode.OK, TransferCode.SOCKET, TransferCode.ENDPOINT].includes(code as 0));
    }
  });
}

/**
 * What every transfer engine must do, for each pairing of a client and a server and both versions
 * of the framing. Free of `Deno`, so that it runs under Node too.
 */
import assert from "node:assert/strict";
import { crc32c } from "../../proto/crc32c.ts";
import { Opcode, TransferCode, type TransferOperation } from "../../client/transfer/engine.ts";
import {
  EnginePair,
  type EnginePairing,
  fill,
  type RegisterTest,
  same,
  scoped,
} from "./engine_pair.ts";

const { READ, WRITE } = Opcode;

/** Registers the tests of one pairing. */
export function transferEngineSuite(
  register: RegisterTest,
  kinds: EnginePairing,
): void {
  const test = scoped(register);
  const { version } = kinds;
  const refusedCode = version === 2 || kinds.sameHost
    ? TransferCode.ADDRESS_NOT_REGISTERED
    : TransferCode.SOCKET;
  /** Files have nobody who serves them, listens, or counts what is moved. */
  const unserved = kinds.fileOf !== undefined;
  const served: typeof test = unserved ? () => {} : test;
  /** No memory is there. */
  const nowhere = unserved ? 1n << 40n : 12_345n;
  const pair = (options?: Parameters<typeof EnginePair.open>[1]) => EnginePair.open(kinds, options);

  served("memory of the caller is served and read into where it is", async (scope) => {
    const t = scope.own(await pair());
    const { client, server } = t;
    const theirs = new Uint8Array(100_000);
    fill(theirs, 4);
    const served = server.adopt(theirs.subarray(1, 90_001), { publish: true });
    const mine = new Uint8Array(90_000);
    const local = client.adopt(mine);
    const peer = t.reach(served);
    const op = { peer, remoteAddress: served.remoteBase!, length: 90_000, local, localOffset: 0 };
    assert.equal(await client.transferOne({ ...op, opcode: READ }), TransferCode.OK);
    assert(same(mine, theirs.subarray(1, 90_001)));
    fill(mine, 5);
    assert.equal(await client.transferOne({ ...op, opcode: WRITE }), TransferCode.OK);
    assert.equal(await client.transferOne({ ...op, opcode: READ }), TransferCode.OK);
    assert(same(mine, theirs.subarray(1, 90_001)));
    served[Symbol.dispose]();
    assert.equal(served.bytes.length, 0);
    assert.equal(theirs.length, 100_000);
    const afterwards = await client.transferOne({ ...op, opcode: READ });
    // A plugin may end the connection instead of refusing the operation.
    if (kinds.plugin) assert.notEqual(afterwards, TransferCode.OK);
    else assert.equal(afterwards, refusedCode);
    assert.throws(() => server.adopt({ address: 0n, length: 4096 }), /exceed|by its address/);
    assert.throws(() => server.adopt(new Uint8Array(0)), RangeError);
  });

  test("moves 1 byte to 16 MiB both ways and nothing around it", async (scope) => {
    const bytes = (16 << 20) + 64;
    const t = scope.own(await pair({ bytes }));
    const { client, server, local, remote, peer } = t;
    fill(remote.bytes, 1);
    const sizes = [1, 7, 24, 4095, 4096, 65535, 65536, 65537, 262_145, (1 << 20) + 3, 16 << 20];
    for (const length of sizes) {
      local.bytes.fill(0xee);
      const read = { opcode: READ, peer, remoteAddress: t.at(5), length, local, localOffset: 11 };
      assert.equal(await client.transferOne(read), TransferCode.OK, `READ of ${length}`);
      assert(same(local.bytes.subarray(11, 11 + length), remote.bytes.subarray(5, 5 + length)));
      assert.equal(local.bytes[10], 0xee);
      assert.equal(local.bytes[11 + length], 0xee);
    }
    for (const length of sizes) {
      remote.bytes.fill(0x77);
      fill(local.bytes.subarray(3, 3 + length), length);
      const ops = [{ opcode: WRITE, peer, remoteAddress: t.at(9), length, local, localOffset: 3 }];
      assert.deepEqual([...await client.transfer(ops)], [TransferCode.OK], `WRITE of ${length}`);
      assert(same(remote.bytes.subarray(9, 9 + length), local.bytes.subarray(3, 3 + length)));
      assert.equal(remote.bytes[8], 0x77);
      assert.equal(remote.bytes[9 + length], 0x77);
    }
    // Nobody counts what a plugin moves from the other side.
    if (kinds.plugin || unserved) return;
    assert.equal(server.stats().servedWrites, sizes.length);
    // Without acknowledgements each write is followed by a read that proves it.
    const proofs = version === 1 ? sizes.length : 0;
    assert.equal(server.stats().servedReads, sizes.length + proofs);
    assert.equal(server.stats().refused, 0);
  });

  test("completes a batch of 1000 small reads and writes of all sizes", async (scope) => {
    const t = scope.own(await pair({ bytes: 2 << 20 }));
    const { client, local, remote, peer } = t;
    fill(remote.bytes, 2);
    fill(local.bytes, 3);
    const ops: TransferOperation[] = [];
    for (let i = 0; i < 1000; i++) {
      const length = 1 + (i * 37) % 2048;
      const offset = i * 2048;
      const opcode = i % 3 === 0 ? WRITE : READ;
      ops.push({ opcode, peer, remoteAddress: t.at(offset), length, local, localOffset: offset });
    }
    assert.deepEqual(new Set(await client.transfer(ops)), new Set([TransferCode.OK]));
    for (const { localOffset: at, length } of ops) {
      assert(same(local.bytes.subarray(at, at + length), remote.bytes.subarray(at, at + length)));
    }
  });

  test("keeps many transfers of several sizes in flight at once", async (scope) => {
    const t = scope.own(await pair({ bytes: 8 << 20 }));
    const { client, local, remote, peer } = t;
    fill(remote.bytes, 4);
    const lengths = Array.from({ length: 64 }, (_, i) => i % 8 === 0 ? 700_001 : 4096 + i);
    let offset = 0;
    const results = await Promise.all(lengths.map((length) => {
      const at = offset;
      offset += 131_072;
      return client.transferOne({
        ...{ opcode: READ, peer, remoteAddress: t.at(at % 4_000_000), length: length % 131_072 },
        ...{ local, localOffset: at },
      });
    }));
    assert.deepEqual(new Set(results), new Set([TransferCode.OK]));
    for (const [i, length] of lengths.entries()) {
      const at = i * 131_072;
      const from = at % 4_000_000;
      const moved = length % 131_072;
      assert(
        same(local.bytes.subarray(at, at + moved), remote.bytes.subarray(from, from + moved)),
        `transfer ${i}`,
      );
    }
  });

  test("reads into and writes from memory of the caller", async (scope) => {
    const t = scope.own(await pair());
    const { client, remote, peer } = t;
    fill(remote.bytes, 5);
    for (const length of [1, 30, 64, 65, 5000, 500_000]) {
      const target = new Uint8Array(length + 2);
      const read = { opcode: READ, peer, remoteAddress: t.at(1), length, local: target };
      assert.equal(await client.transferOne({ ...read, localOffset: 1 }), TransferCode.OK);
      assert(same(target.subarray(1, 1 + length), remote.bytes.subarray(1, 1 + length)));
      assert.equal(target[0] + target[length + 1], 0);

      const source = new Uint8Array(length + 9).subarray(3);
      fill(source, length);
      const write = { opcode: WRITE, peer, remoteAddress: t.at(2), length, local: source };
      const back = new Uint8Array(length);
      assert.deepEqual(
        [...await client.transfer([{ ...write, localOffset: 2 }])],
        [TransferCode.OK],
      );
      const again = { opcode: READ, peer, remoteAddress: t.at(2), length, local: back };
      assert.equal(await client.transferOne({ ...again, localOffset: 0 }), TransferCode.OK);
      assert(same(back, source.subarray(2, 2 + length)));
    }
  });

  test("sums the bytes of operations that ask for it, and of no others", async (scope) => {
    const t = scope.own(await pair({ bytes: 5 << 20 }));
    const { client, local, remote, peer } = t;
    fill(remote.bytes, 7);
    const sizes = [1, 8, 100, 4095, 4080, 65_536, 131_073, 262_144, 700_001, (4 << 20) + 5];
    const borrowed = new Uint8Array((4 << 20) + 64);
    for (const length of sizes) {
      for (const [memory, localOffset] of [[local, 3], [borrowed, 16], [borrowed, 9]] as const) {
        for (const opcode of [READ, WRITE]) {
          const bytes = memory instanceof Uint8Array ? memory : memory.bytes;
          if (opcode === WRITE) fill(bytes.subarray(localOffset, localOffset + length), length);
          const op: TransferOperation = {
            ...{ opcode, peer, remoteAddress: t.at(7), length, local: memory, localOffset },
            sums: true,
          };
          assert.equal(await client.transferOne(op), TransferCode.OK);
          const what = `${opcode === READ ? "READ" : "WRITE"} of ${length} at ${localOffset}`;
          assert.equal(op.crc32c, crc32c(remote.bytes, 7, 7 + length), what);
          assert.equal(op.crc32c, crc32c(bytes, localOffset, localOffset + length), what);
        }
      }
    }
    const refused = version === 2;
    const ops = Array.from({ length: 60 }, (_, i): TransferOperation => ({
      opcode: i % 4 === 3 ? WRITE : READ,
      peer,
      remoteAddress: refused && i % 10 === 5 ? nowhere : t.at(i * 70_000),
      length: 1 + i * 1000,
      local,
      localOffset: i * 70_000,
      sums: i % 3 === 0,
    }));
    const codes = await client.transfer(ops);
    for (const [i, { crc32c: sum, length, localOffset, sums }] of ops.entries()) {
      assert.equal(codes[i] === TransferCode.OK, !(refused && i % 10 === 5), `operation ${i}`);
      const expected = sums && codes[i] === TransferCode.OK
        ? crc32c(local.bytes, localOffset, localOffset + length)
        : undefined;
      assert.equal(sum, expected, `operation ${i}`);
    }
  });

  served("refuses ranges outside one published region and goes on working", async (scope) => {
    const t = scope.own(await pair({ bytes: 65_536 }));
    const { client, server, peer } = t;
    const local = client.allocate(8 << 20);
    const neighbour = server.allocate(65_536, { publish: true });
    const secret = server.allocate(65_536);
    assert.equal(secret.remoteBase, null);
    const gone = server.allocate(65_536, { publish: true });
    const stale = gone.remoteBase!;
    gone[Symbol.dispose]();
    const reused = server.allocate(65_536, { publish: true });
    assert.notEqual(reused.remoteBase, stale);

    const bad: [string, bigint, number][] = [
      ["before the base", t.at(-1), 2],
      ["past the end", t.at(65_536), 1],
      ["across the end", t.at(65_000), 537],
      ["over two regions", t.at(0), Number(neighbour.remoteBase! - t.at(0)) + 1],
      ["of a region that is gone", stale, 1],
      ["nowhere", 0n, 1],
      ["at the top of the address space", (1n << 64n) - 4096n, 4096],
    ];
    let refused = 0;
    for (const [what, remoteAddress, length] of bad) {
      const op = { opcode: READ, peer, remoteAddress, length, local, localOffset: 0 };
      assert.equal(await client.transferOne(op), refusedCode, `READ ${what}`);
      const write = await client.transferOne({ ...op, opcode: WRITE });
      assert.equal(write, refusedCode, `WRITE ${what}`);
      refused += 2;
      const good = { opcode: READ, peer, remoteAddress: t.at(0), length: 99, local };
      assert.equal(await client.transferOne({ ...good, localOffset: 0 }), TransferCode.OK);
    }
    if (kinds.sameHost || kinds.plugin) return;
    assert.equal(server.stats().refused, refused);
    assert.equal(server.stats().readsFenced, bad.length);
  });

  if (version === 2) {
    test("one refused operation does not fail those around it", async (scope) => {
      const t = scope.own(await pair());
      const { client, local, remote, peer } = t;
      fill(remote.bytes, 6);
      const ops = Array.from({ length: 60 }, (_, i) => ({
        opcode: i % 4 === 3 ? WRITE : READ,
        peer,
        remoteAddress: i % 10 === 5 ? nowhere : t.at(i * 4096),
        length: 4096,
        local,
        localOffset: i * 4096,
      }));
      const codes = await client.transfer(ops);
      for (const [i, code] of codes.entries()) {
        const expected = i % 10 === 5 ? TransferCode.ADDRESS_NOT_REGISTERED : TransferCode.OK;
        assert.equal(code, expected, `operation ${i}`);
        if (code !== TransferCode.OK) continue;
        const at = i * 4096;
        assert(same(local.bytes.subarray(at, at + 4096), remote.bytes.subarray(at, at + 4096)));
      }
    });

    test("a large refused write is told so", async (scope) => {
      const t = scope.own(await pair({ bytes: 32 << 20 }));
      const { client, local, peer } = t;
      const write = { opcode: WRITE, peer, remoteAddress: t.at(1), length: 32 << 20, local };
      const code = await client.transferOne({ ...write, localOffset: 0 });
      assert.equal(code, TransferCode.ADDRESS_NOT_REGISTERED);
    });
  }

  test("rejects malformed arguments before any byte moves", async (scope) => {
    const t = scope.own(await pair({ bytes: 4096 }));
    const other = scope.own(await pair({ bytes: 4096 }));
    const { client, local, peer } = t;
    const good = { opcode: READ, peer, remoteAddress: t.at(0), length: 8, local, localOffset: 0 };
    const gone = client.allocate(64);
    gone[Symbol.dispose]();
    const bad: [Partial<Record<keyof TransferOperation, unknown>>, typeof Error][] = [
      [{ opcode: 2 }, RangeError],
      [{ length: 0 }, RangeError],
      [{ length: -1 }, RangeError],
      [{ length: 1.5 }, RangeError],
      [{ length: NaN }, RangeError],
      [{ localOffset: -1 }, RangeError],
      [{ localOffset: 4089 }, RangeError],
      [{ length: 4097 }, RangeError],
      [{ peer: 987 }, RangeError],
      [{ remoteAddress: -1n }, RangeError],
      [{ remoteAddress: 1n << 64n }, RangeError],
      [{ remoteAddress: 5 }, TypeError],
      [{ local: "text" }, TypeError],
      [{ local: other.local }, TypeError],
      [{ local: gone }, TypeError],
      [{ local: new Uint8Array(new ArrayBuffer(16, { maxByteLength: 32 })) }, TypeError],
    ];
    for (const [change, kind] of bad) {
      const op = { ...good, ...change } as TransferOperation;
      await assert.rejects(client.transferOne(op), kind, JSON.stringify(Object.keys(change)));
      await assert.rejects(client.transfer([good, op]), kind);
    }
    for (const timeoutMs of [0, -1, 1.5, 2 ** 31, NaN]) {
      await assert.rejects(client.transferOne(good, { timeoutMs }), RangeError);
    }
    assert.throws(() => client.allocate(0), RangeError);
    assert.throws(() => client.allocate(1.5), RangeError);
    const address = { host: "127.0.0.1", port: 1, protocolVersion: version };
    assert.throws(() => client.openPeer({ ...address, port: 0 }), RangeError);
    assert.throws(() => client.openPeer({ ...address, port: 65_536 }), RangeError);
    assert.throws(() => client.openPeer({ ...address, protocolVersion: 3 as 2 }), RangeError);
    await assert.rejects(client.listen({ port: -1 }), RangeError);
    assert.equal(t.server.stats().connections, 0);
    assert.deepEqual(await client.transfer([]), new Int32Array(0));
  });

  served("reaches many peers in one batch", async (scope) => {
    const servers = Array.from({ length: 20 }, () => scope.own(kinds.server.open()));
    const client = scope.own(kinds.client.open());
    const local = client.allocate(servers.length * 1000);
    const ops = await Promise.all(servers.map(async (server, i) => {
      const region = server.allocate(1000, { publish: true });
      fill(region.bytes, i);
      const { port } = await server.listen({ host: "127.0.0.1" });
      const peer = client.openPeer({ host: "127.0.0.1", port, protocolVersion: version });
      const remoteAddress = region.remoteBase!;
      return { opcode: READ, peer, remoteAddress, length: 1000, local, localOffset: i * 1000 };
    }));
    assert.deepEqual(new Set(await client.transfer(ops)), new Set([TransferCode.OK]));
    const expected = new Uint8Array(1000);
    for (let i = 0; i < servers.length; i++) {
      fill(expected, i);
      assert(same(local.bytes.subarray(i * 1000, (i + 1) * 1000), expected));
    }
  });

  served("resolves a peer's host name", async (scope) => {
    const t = scope.own(await pair());
    const { client, local } = t;
    const named = client.openPeer({ host: "localhost", port: t.port, protocolVersion: version });
    const read = { opcode: READ, remoteAddress: t.at(0), length: 64, local, localOffset: 0 };
    assert.equal(await client.transferOne({ ...read, peer: named }), TransferCode.OK);
    const bad = client.openPeer({ host: "no..such", port: t.port, protocolVersion: version });
    assert.equal(await client.transferOne({ ...read, peer: bad }), TransferCode.DNS);
    const mixed = await client.transfer([{ ...read, peer: bad }, { ...read, peer: named }]);
    assert.deepEqual([...mixed], [TransferCode.DNS, TransferCode.OK]);
  });

  served("listens once, at the address it is given", async (scope) => {
    const t = scope.own(await pair());
    const another = scope.own(kinds.server.open());
    await assert.rejects(
      another.listen({ host: "127.0.0.1", port: t.port }),
      (error: Error & { code?: string }) =>
        /EADDRINUSE|in use/.test(`${error.message} ${error.code}`),
    );
    await assert.rejects(t.server.listen({ host: "127.0.0.1" }));
    const { host, port } = await another.listen({ host: "127.0.0.1" });
    assert.equal(host, "127.0.0.1");
    assert(port > 0 && port !== t.port);
  });

  test("detaches a region's bytes when it is disposed", async (scope) => {
    const t = scope.own(await pair());
    const bytes = t.local.bytes;
    const slice = bytes.subarray(10, 20);
    await t.local.populate();
    t.local[Symbol.dispose]();
    t.local[Symbol.dispose]();
    assert.equal(bytes.length, 0);
    assert.equal(slice.length, 0);
    assert.equal(t.local.bytes.length, 0);
    await assert.rejects(t.local.populate());
  });

  test("can be disposed twice and refuses what comes after", async (scope) => {
    const t = scope.own(await pair());
    const { client, local, peer } = t;
    const { bytes } = local;
    await t[Symbol.asyncDispose]();
    await t[Symbol.asyncDispose]();
    assert.equal(bytes.length, 0);
    const read = { opcode: READ, peer, remoteAddress: t.at(0), length: 1, local, localOffset: 0 };
    await assert.rejects(client.transferOne(read));
    await assert.rejects(client.transfer([read]));
    await assert.rejects(client.listen());
    assert.throws(() => client.allocate(1));
    assert.throws(() => client.openPeer({ host: "127.0.0.1", port: 1, protocolVersion: version }));
  });
}

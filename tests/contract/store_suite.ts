/**
 * What a store client promises, whatever engine moves its bytes, whatever runtime it runs on and
 * whichever master it talks to. The master is started by whoever runs the suite.
 */
import assert from "node:assert/strict";
import type { EngineChoice, StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { type StoreError } from "../../proto/error.ts";
import { ReplicaStatus, TaskStatus } from "../../proto/types.ts";
import { until } from "../support/until.ts";

export interface StoreSuiteOptions {
  /** Where the master and the metadata are; asked by each test. */
  target(): Promise<{ masterAddress: string; metadataServer: string }>;
  /** The engine under test. */
  engine: EngineChoice;
  /** Whether bytes take plain connections only; default false. */
  rpcOnly?: boolean;
}

/** Registers a test; the runner decides what that means. */
export type Register = (name: string, run: () => Promise<void>) => void;

const MIB = 1 << 20;

/** Bytes that differ by position and by `seed`. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + seed * 17 + (i >> 8) * 7;
  return bytes;
}

function assertBytes(actual: Uint8Array | null | undefined, wanted: Uint8Array): void {
  assert(actual instanceof Uint8Array, String(actual));
  assert.equal(actual.length, wanted.length);
  const at = actual.findIndex((byte, i) => byte !== wanted[i]);
  assert.equal(at, -1, `byte ${at} differs`);
}

function hasCode(code: number) {
  return (error: StoreError) => {
    assert.equal(error.name, "StoreError", error.stack);
    assert.equal(error.code, code, error.message);
    return true;
  };
}

/** Registers the suite. */
export function storeSuite(register: Register, options: StoreSuiteOptions): void {
  const connect = async (extra: StoreOptions = {}) => {
    const { masterAddress, metadataServer } = await options.target();
    return await StoreClient.connect({
      masterServerAddress: masterAddress,
      metadataServer,
      engine: options.engine,
      protocol: options.rpcOnly ? "rpc_only" : "tcp",
      ...extra,
    });
  };

  let scope = 0;
  /** A test with a node that lends memory, a client that lends none, and a prefix for its keys. */
  const test = (
    name: string,
    run: (
      t: { node: StoreClient; client: StoreClient; key: (name: string) => string },
    ) => Promise<void>,
    segment = 64 * MIB,
  ) =>
    register(name, async () => {
      const prefix = `suite${++scope}/`;
      const node = await connect({ globalSegmentSize: segment });
      try {
        const client = await connect();
        try {
          await run({ node, client, key: (name) => prefix + name });
        } finally {
          await client.close();
        }
      } finally {
        await node.close();
      }
    });

  test("values of 1 byte to 5 MiB come back as they were", async ({ node, client, key }) => {
    for (const size of [1, 2, 63, 64, 4095, 4096, 65536, 100_001, 5 * MIB]) {
      const value = pattern(size, size);
      assert.equal(await client.put(key(`${size}`), value), "stored");
      assertBytes(await client.get(key(`${size}`)), value);
      assertBytes(await node.get(key(`${size}`)), value);
      assert.equal(await client.getSize(key(`${size}`)), size);
    }
  });

  test("a second put leaves the first value", async ({ node, client, key }) => {
    assert.equal(await client.put(key("a"), pattern(10, 1)), "stored");
    assert.equal(await node.put(key("a"), pattern(20, 2)), "exists");
    assertBytes(await client.get(key("a")), pattern(10, 1));
  });

  test("an upsert stores and replaces, with the same and with another size", async (t) => {
    const { node, client, key } = t;
    for (const [size, seed] of [[100, 1], [100, 2], [3000, 3], [7, 4]]) {
      await client.upsert(key("a"), pattern(size, seed));
      assertBytes(await node.get(key("a")), pattern(size, seed));
      assert.equal(await node.getSize(key("a")), size);
    }
  });

  test("what is missing is null, false or OBJECT_NOT_FOUND", async ({ client, key }) => {
    assert.equal(await client.get(key("no")), null);
    assert.equal(await client.getInto(key("no"), new Uint8Array(4)), null);
    assert.equal(await client.getRanges(key("no"), [{ offset: 0, length: 1 }]), null);
    assert.equal(await client.getSize(key("no")), null);
    assert.equal(await client.isExist(key("no")), false);
    assert.equal(await client.replicas(key("no")), null);
    await assert.rejects(client.remove(key("no")), hasCode(ErrorCode.OBJECT_NOT_FOUND));
  });

  test("keys may be any bytes", async ({ client, key }) => {
    const raw = Uint8Array.of(...new TextEncoder().encode(key("")), 0, 255, 254, 128, 10);
    const keys = [raw, key("\0"), key("é漢🙂"), key("../../x\n"), key("k".repeat(70_000))];
    for (const [i, name] of keys.entries()) await client.put(name, pattern(50, i));
    for (const [i, name] of keys.entries()) assertBytes(await client.get(name), pattern(50, i));
    const found = await client.batchIsExist(keys);
    assert(found.every(({ code, value }) => code === 0 && value === true));
  });

  test("empty keys and values are refused", async ({ client, key }) => {
    await assert.rejects(client.put("", pattern(1)), hasCode(ErrorCode.INVALID_PARAMS));
    await assert.rejects(client.put(key("a"), pattern(0)), hasCode(ErrorCode.INVALID_PARAMS));
    await assert.rejects(client.upsert(key("a"), []), hasCode(ErrorCode.INVALID_PARAMS));
    await assert.rejects(client.get(""), hasCode(ErrorCode.INVALID_PARAMS));
    assert.equal(await client.isExist(key("a")), false);
    const put = await client.batchPut([
      { key: "", value: pattern(1) },
      { key: key("b"), value: pattern(0) },
      { key: key("c"), value: pattern(1) },
    ]);
    assert.deepEqual(put.map(({ code }) => code), [-600, -600, 0]);
  });

  test("values lie in parts and in native memory, and are read into both", async (t) => {
    const { client, key } = t;
    const buffer = client.allocateBuffer(100_000);
    buffer.bytes.set(pattern(100_000, 5));
    const parts = [pattern(3, 1), buffer.slice(10, 90_000), buffer];
    const whole = new Uint8Array(190_003);
    whole.set(pattern(3, 1));
    whole.set(buffer.bytes.subarray(10, 90_010), 3);
    whole.set(buffer.bytes, 90_003);
    assert.equal(await client.put(key("parts"), parts), "stored");
    assertBytes(await client.get(key("parts")), whole);

    const target = client.allocateBuffer(200_000);
    assert.equal(await client.getInto(key("parts"), target), whole.length);
    assertBytes(target.bytes.subarray(0, whole.length), whole);
    const bytes = new Uint8Array(whole.length + 1);
    assert.equal(await client.getInto(key("parts"), bytes), whole.length);
    assertBytes(bytes.subarray(0, whole.length), whole);
    assert.equal(bytes[whole.length], 0);
    await assert.rejects(
      client.getInto(key("parts"), new Uint8Array(whole.length - 1)),
      hasCode(ErrorCode.INVALID_PARAMS),
    );
    buffer[Symbol.dispose]();
    target[Symbol.dispose]();
    assert.throws(() => client.allocateBuffer(1 << 30), hasCode(ErrorCode.BUFFER_OVERFLOW));
  });

  test("parts of an object are read by their ranges", async ({ client, key }) => {
    const value = pattern(10_000, 9);
    await client.put(key("a"), value);
    const ranges = [{ offset: 9990, length: 10 }, { offset: 0, length: 1 }, {
      offset: 5,
      length: 0,
    }, { offset: 100, length: 5000 }];
    const parts = await client.getRanges(key("a"), ranges);
    for (const [i, { offset, length }] of ranges.entries()) {
      assertBytes(parts?.[i], value.subarray(offset, offset + length));
    }
    const target = new Uint8Array(30);
    const read = await client.getIntoRanges(key("a"), [
      { offset: 50, length: 10, target, targetOffset: 20 },
      { offset: 7, length: 5, target },
    ]);
    assert.equal(read, 15);
    assertBytes(target.subarray(20), value.subarray(50, 60));
    assertBytes(target.subarray(0, 5), value.subarray(7, 12));
    await assert.rejects(
      client.getRanges(key("a"), [{ offset: 9995, length: 6 }]),
      hasCode(ErrorCode.INVALID_PARAMS),
    );
  });

  test("batches answer for each item in order", async ({ node, client, key }) => {
    const sizes = [1, 100, 4096, 70_000, 1 * MIB];
    const items = Array.from({ length: 200 }, (_, i) => ({
      key: key(`b${i}`),
      value: pattern(i % 40 === 0 ? sizes[i / 40] : 500 + i, i),
    }));
    await client.put(key("b7"), pattern(3, 99));
    const stored = await client.batchPut(items);
    assert(stored.every(({ code }) => code === 0));
    assert.deepEqual(
      stored.flatMap(({ value }, i) => value === "exists" ? [i] : []),
      [7],
    );
    items[7].value = pattern(3, 99);

    const keys = [...items.map(({ key }) => key), key("absent")];
    for (const reader of [client, node]) {
      const got = await reader.batchGet(keys);
      for (const [i, { value }] of items.entries()) assertBytes(got[i].value, value);
      assert.deepEqual(got[200], { code: ErrorCode.OBJECT_NOT_FOUND, value: null });
    }
    const targets = items.map(({ value }) => new Uint8Array(value.length + 1));
    targets[3] = new Uint8Array(2);
    const into = await client.batchGetInto(
      items.map(({ key }, i) => ({ key, target: targets[i] })),
    );
    assert.deepEqual(into[3], { code: ErrorCode.INVALID_PARAMS, value: null });
    for (const [i, { value }] of items.entries()) {
      if (i === 3) continue;
      assert.equal(into[i].value, value.length);
      assertBytes(targets[i].subarray(0, value.length), value);
    }

    const exist = await client.batchIsExist(keys);
    assert.deepEqual(exist.map(({ value }) => value), [...items.map(() => true), false]);
    const replaced = items.slice(0, 20).map(({ key }, i) => ({ key, value: pattern(i + 1, 77) }));
    assert((await client.batchUpsert(replaced)).every(({ value }) => value === "stored"));
    const reread = await node.batchGet(replaced.map(({ key }) => key));
    for (const [i, { value }] of replaced.entries()) assertBytes(reread[i].value, value);
    const removed = await client.batchRemove([key("b0"), key("absent"), key("b1")], {
      force: true,
    });
    assert.deepEqual(removed.map(({ code }) => code), [0, ErrorCode.OBJECT_NOT_FOUND, 0]);
    assert.equal(await client.isExist(key("b0")), false);
  });

  test("a leased object is removed only by force", async ({ client, key }) => {
    await client.put(key("a"), pattern(10));
    await client.get(key("a"));
    await assert.rejects(client.remove(key("a")), hasCode(ErrorCode.OBJECT_HAS_LEASE));
    await client.remove(key("a"), { force: true });
    assert.equal(await client.get(key("a")), null);
    assert.equal(await client.put(key("a"), pattern(12)), "stored");
    assertBytes(await client.get(key("a")), pattern(12));
  });

  test("objects are removed by pattern and all together", async ({ client, key }) => {
    for (let i = 0; i < 12; i++) await client.put(key(`r${i}`), pattern(5));
    const prefix = key("r");
    assert.equal(await client.removeByRegex(`^${prefix}1`, { force: true }), 3);
    assert.equal(await client.isExist(key("r10")), false);
    assert.equal(await client.isExist(key("r2")), true);
    await assert.rejects(client.removeByRegex("("), hasCode(ErrorCode.INVALID_PARAMS));
    assert(await client.removeAll({ force: true }) >= 9);
    assert.equal(await client.isExist(key("r2")), false);
  });

  test("replicas lie on distinct nodes, and a reader survives the loss of one", async (t) => {
    const { node, client, key } = t;
    const other = await connect({ globalSegmentSize: 16 * MIB });
    try {
      await client.put(key("two"), pattern(100_000, 3), { replicaNum: 2 });
      const replicas = await client.replicas(key("two"));
      const places = replicas?.map(({ location }) =>
        location.kind === "memory" && location.buffer.transportEndpoint
      );
      assert.deepEqual(
        places?.toSorted(),
        [
          node.segments[0].teEndpoint,
          other.segments[0].teEndpoint,
        ].sort(),
      );
      assert(replicas?.every(({ status }) => status === ReplicaStatus.COMPLETE));
      await client.put(key("there"), pattern(5000, 4), { preferredSegment: other.hostname });
      for (let i = 0; i < 4; i++) assertBytes(await client.get(key("two")), pattern(100_000, 3));
      await other.close();
      for (let i = 0; i < 4; i++) assertBytes(await client.get(key("two")), pattern(100_000, 3));
      assert.equal(await client.get(key("there")), null);
    } finally {
      await other.close();
    }
  });

  test("segments are mounted and unmounted while the client runs", async ({ client, key }) => {
    assert.equal(client.hostname, "");
    const segment = await client.mountSegment("8mb");
    assert.equal(segment.size, 8 * MIB);
    assert.equal(client.hostname, segment.name);
    await client.put(key("mine"), pattern(1000), { preferredSegment: segment.name });
    const [replica] = await client.replicas(key("mine")) ?? [];
    assert(replica.location.kind === "memory");
    assert.equal(replica.location.buffer.transportEndpoint, segment.teEndpoint);
    assertBytes(await client.get(key("mine")), pattern(1000));
    await client.unmountSegment(segment.id);
    assert.deepEqual(client.segments, []);
    assert.equal(await client.get(key("mine")), null);
    await assert.rejects(
      client.unmountSegment(segment.id),
      hasCode(ErrorCode.SEGMENT_NOT_FOUND),
    );
    const again = await client.mountSegment(8 * MIB);
    await client.put(key("mine"), pattern(2000), { preferredSegment: again.name });
    assertBytes(await client.get(key("mine")), pattern(2000));
  });

  test("objects are copied and moved by the owner of their segment", async (t) => {
    const { node, client, key } = t;
    const other = await connect({ globalSegmentSize: 16 * MIB });
    try {
      const finished = async (id: string) => {
        let task = await client.queryTask(id);
        await until(async () => {
          task = await client.queryTask(id);
          return task.status === TaskStatus.SUCCESS || task.status === TaskStatus.FAILED;
        });
        assert.equal(task.status, TaskStatus.SUCCESS, task.message);
      };
      const places = async (name: string) =>
        (await client.replicas(key(name)))?.map(({ location }) =>
          location.kind === "memory" ? location.buffer.transportEndpoint : location.kind
        ).toSorted();
      const [here, there] = [node.segments[0], other.segments[0]];
      await client.put(key("copy"), pattern(90_000, 1), { preferredSegment: here.name });
      await client.put(key("move"), pattern(90_000, 2), { preferredSegment: here.name });
      await finished(await client.createCopyTask(key("copy"), [there.name]));
      await finished(await client.createMoveTask(key("move"), here.name, there.name));
      assert.deepEqual(await places("copy"), [here.teEndpoint, there.teEndpoint].sort());
      assert.deepEqual(await places("move"), [there.teEndpoint]);
      assertBytes(await other.get(key("copy")), pattern(90_000, 1));
      assertBytes(await client.get(key("move")), pattern(90_000, 2));
      await assert.rejects(
        client.createCopyTask(key("none"), [there.name]),
        hasCode(ErrorCode.OBJECT_NOT_FOUND),
      );
      await assert.rejects(client.queryTask("1-1"), hasCode(ErrorCode.TASK_NOT_FOUND));
    } finally {
      await other.close();
    }
  });

  test("many operations run at once", async ({ node, client, key }) => {
    const keys = Array.from({ length: 300 }, (_, i) => key(`c${i}`));
    await Promise.all(
      keys.map((name, i) => (i % 2 ? node : client).put(name, pattern(1000 + i * 13, i))),
    );
    const values = await Promise.all(keys.map((name, i) => (i % 3 ? node : client).get(name)));
    for (const [i, value] of values.entries()) assertBytes(value, pattern(1000 + i * 13, i));
  });

  test("a value that fits nowhere is refused and leaves nothing behind", async (t) => {
    const { client, key } = t;
    await assert.rejects(
      client.put(key("big"), new Uint8Array(9 * MIB)),
      (error: StoreError) => [-200, -600].includes(error.code),
    );
    assert.equal(await client.isExist(key("big")), false);
    const [result] = await client.batchPut([{ key: key("big"), value: new Uint8Array(9 * MIB) }]);
    assert([-200, -600].includes(result.code));
  }, 8 * MIB);

  test("a pure server lends memory and refuses data calls", async ({ client, key }) => {
    const server = await connect({
      globalSegmentSize: "8mb",
      localBufferSize: 0,
    });
    try {
      const refused = hasCode(ErrorCode.ILLEGAL_CLIENT);
      await assert.rejects(server.put(key("a"), pattern(1)), refused);
      await assert.rejects(server.get(key("a")), refused);
      await assert.rejects(server.batchGet([key("a")]), refused);
      await assert.rejects(server.batchPut([]), refused);
      assert.throws(() => server.allocateBuffer(1), refused);
      const [{ name }] = server.segments;
      await client.put(key("a"), pattern(100), { preferredSegment: name });
      assertBytes(await client.get(key("a")), pattern(100));
      assert.equal(await server.isExist(key("a")), true);
    } finally {
      await server.close();
    }
  });

  register("a client with neither a segment nor a buffer is refused", async () => {
    await assert.rejects(
      connect({ globalSegmentSize: 0, localBufferSize: 0 }),
      hasCode(ErrorCode.INVALID_PARAMS),
    );
  });

  register("bad options are refused by name before anything is sent", async () => {
    const wrong: [Record<string, unknown>, RegExp][] = [
      [{ protocol: "bogus" }, /protocol="bogus" is refused; allowed: tcp, rdma/],
      [{ metadataServer: "etcd://h" }, /metadataServer="etcd:.*host:port/],
      [{ masterServerAddress: "nowhere" }, /masterServerAddress=.*host:port/],
      [{ globalSegmentSize: "12xb" }, /globalSegmentSize="12xb" is not a size/],
      [{ engine: "fast" }, /engine="fast" is refused; allowed: auto, native, typescript/],
      [{ global_segment_size: 1 }, /There is no store option global_segment_size/],
    ];
    for (const [extra, message] of wrong) {
      await assert.rejects(connect(extra), (error: Error) => {
        assert.match(error.message, message);
        return error instanceof RangeError || error instanceof TypeError;
      });
    }
  });

  test("wrong arguments are refused before anything is sent", async ({ client, key }) => {
    const wrong: (() => Promise<unknown>)[] = [
      () => client.put(5 as never, pattern(1)),
      () => client.put(key("a"), "text" as never),
      () => client.put(key("a"), pattern(1), { replicaNum: 1.5 }),
      () => client.getInto(key("a"), {} as never),
      () => client.getRanges(key("a"), [{ offset: -1, length: 1 }]),
      () => client.batchGet("ab" as never),
      () => client.batchPut([null as never]),
      () => client.removeByRegex(/x/ as never),
      () => client.mountSegment("lots"),
      () => client.unmountSegment("1-1", { graceMs: -1 }),
    ];
    for (const call of wrong) {
      await assert.rejects(
        call(),
        (error) => error instanceof TypeError || error instanceof RangeError,
        String(call),
      );
    }
  });

  test("priorities and signals pass through every call that moves bytes", async ({ client, key }) => {
    const stop = new AbortController();
    const target = new Uint8Array(5000);
    for (const priority of ["high", "normal", "low"] as const) {
      const options = { priority, signal: stop.signal };
      const value = pattern(5000, priority.length);
      assert.equal(await client.put(key(priority), value, options), "stored");
      await client.upsert(key(priority), value, options);
      assert.deepEqual(await client.get(key(priority), options), value);
      assert.equal(await client.getInto(key(priority), target, options), 5000);
      assert.deepEqual(target, value);
      const [batched] = await client.batchGet([key(priority)], options);
      assert.deepEqual(batched.value, value);
    }
    const reason = new Error("no longer wanted");
    stop.abort(reason);
    const { signal } = stop;
    await assert.rejects(client.get(key("low"), { signal }), reason);
    await assert.rejects(client.put(key("never"), target, { signal }), reason);
    const [put] = await client.batchPut([{ key: key("never"), value: target }], { signal });
    const [got] = await client.batchGetInto([{ key: key("low"), target }], { signal });
    assert.deepEqual([put.code, got.code], [ErrorCode.CANCELLED, ErrorCode.CANCELLED]);
    assert.equal(await client.isExist(key("never")), false);
    const wrong = { priority: "urgent" } as never;
    await assert.rejects(client.get(key("low"), wrong), /allowed: high, normal, low/);
    await assert.rejects(client.put(key("x"), target, { signal: 1 } as never), /AbortSignal/);
    await assert.rejects(client.get(key("low"), { prio: 1 } as never), /no option prio/);
  });

  test("calls after close are refused, and closing twice is once", async ({ client, key }) => {
    const closing = client.close();
    assert.equal(client.close(), closing);
    await closing;
    const refused = hasCode(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
    await assert.rejects(client.put(key("a"), pattern(1)), refused);
    await assert.rejects(client.get(key("a")), refused);
    await assert.rejects(client.batchIsExist([key("a")]), refused);
    await assert.rejects(client.remove(key("a")), refused);
    await assert.rejects(client.mountSegment(1 << 20), refused);
    assert.equal(client.connected, false);
  });

  test("operations under way when the client closes fail or finish, and no more", async (t) => {
    const { client, key } = t;
    const running = Array.from(
      { length: 50 },
      (_, i) => client.put(key(`x${i}`), pattern(200_000, i)).catch((error) => error),
    );
    await client.close();
    for (const result of await Promise.all(running)) {
      assert(result === "stored" || (result as Error).name === "StoreError", String(result));
    }
  });
}

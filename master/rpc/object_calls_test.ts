import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { SizeWidth } from "../../proto/struct_pack/writer.ts";
import { type ReplicateConfig, ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { encodeBody, errorText } from "../../tests/support/dispatcher.ts";
import { ServedCore } from "../../tests/support/served_core.ts";

const tenantId = bytesOf("default");
const client = clientId(1);
const stranger = clientId(2);
const ALL = ReplicaType.ALL;

interface Shape {
  width: SizeWidth;
  literal: boolean;
}

const shapes: Shape[] = ([1, 2, 4, 8] as const).flatMap((width) =>
  [true, false].map((literal) => ({ width, literal }))
);

const wide: Shape = { width: 2, literal: true };

function startOf(key: string, sliceLength: number, config: Partial<ReplicateConfig> = {}) {
  const clientId = client;
  return {
    ...{ clientId, key: bytesOf(key), sliceLength, tenantId },
    config: replicateConfig(config),
  };
}

function endOf(key: string, objectChecksum: bigint | null = null, clientId = client) {
  const objectMeta = { key: bytesOf(key), objectChecksum };
  return { clientId, objectMeta, replicaType: ALL, tenantId };
}

for (const shape of shapes) {
  const how = `sizes of ${shape.width} bytes, ${shape.literal ? "with" : "without"} literal`;

  Deno.test(`single calls answer what the core answers: ${how}`, () => {
    const both = new ServedCore();
    const { rpc, twin } = both;
    both.mount(1, 64 * MIB);
    both.mount(2, 64 * MIB);
    const exist = (key: string) => rpc.ask(m.ExistKey, { key: bytesOf(key), tenantId }, shape);
    const get = (key: string) => rpc.ask(m.GetReplicaList, { key: bytesOf(key), tenantId }, shape);

    assert.deepEqual(exist("a"), { code: 0, value: twin.exist("a") === 1 });
    assert.deepEqual(get("a"), both.expectedGet(twin.get("a")));
    assert.deepEqual(
      rpc.ask(m.PutStart, startOf("a", 1000, { replicaNum: 2 }), shape),
      both.expectedStart(twin.start("a", 1000, { replicaNum: 2 })),
    );
    assert.equal(twin.sink.replicas.length, 2);
    assert.deepEqual(get("a"), both.expectedGet(twin.get("a")));
    assert.deepEqual(
      rpc.ask(m.PutEnd, endOf("a", 77n, stranger), shape),
      { code: twin.end("a", 2), value: null },
    );
    assert.deepEqual(
      rpc.ask(m.PutEnd, endOf("a", 2n ** 63n), shape),
      { code: twin.end("a", 1, ALL, 2n ** 63n), value: null },
    );
    assert.deepEqual(exist("a"), { code: 0, value: twin.exist("a") === 1 });
    assert.deepEqual(get("a"), both.expectedGet(twin.get("a")));
    assert.equal(twin.sink.sum, 2n ** 63n);

    assert.deepEqual(
      rpc.ask(m.UpsertStart, startOf("a", 2000), shape),
      both.expectedStart(twin.start("a", 2000, { upsert: true })),
    );
    assert.deepEqual(
      rpc.ask(m.UpsertRevoke, { ...startOf("a", 0), replicaType: ALL }, shape),
      { code: twin.revoke("a"), value: null },
    );
    assert.deepEqual(get("a"), both.expectedGet(twin.get("a")));
    assert.deepEqual(
      rpc.ask(m.UpsertStart, startOf("a", 3000), shape),
      both.expectedStart(twin.start("a", 3000, { upsert: true })),
    );
    assert.deepEqual(rpc.ask(m.UpsertEnd, endOf("a"), shape), { code: twin.end("a"), value: null });
    assert.deepEqual(get("a"), both.expectedGet(twin.get("a")));
    assert.equal(twin.sink.sum, null);

    assert.deepEqual(
      rpc.ask(m.PutStart, startOf("b", 10), shape),
      both.expectedStart(twin.start("b", 10)),
    );
    assert.deepEqual(
      rpc.ask(m.PutRevoke, { ...startOf("b", 0), replicaType: ALL }, shape),
      { code: twin.revoke("b"), value: null },
    );
    assert.deepEqual(exist("b"), { code: 0, value: twin.exist("b") === 1 });
    for (const [key, force] of [["a", false], ["a", true], ["a", true]] as const) {
      assert.deepEqual(
        rpc.ask(m.Remove, { key: bytesOf(key), force, tenantId }, shape),
        { code: twin.remove(key, force), value: null },
      );
    }
    assert.deepEqual(rpc.faults, []);
  });

  Deno.test(`batches answer what the core answers for each key: ${how}`, () => {
    const both = new ServedCore();
    const { rpc, twin } = both;
    both.mount(1, 64 * MIB);
    const names = Array.from({ length: shape.width === 1 ? 200 : 300 }, (_, i) => `key-${i}`);
    names[7] = "";
    names[9] = names[8];
    const keys = names.map(bytesOf);
    const sliceLengths = names.map((_, i) => i === 20 ? 0 : i === 21 ? 2 ** 40 : 100 + i);
    const objectMetas = names.map((key, i) => ({
      key: bytesOf(key),
      objectChecksum: i % 3 === 0 ? null : BigInt(i) << 50n,
    }));
    const gone = names.slice(0, 50);
    const request = { clientId: client, keys, tenantId };
    const start = { ...request, sliceLengths, config: replicateConfig() };
    const codesOf = (codes: number[]) => codes.map((code) => ({ code, value: null }));

    assert.deepEqual(
      rpc.ask(m.BatchPutStart, start, shape),
      names.map((key, i) => both.expectedStart(twin.start(key, sliceLengths[i]))),
    );
    assert.deepEqual(
      rpc.ask(
        m.BatchPutRevoke,
        { ...request, keys: gone.map(bytesOf), replicaType: ALL },
        shape,
      ),
      codesOf(gone.map((key) => twin.revoke(key))),
    );
    assert.deepEqual(
      rpc.ask(m.BatchPutEnd, { ...request, objectMetas, replicaType: ALL }, shape),
      codesOf(names.map((key, i) => twin.end(key, 1, ALL, objectMetas[i].objectChecksum))),
    );
    assert.deepEqual(
      rpc.ask(m.BatchExistKey, request, shape),
      names.map((key) => ({ code: 0, value: twin.exist(key) === 1 })),
    );
    assert.deepEqual(
      rpc.ask(m.BatchGetReplicaList, request, shape),
      names.map((key) => both.expectedGet(twin.get(key))),
    );
    assert.deepEqual(
      rpc.ask(m.BatchUpsertStart, start, shape),
      names.map((key, i) => both.expectedStart(twin.start(key, sliceLengths[i], { upsert: true }))),
    );
    assert.deepEqual(
      rpc.ask(m.BatchUpsertRevoke, { ...request, keys: gone.map(bytesOf) }, shape),
      codesOf(gone.map((key) => twin.revoke(key))),
    );
    assert.deepEqual(
      rpc.ask(m.BatchUpsertEnd, { ...request, objectMetas }, shape),
      codesOf(names.map((key, i) => twin.end(key, 1, ALL, objectMetas[i].objectChecksum))),
    );
    for (const force of [false, true]) {
      assert.deepEqual(
        rpc.ask(m.BatchRemove, { keys, force, tenantId }, shape),
        codesOf(names.map((key) => twin.remove(key, force))),
      );
    }
    assert.deepEqual(rpc.faults, []);
    assert.equal(both.served.core.keyCount, twin.core.keyCount);
    assert(both.counted.every(([, items]) => items === names.length || items === gone.length));
    const [, , failed] = both.counted[0];
    assert.equal(failed, 4, "an empty key, a repeated one, no size, too large a size");
  });
}

Deno.test("an empty batch has an empty answer", () => {
  const { rpc } = new ServedCore();
  const request = { clientId: client, keys: [], tenantId };
  const config = replicateConfig();
  assert.deepEqual(rpc.ask(m.BatchExistKey, request), []);
  assert.deepEqual(rpc.ask(m.BatchGetReplicaList, request), []);
  assert.deepEqual(rpc.ask(m.BatchPutStart, { ...request, sliceLengths: [], config }), []);
  assert.deepEqual(rpc.ask(m.BatchPutEnd, { ...request, objectMetas: [], replicaType: ALL }), []);
  assert.deepEqual(rpc.ask(m.BatchRemove, { ...request, force: true }), []);
});

Deno.test("keys of 70,000 bytes and of any bytes are kept as they are", () => {
  const both = new ServedCore();
  both.mount(1, 64 * MIB);
  const long = new Uint8Array(70_000).map((_, i) => i & 255);
  const other = long.slice();
  other[69_999] ^= 1;
  const shape = { width: 4, literal: true } as const;
  const start = { ...startOf("", 100), key: long };
  assert.equal(both.rpc.ask(m.PutStart, start, shape).code, 0);
  const objectMeta = { key: long, objectChecksum: null };
  assert.equal(both.rpc.ask(m.PutEnd, { ...endOf(""), objectMeta }, shape).code, 0);
  const found = both.rpc.ask(m.BatchExistKey, { keys: [long, other, long], tenantId }, shape);
  assert.deepEqual(found.map(({ value }) => value), [true, false, true]);
  assert.equal(both.rpc.ask(m.Remove, { key: long, force: true, tenantId }, shape).code, 0);
});

Deno.test("a key above the limit cannot be put, but be asked for", () => {
  const both = new ServedCore({ maxKeyBytes: 10 });
  both.mount(1, 64 * MIB);
  const [fits, long] = ["0123456789", "0123456789a"];
  const config = replicateConfig();
  const batch = { clientId: client, keys: [long, fits].map(bytesOf), tenantId };
  assert.equal(both.rpc.ask(m.PutStart, startOf(long, 1)).code, ErrorCode.INVALID_KEY);
  assert.deepEqual(
    both.rpc.ask(m.BatchUpsertStart, { ...batch, sliceLengths: [1, 1], config })
      .map(({ code }) => code),
    [ErrorCode.INVALID_KEY, ErrorCode.OK],
  );
  assert.deepEqual(
    both.rpc.ask(m.ExistKey, { key: bytesOf(long), tenantId }),
    { code: 0, value: false },
  );
});

Deno.test("lists of different lengths in a batch are refused for every key, as by the reference", () => {
  const both = new ServedCore();
  both.mount(1, 64 * MIB);
  const batch = { clientId: client, keys: ["x", "y"].map(bytesOf), tenantId };
  for (const rpc of [m.BatchPutStart, m.BatchUpsertStart]) {
    for (const sliceLengths of [[10], [10, 10, 10], []]) {
      const answer = both.rpc.ask(rpc, { ...batch, sliceLengths, config: replicateConfig() });
      assert.deepEqual(answer.map(({ code }) => code), [-600, -600]);
    }
    const config = replicateConfig({ groupIds: [bytesOf("g")] });
    const answer = both.rpc.ask(rpc, { ...batch, sliceLengths: [10, 10], config });
    assert.deepEqual(answer.map(({ code }) => code), [-600, -600]);
  }
  const grouped = startOf("z", 10, { groupIds: [bytesOf("g"), bytesOf("h")] });
  assert.equal(both.rpc.ask(m.PutStart, grouped).code, -600);
  assert.equal(both.served.core.keyCount, 0);
});

Deno.test("an object's size is told once it has its space, a refused one's never", () => {
  const both = new ServedCore();
  both.mount(1, 64 * MIB);
  both.rpc.ask(m.PutStart, startOf("a", 100));
  both.rpc.ask(m.PutStart, startOf("a", 100));
  both.rpc.ask(m.PutStart, startOf("b", 2 ** 40));
  const keys = ["c", "d"].map(bytesOf);
  const batch = { clientId: client, keys, tenantId, config: replicateConfig() };
  both.rpc.ask(m.BatchPutStart, { ...batch, sliceLengths: [200, 300] });
  assert.deepEqual(both.sizes, [100, 200, 300]);
});

for (const length of [255, 256, 300, 4096]) {
  Deno.test(`an endpoint of ${length} bytes is answered whole`, () => {
    const both = new ServedCore();
    const { rpc, twin } = both;
    both.mount(1, 64 * MIB, "e".repeat(length));
    const names = ["a", "b", "c"];
    const keys = names.map(bytesOf);
    const start = { clientId: client, keys, tenantId, config: replicateConfig() };
    assert.deepEqual(
      rpc.ask(m.BatchPutStart, { ...start, sliceLengths: [1, 2, 3] }),
      names.map((key, i) => both.expectedStart(twin.start(key, i + 1))),
    );
    for (const key of names) assert.equal(rpc.ask(m.PutEnd, endOf(key)).code, twin.end(key));
    assert.deepEqual(
      rpc.ask(m.UpsertStart, startOf("a", 9)),
      both.expectedStart(twin.start("a", 9, { upsert: true })),
    );
    assert.deepEqual(
      rpc.ask(m.BatchGetReplicaList, { keys, tenantId }),
      names.map((key) => both.expectedGet(twin.get(key))),
    );
    assert.deepEqual(
      rpc.ask(m.GetReplicaList, { key: keys[1], tenantId }),
      both.expectedGet(twin.get("b")),
    );
  });
}

Deno.test("the endpoint of a disk is answered whole, however long", () => {
  const both = new ServedCore({ core: { enableOffload: true } });
  const { rpc, twin } = both;
  both.mount(1, 64 * MIB);
  const transportEndpoint = "d".repeat(300);
  const bytes = encodeBody(m.PutStart.request!, startOf("a", 100), { width: 1, literal: true });
  for (const { core } of [both.served, twin]) core.cluster.mountLocalDisk(client, true);
  rpc.send(m.PutStart.functionId, bytes);
  rpc.take();
  twin.start("a", 100);
  assert.equal(rpc.ask(m.PutEnd, endOf("a")).code, twin.end("a"));
  const task = { tenantId, key: bytesOf("a"), size: 100 };
  const result = { bucketId: 1, offset: 0, keySize: 1, dataSize: 100, transportEndpoint };
  for (const { core, nowMs } of [both.served, twin]) {
    core.cluster.offloadHeartbeat(client, true, nowMs);
    assert.equal(core.cluster.notifyOffloadSuccess(client, [task], [result], nowMs), 0);
  }
  const answer = rpc.ask(m.GetReplicaList, { key: bytesOf("a"), tenantId });
  assert.deepEqual(answer, both.expectedGet(twin.get("a")));
  assert.deepEqual(answer.value?.replicas.map(({ location }) => location.kind), [
    "memory",
    "local_disk",
  ]);
});

Deno.test("keys that match an expression are listed with their replicas, and leased", () => {
  for (const shape of shapes) {
    const both = new ServedCore();
    const { rpc, twin } = both;
    both.mount(1, 64 * MIB, "e".repeat(shape.width === 1 ? 20 : 300));
    both.mount(2, 64 * MIB);
    for (let i = 0; i < 300; i++) {
      const key = `key/${i}${"x".repeat(i)}`;
      assert.equal(rpc.ask(m.PutStart, startOf(key, 1, { replicaNum: 1 + i % 2 }), wide).code, 0);
      assert.equal(twin.start(key, 1, { replicaNum: 1 + i % 2 }), 0);
      if (i % 5 > 0) assert.equal(rpc.ask(m.PutEnd, endOf(key), wide).code, twin.end(key));
    }
    both.pass(10_001);
    for (const regex of ["^key/1", ".*", "nothing", "[", "x{200}$"]) {
      const { code, value } = rpc.ask(m.GetReplicaListByRegex, { regex, tenantId }, shape);
      const expected = twin.listByRegex(regex);
      const text = value?.map(([key, replicas]) => [new TextDecoder().decode(key), replicas]);
      assert.deepEqual({ code, value: text ?? null }, both.expectedMatches(expected));
    }
    const leased = { key: bytesOf("key/1x"), force: false, tenantId };
    assert.equal(rpc.ask(m.Remove, leased, shape).code, ErrorCode.OBJECT_HAS_LEASE);
    assert.deepEqual(rpc.faults, []);
  }
});

Deno.test("answers beyond the limit are refused by the transport, and the next one is made", () => {
  const both = new ServedCore({ maxAnswerBytes: 10_000 });
  const { rpc } = both;
  both.mount(1, 64 * MIB);
  const names = Array.from({ length: 200 }, (_, i) => `key-${i}`);
  for (const name of names) {
    rpc.ask(m.PutStart, startOf(name, 1));
    rpc.ask(m.PutEnd, endOf(name));
  }
  const keys = names.map(bytesOf);
  const listing = { regex: ".*", tenantId };
  const narrow = { width: 1, literal: true } as const;
  rpc.send(
    m.GetReplicaListByRegex.functionId,
    encodeBody(m.GetReplicaListByRegex.request!, listing, narrow),
  );
  rpc.send(
    m.BatchGetReplicaList.functionId,
    encodeBody(m.BatchGetReplicaList.request!, { keys, tenantId }, narrow),
  );
  rpc.scan();
  const answers = rpc.take();
  assert.equal(answers.length, 2);
  for (const { errorCode, body } of answers) {
    assert.equal(errorCode, 14);
    assert.equal(errorText(body, errorCode), "the answer is larger than 10000 bytes");
  }
  assert.equal(rpc.ask(m.BatchGetReplicaList, { keys: keys.slice(0, 50), tenantId }).length, 50);
  assert.deepEqual(rpc.faults, []);
});

Deno.test("calls that only name a client do not make it known", () => {
  const both = new ServedCore();
  both.mount(1, 64 * MIB);
  both.rpc.ask(m.PutStart, startOf("a", 100));
  const { clients } = both.served.core.state;
  const known = clients.limit;
  for (let i = 0; i < 100; i++) {
    const clientId = `${i}-999`;
    const answers = [
      both.rpc.ask(m.PutEnd, { ...endOf("a"), clientId }),
      both.rpc.ask(m.PutRevoke, { ...startOf("a", 0), clientId, replicaType: ALL }),
      both.rpc.ask(m.UpsertEnd, { ...endOf("a"), clientId }),
      ...both.rpc.ask(m.BatchUpsertRevoke, { clientId, keys: [bytesOf("a")], tenantId }),
    ];
    assert.deepEqual(answers.map(({ code }) => code), Array(4).fill(ErrorCode.ILLEGAL_CLIENT));
    const start = { ...startOf("b", 1), clientId };
    const body = encodeBody(m.PutStart.request!, start, { width: 1, literal: true });
    both.rpc.send(m.PutStart.functionId, body.subarray(0, body.length - 1));
    assert.equal(both.rpc.takeOne().errorCode, 4);
  }
  assert.equal(clients.limit, known);
});

Deno.test("a batch revokes the last write of a client that a new master has not heard of", () => {
  const times = { putStartDiscardTimeoutMs: 1000, putStartReleaseTimeoutMs: 60_000 };
  const facts: Uint8Array[] = [];
  const first = new ServedCore({ core: times });
  first.served.core.attachFacts({ append: (b, start, end) => facts.push(b.slice(start, end)) });
  first.mount(1, 64 * MIB);
  const put = (clientId: m.StartRequest["clientId"], key: string) =>
    first.rpc.ask(m.PutStart, { ...startOf(key, 1000), clientId }).code;
  assert.equal(put(stranger, "taken over"), ErrorCode.OK);
  first.pass(2000);
  assert.equal(put(client, "taken over"), ErrorCode.OK);
  assert.equal(put(stranger, "open"), ErrorCode.OK);

  const second = new ServedCore({ core: times });
  const { core } = second.served;
  for (const fact of facts) core.replay(fact);
  core.finishReplay(second.rpc.nowMs);
  const keys = [bytesOf("open"), bytesOf("taken over"), bytesOf("open")];
  const revoke = { clientId: stranger, keys, replicaType: ALL, tenantId };
  const codes = second.rpc.ask(m.BatchPutRevoke, revoke).map(({ code }) => code);
  const { OK, ILLEGAL_CLIENT, OBJECT_NOT_FOUND } = ErrorCode;
  assert.deepEqual(codes, [OK, ILLEGAL_CLIENT, OBJECT_NOT_FOUND]);
  assert.deepEqual(second.rpc.faults, []);
});

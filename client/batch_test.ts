import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type {
  BatchEndRequest,
  BatchRevokeRequest,
  BatchStartRequest,
  KeysRequest,
} from "../proto/messages.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { answers, callForKeys, cutBatch } from "./batch.ts";
import { readBatch } from "./batch_read.ts";
import { writeBatch } from "./batch_write.ts";
import { sliceOf } from "./memory.ts";
import type { ReadPiece } from "./read_piece.ts";
import { TransferCode } from "./transfer/engine.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytes = (text: string) => encoder.encode(text);
const texts = (keys: readonly Uint8Array[]) => keys.map((key) => decoder.decode(key));
const failed = (code: number) => ({ code, value: null });
const done = { code: 0, value: null };

function item(key: string, value: Uint8Array) {
  return { key: bytes(key), slices: [sliceOf(value, "v")] };
}

Deno.test("a batch is cut by keys, by bytes of keys and by bytes of values", () => {
  const small = Array.from({ length: 2500 }, () => new Uint8Array(1));
  assert.deepEqual(cutBatch(small), [[0, 1024], [1024, 2048], [2048, 2500]]);
  const long = Array.from({ length: 5 }, () => new Uint8Array(3 << 20));
  assert.deepEqual(cutBatch(long), [[0, 2], [2, 4], [4, 5]]);
  const sizes = [300 << 20, 1, 255 << 20, 2 << 20, 1];
  assert.deepEqual(cutBatch(small.slice(0, 5), (i) => sizes[i]), [[0, 1], [1, 3], [3, 5]]);
  assert.deepEqual(cutBatch([]), []);
});

Deno.test("a failed batch call is the result of each of its items", async () => {
  const refused = Promise.reject(new StoreError(ErrorCode.RPC_FAIL, "gone"));
  assert.deepEqual(await answers(2, refused), [failed(-900), failed(-900)]);
  assert.deepEqual(await answers(2, Promise.resolve([done])), [failed(-1), failed(-1)]);
  await assert.rejects(answers(1, Promise.reject(new TypeError("x"))), TypeError);
});

Deno.test("the empty key is answered without asking, the others in their places", async () => {
  const asked: string[][] = [];
  const results = await callForKeys(["a", "", "b"].map(bytes), (keys) => {
    asked.push(texts(keys));
    return Promise.resolve(keys.map((key) => ({ code: 0, value: decoder.decode(key) })));
  });
  assert.deepEqual(asked, [["a", "b"]]);
  assert.deepEqual(results, [{ code: 0, value: "a" }, failed(-600), { code: 0, value: "b" }]);
});

Deno.test("each item of a put batch has its own result", async () => {
  const t = new StoreFixture();
  const a = await t.peer("10.0.0.2:9");
  const dead = await t.peer("10.0.0.3:9");
  dead.engine.vanish();
  t.answers = {
    BatchPutStart: () => [
      { code: 0, value: [replica("10.0.0.2:9", a.region, 2)] },
      failed(ErrorCode.OBJECT_ALREADY_EXISTS),
      failed(ErrorCode.NO_AVAILABLE_HANDLE),
      {
        code: 0,
        value: [replica("10.0.0.2:9", a.region, 2, 8), replica("10.0.0.3:9", dead.region, 2)],
      },
      { code: 0, value: [replica("10.0.0.2:9", a.region, 3, 16)] },
      { code: 0, value: [replica("10.0.0.2:9", a.region, 2, 24)] },
    ],
    BatchPutEnd: () => [done, failed(ErrorCode.ILLEGAL_CLIENT)],
    BatchPutRevoke: () => [done, done],
  };
  const value = Uint8Array.of(1, 2);
  const items = ["a", "exists", "full", "dead", "size", "lost"].map((key) => item(key, value));
  const results = await writeBatch(
    t.store,
    "put",
    [...items, item("", value), item("empty", new Uint8Array(0))],
    t.store.defaultConfig,
  );
  assert.deepEqual(results, [
    { code: 0, value: "stored" },
    { code: 0, value: "exists" },
    failed(ErrorCode.NO_AVAILABLE_HANDLE),
    failed(ErrorCode.TRANSFER_FAIL),
    failed(ErrorCode.TRANSFER_FAIL),
    failed(ErrorCode.ILLEGAL_CLIENT),
    failed(ErrorCode.INVALID_PARAMS),
    failed(ErrorCode.INVALID_PARAMS),
  ]);
  assert.deepEqual(texts(t.requests<BatchStartRequest>("BatchPutStart")[0].keys), [
    ...["a", "exists", "full", "dead", "size", "lost"],
  ]);
  const [end] = t.requests<BatchEndRequest>("BatchPutEnd");
  assert.deepEqual(texts(end.objectMetas.map(({ key }) => key)), ["a", "lost"]);
  const [revoke] = t.requests<BatchRevokeRequest>("BatchPutRevoke");
  assert.deepEqual(texts(revoke.keys).toSorted(), ["dead", "size"]);
  assert.deepEqual([...a.region.bytes.subarray(0, 2)], [1, 2]);
});

Deno.test("a large batch runs in parts that take their own groups along", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  const starts: BatchStartRequest[] = [];
  t.answers = {
    BatchUpsertStart: (request: BatchStartRequest) => {
      starts.push(request);
      return request.keys.map(() => ({ code: 0, value: [replica("10.0.0.2:9", region, 1)] }));
    },
    BatchUpsertEnd: ({ objectMetas }: BatchEndRequest) => objectMetas.map(() => done),
  };
  const items = Array.from({ length: 1030 }, (_, i) => item(`k${i}`, Uint8Array.of(i)));
  const groupIds = items.map(({ key }) => key);
  const results = await writeBatch(t.store, "upsert", items, {
    ...t.store.defaultConfig,
    groupIds,
  });
  assert(results.every(({ value }) => value === "stored"));
  assert.deepEqual(starts.map(({ keys }) => keys.length), [1024, 6]);
  for (const { keys, config } of starts) assert.deepEqual(config.groupIds, keys);
});

Deno.test("a put batch whose start cannot be sent moves nothing", async () => {
  const t = new StoreFixture({
    BatchPutStart: () => Promise.reject(new StoreError(ErrorCode.RPC_TIMEOUT, "late")),
    BatchPutRevoke: () => Promise.reject(new StoreError(ErrorCode.RPC_TIMEOUT, "late, too")),
  });
  const items = [item("a", Uint8Array.of(1)), item("b", Uint8Array.of(1))];
  const results = await writeBatch(t.store, "put", items, t.store.defaultConfig);
  assert.deepEqual(results, [failed(ErrorCode.RPC_TIMEOUT), failed(ErrorCode.RPC_TIMEOUT)]);
  assert.deepEqual(t.names, ["BatchPutStart", "BatchPutRevoke"]);
  assert.deepEqual(t.calls.map(({ writeId }) => writeId), [1, 1]);
  assert.equal(t.engine.batches.length, 0);
});

/** Reads whole objects of one byte; the returned array holds what was read. */
function reading(count: number) {
  const values = new Uint8Array(count);
  const plan = (index: number, size: number): ReadPiece[] => [
    { offset: 0, length: size, local: values, localOffset: index },
  ];
  return { values, plan };
}

Deno.test("each item of a get batch has its own result, from whichever replica works", async () => {
  const t = new StoreFixture();
  const good = await t.peer("10.0.0.2:9");
  const dead = await t.peer("10.0.0.3:9");
  dead.engine.vanish();
  good.region.bytes.set([7, 8]);
  const disk = { id: 1, status: 3, location: { kind: "disk", filePath: "/f", objectSize: 1 } };
  const list = (...replicas: unknown[]) => ({
    code: 0,
    value: { replicas, leaseTtlMs: 10_000, objectChecksum: null },
  });
  t.answers.BatchGetReplicaList = () => [
    list(replica("10.0.0.2:9", good.region, 1)),
    failed(ErrorCode.OBJECT_NOT_FOUND),
    list(replica("10.0.0.3:9", dead.region, 1), replica("10.0.0.2:9", good.region, 1, 1)),
    list(replica("10.0.0.3:9", dead.region, 1)),
    list(disk),
    list(replica("10.0.0.2:9", good.region, 5)),
  ];
  const { values, plan } = reading(7);
  const codes = await readBatch(
    t.store,
    ["a", "missing", "second", "lost", "disk", "long", ""].map(bytes),
    (index, size) => size > 1 ? ErrorCode.INVALID_PARAMS : plan(index, size),
  );
  assert.deepEqual([...codes], [0, -704, 0, -800, -1012, -600, -600]);
  assert.deepEqual([...values], [7, 0, 8, 0, 0, 0, 0]);
});

Deno.test("items whose lease ended are read under a new one, but not for ever", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  region.bytes.fill(3);
  const ttl: Record<string, number> = { short: 100, long: 10_000 };
  t.answers.BatchGetReplicaList = ({ keys }: KeysRequest) =>
    texts(keys).map((key) => ({
      code: 0,
      value: {
        replicas: [replica("10.0.0.2:9", region, 1)],
        leaseTtlMs: ttl[key],
        objectChecksum: null,
      },
    }));
  let slow = 1;
  t.network.delay = () => slow-- > 0 ? t.clock.advance(200) : Promise.resolve();
  const { values, plan } = reading(2);
  const keys = ["long", "short"].map(bytes);
  assert.deepEqual([...await readBatch(t.store, keys, plan)], [0, 0]);
  assert.deepEqual([...values], [3, 3]);
  assert.deepEqual(t.requests<KeysRequest>("BatchGetReplicaList").map(({ keys }) => texts(keys)), [
    ["long", "short"],
    ["short"],
  ]);
  slow = 99;
  assert.deepEqual([...await readBatch(t.store, keys, plan)], [0, ErrorCode.LEASE_EXPIRED]);
});

Deno.test("a lease of zero ends a get batch with LEASE_EXPIRED and moves nothing", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  t.answers.BatchGetReplicaList = ({ keys }: KeysRequest) =>
    keys.map(() => ({
      code: 0,
      value: {
        replicas: [replica("10.0.0.2:9", region, 1)],
        leaseTtlMs: 0,
        objectChecksum: null,
      },
    }));
  const codes = await readBatch(t.store, [bytes("a"), bytes("b")], reading(2).plan);
  assert.deepEqual([...codes], [ErrorCode.LEASE_EXPIRED, ErrorCode.LEASE_EXPIRED]);
  assert.equal(t.engine.batches.length, 0);
});

Deno.test("a large get batch is read in groups, each under a lease that holds", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  const size = 200 << 20;
  t.answers.BatchGetReplicaList = ({ keys }: KeysRequest) =>
    keys.map(() => ({
      code: 0,
      value: {
        replicas: [replica("10.0.0.2:9", region, size)],
        leaseTtlMs: 1000,
        objectChecksum: null,
      },
    }));
  t.network.delay = () => t.clock.advance(600);
  t.network.fault = () => TransferCode.OK;
  const target = new Uint8Array(1);
  const plan = (): ReadPiece[] => [{ offset: 0, length: 1, local: target, localOffset: 0 }];
  const keys = ["a", "b", "c", "d", "e"].map(bytes);
  assert.deepEqual([...await readBatch(t.store, keys, plan)], [0, 0, 0, 0, 0]);
  assert(t.engine.batches.every((ops) => ops.length === 1));
  assert(t.calls.length > 1, "the lease had to be renewed on the way");
});

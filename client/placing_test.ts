import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import type { StoreError } from "../proto/error.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { writeBatch } from "./batch_write.ts";
import { splitPlacing } from "./placing.ts";
import { writeObject } from "./write.ts";

const key = new TextEncoder().encode("k");
const slices = [{ local: Uint8Array.of(1), localOffset: 0, length: 1 }];

/** A client of a master that places one replica of every object, whatever is asked for. */
async function onePlaced() {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  const value = [replica("10.0.0.2:9", region, 1)];
  const done = () => ({ code: 0, value: null });
  t.answers = {
    PutStart: () => ({ code: 0, value }),
    PutEnd: done,
    PutRevoke: done,
    BatchPutStart: ({ keys }: { keys: unknown[] }) => keys.map(() => ({ code: 0, value })),
    BatchPutEnd: ({ objectMetas }: { objectMetas: unknown[] }) => objectMetas.map(done),
    BatchPutRevoke: ({ keys }: { keys: unknown[] }) => keys.map(done),
  };
  return t;
}

Deno.test("the caller is told how many replicas an object got", async () => {
  const t = await onePlaced();
  const told: number[][] = [];
  const { placing } = splitPlacing({ replicaNum: 2, onPlaced: (...args) => told.push(args) });
  const store = { ...t.store, placing };
  await writeObject(store, "put", key, slices, t.store.defaultConfig);
  await writeBatch(store, "put", [{ key, slices }, { key, slices }], t.store.defaultConfig);
  assert.deepEqual(told, [[1, 0], [1, 0], [1, 1]]);
});

Deno.test("fewer replicas than are required are given back, and the object is not stored", async () => {
  const t = await onePlaced();
  const onPlaced = () => assert.fail("nothing is stored");
  const { placing } = splitPlacing({ replicaNum: 2, requireReplicas: true, onPlaced });
  const store = { ...t.store, placing };
  await assert.rejects(
    writeObject(store, "put", key, slices, t.store.defaultConfig),
    (error: StoreError) =>
      error.code === ErrorCode.NO_AVAILABLE_HANDLE && /1 of 2 replicas/.test(error.message),
  );
  assert.deepEqual(t.names, ["PutStart", "PutRevoke"]);
  const [result] = await writeBatch(store, "put", [{ key, slices }], t.store.defaultConfig);
  assert.equal(result.code, ErrorCode.NO_AVAILABLE_HANDLE);
  assert.deepEqual(t.names.slice(2), ["BatchPutStart", "BatchPutRevoke"]);
  assert.equal(t.engine.batches.length, 0, "no byte was moved");
});

Deno.test("one replica is what is required of an object without a number", async () => {
  const t = await onePlaced();
  const { placing } = splitPlacing({ requireReplicas: true });
  await writeObject({ ...t.store, placing }, "put", key, slices, t.store.defaultConfig);
  assert.deepEqual(splitPlacing({ replicaNum: 3 }), {
    placing: undefined,
    rest: { replicaNum: 3 },
  });
  assert.throws(() => splitPlacing({ requireReplicas: 1 as never }), TypeError);
  assert.throws(() => splitPlacing({ onPlaced: 1 as never }), TypeError);
});

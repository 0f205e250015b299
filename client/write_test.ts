import assert from "node:assert/strict";
import { crc32c } from "../proto/crc32c.ts";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { EndRequest, RevokeRequest, StartRequest } from "../proto/messages.ts";
import { objectChecksum } from "../proto/object_checksum.ts";
import { ReplicaStatus, ReplicaType } from "../proto/types.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { writeBatch } from "./batch_write.ts";
import { slicesOf } from "./memory.ts";
import { writeObject } from "./write.ts";

const key = new TextEncoder().encode("k");
const value = slicesOf([Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
const ok = () => ({ code: 0, value: null });

async function fixture() {
  const t = new StoreFixture();
  const a = await t.peer("10.0.0.2:9");
  const b = await t.peer("10.0.0.3:9");
  const place = (size = 3) => ({
    code: 0,
    value: [
      replica("10.0.0.2:9", a.region, size, 7, ReplicaStatus.PROCESSING),
      replica("10.0.0.3:9", b.region, size, 9, ReplicaStatus.PROCESSING),
    ],
  });
  t.answers = {
    PutStart: () => place(),
    UpsertStart: () => place(),
    PutEnd: ok,
    PutRevoke: ok,
    UpsertEnd: ok,
    UpsertRevoke: ok,
  };
  return { t, a, b, place };
}

Deno.test("a put writes all parts to all replicas in one batch, then ends", async () => {
  const { t, a, b } = await fixture();
  await writeObject(t.store, "put", key, value, t.store.defaultConfig);
  assert.equal(
    t.engine.batches.length,
    2,
    "peers that are not known yet are looked up on their own",
  );
  t.engine.batches.length = 0;
  t.calls.length = 0;
  for (const { bytes } of [a.region, b.region]) bytes.fill(0);
  assert.equal(await writeObject(t.store, "put", key, value, t.store.defaultConfig), "stored");
  assert.deepEqual([...a.region.bytes.subarray(6, 11)], [0, 1, 2, 3, 0]);
  assert.deepEqual([...b.region.bytes.subarray(8, 13)], [0, 1, 2, 3, 0]);
  assert.equal(t.engine.batches.length, 1);
  assert.deepEqual(t.names, ["PutStart", "PutEnd"]);
  const [start] = t.requests<StartRequest>("PutStart");
  assert.equal(start.sliceLength, 3);
  const [end] = t.requests<EndRequest>("PutEnd");
  assert.equal(end.replicaType, ReplicaType.ALL);
  assert.deepEqual(end.objectMeta, {
    key,
    objectChecksum: objectChecksum(crc32c(Uint8Array.of(1, 2, 3), 0, 3)),
  });
});

Deno.test("a put of an existing key moves nothing", async () => {
  const { t } = await fixture();
  t.answers.PutStart = () => ({ code: ErrorCode.OBJECT_ALREADY_EXISTS, value: null });
  assert.equal(await writeObject(t.store, "put", key, value, t.store.defaultConfig), "exists");
  assert.equal(t.engine.batches.length, 0);
});

Deno.test("a put whose transfer failed is revoked", async () => {
  const { t, b } = await fixture();
  b.engine.vanish();
  await assert.rejects(
    writeObject(t.store, "put", key, value, t.store.defaultConfig),
    (error) => {
      assert(error instanceof StoreError);
      assert.equal(error.code, ErrorCode.TRANSFER_FAIL);
      assert.match(error.message, /^Cannot store "k": the transfer with 10\.0\.0\.3:9/);
      return true;
    },
  );
  assert.deepEqual(t.names, ["PutStart", "PutRevoke"]);
  assert.equal(t.requests<RevokeRequest>("PutRevoke")[0].replicaType, ReplicaType.ALL);
});

Deno.test("a failed transfer is reported even when the revoke fails too", async () => {
  const { t, a, b } = await fixture();
  a.engine.vanish();
  b.engine.vanish();
  t.answers.UpsertRevoke = () => Promise.reject(new StoreError(ErrorCode.RPC_FAIL, "gone"));
  const failed = writeObject(t.store, "upsert", key, value, t.store.defaultConfig);
  await assert.rejects(failed, /TRANSFER_FAIL/);
  assert.deepEqual(t.names, ["UpsertStart", "UpsertRevoke"]);
});

Deno.test("memory that was promised before a long standstill is not written to", async () => {
  const { t, a, b, place } = await fixture();
  const within = t.store.beginWithinMs;
  const start = (ms: number) => async () => {
    await t.clock.stall(ms);
    return place();
  };
  const item = { key, slices: value };
  t.answers.BatchUpsertEnd = () => [ok()];
  t.answers.BatchUpsertRevoke = () => [ok()];
  const write = () => writeObject(t.store, "put", key, value, t.store.defaultConfig);
  const batch = async () => {
    const [{ code }] = await writeBatch(t.store, "upsert", [item], t.store.defaultConfig);
    return code;
  };
  t.answers.PutStart = start(within);
  t.answers.BatchUpsertStart = async () => [await start(within)()];
  await assert.rejects(write(), /TRANSFER_FAIL/);
  assert.equal(await batch(), ErrorCode.TRANSFER_FAIL);
  assert.deepEqual(t.names, ["PutStart", "PutRevoke", "BatchUpsertStart", "BatchUpsertRevoke"]);
  for (const { region } of [a, b]) assert(region.bytes.every((byte) => byte === 0));

  t.answers.PutStart = start(within - 1);
  t.answers.BatchUpsertStart = async () => [await start(within - 1)()];
  assert.equal(await write(), "stored");
  assert.equal(await batch(), ErrorCode.OK);
});

Deno.test("an allocation of another size is given back", async () => {
  const { t, place } = await fixture();
  t.answers.PutStart = () => place(4);
  const failed = writeObject(t.store, "put", key, value, t.store.defaultConfig);
  await assert.rejects(failed, /the master allocated 4 bytes for 3/);
  assert.deepEqual(t.names, ["PutStart", "PutRevoke"]);
});

Deno.test("a disk replica, which this client does not write, is given back alone", async () => {
  const { t, place } = await fixture();
  const disk = { kind: "disk", filePath: "/f", objectSize: 3 } as const;
  t.answers.PutStart = () => ({
    code: 0,
    value: [...place().value, { id: 3, status: 2, location: disk }],
  });
  await writeObject(t.store, "put", key, value, t.store.defaultConfig);
  assert.deepEqual(t.names, ["PutStart", "PutRevoke", "PutEnd"]);
  assert.equal(t.requests<RevokeRequest>("PutRevoke")[0].replicaType, ReplicaType.DISK);
});

Deno.test("empty keys and values are refused before anything is sent", async () => {
  const { t } = await fixture();
  for (const [k, v] of [[new Uint8Array(0), value], [key, slicesOf(new Uint8Array(0))]] as const) {
    await assert.rejects(writeObject(t.store, "put", k, v, t.store.defaultConfig), {
      code: ErrorCode.INVALID_PARAMS,
    });
  }
  assert.deepEqual(t.calls, []);
});

Deno.test("refusals at the start and at the end keep their code", async () => {
  const { t } = await fixture();
  t.answers.PutEnd = () => ({ code: ErrorCode.ILLEGAL_CLIENT, value: null });
  await assert.rejects(writeObject(t.store, "put", key, value, t.store.defaultConfig), {
    code: ErrorCode.ILLEGAL_CLIENT,
  });
  t.answers.UpsertStart = () => ({ code: ErrorCode.OBJECT_ALREADY_EXISTS, value: null });
  await assert.rejects(writeObject(t.store, "upsert", key, value, t.store.defaultConfig), {
    code: ErrorCode.OBJECT_ALREADY_EXISTS,
  });
});

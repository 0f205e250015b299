import assert from "node:assert/strict";
import { crc32c } from "../proto/crc32c.ts";
import { KNOWS_CHECKSUMS } from "../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../proto/error_code.ts";
import type { BatchEndRequest, EndRequest } from "../proto/messages.ts";
import { objectChecksum } from "../proto/object_checksum.ts";
import type { ReplicaDescriptor } from "../proto/types.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { readBatch } from "./batch_read.ts";
import { writeBatch } from "./batch_write.ts";
import { slicesOf } from "./memory.ts";
import { readObject, type ReadPlan } from "./read.ts";
import { ValueChecks } from "./value_checks.ts";
import { writeObject } from "./write.ts";

const key = new TextEncoder().encode("k");
const good = Uint8Array.of(1, 2, 3, 4);
const bad = Uint8Array.of(1, 2, 3, 5);
const sumOf = (bytes: Uint8Array) => objectChecksum(crc32c(bytes, 0, bytes.length));

function list(replicas: ReplicaDescriptor[], objectChecksum: bigint | null = sumOf(good)) {
  return { code: 0, value: { replicas, leaseTtlMs: 10_000, objectChecksum } };
}

/** Two peers, each with wrong bytes first and right ones at 100. */
async function fixture() {
  const t = new StoreFixture();
  const a = await t.peer("10.0.0.2:9");
  const b = await t.peer("10.0.0.3:9");
  for (const { region } of [a, b]) {
    region.bytes.set(bad);
    region.bytes.set(good, 100);
  }
  const at = (peer: "a" | "b", offset: number) =>
    peer === "a"
      ? replica("10.0.0.2:9", a.region, 4, offset)
      : replica("10.0.0.3:9", b.region, 4, offset);
  return { t, at };
}

/** What a single read and one in a batch come to: the bytes, or `null` for a miss. */
async function readBoth({ store }: StoreFixture): Promise<(number[] | null)[]> {
  const target = new Uint8Array(4);
  const whole: ReadPlan = (size) => [{ offset: 0, length: size, local: target, localOffset: 0 }];
  const single = await readObject(store, key, whole) ? [...target] : null;
  target.fill(0);
  const [code] = await readBatch(store, [key], (_, size) => whole(size));
  assert([ErrorCode.OK, ErrorCode.OBJECT_NOT_FOUND].includes(code as never), String(code));
  return [single, code === ErrorCode.OK ? [...target] : null];
}

function answer(t: StoreFixture, lists: () => ReturnType<typeof list>): void {
  t.answers.GetReplicaList = lists;
  t.answers.BatchGetReplicaList = () => [lists()];
}

Deno.test("a replica with other bytes than were written is passed over", async () => {
  const { t, at } = await fixture();
  answer(t, () => list([at("a", 0), at("b", 100)]));
  for (let i = 0; i < 4; i++) assert.deepEqual(await readBoth(t), [[...good], [...good]]);
  assert.equal(t.store.checks.mismatches, 4);
  assert.equal(t.lines.length, 1);
  assert.match(t.lines[0], /^10\.0\.0\.2:9 has other bytes of "k" than were written/);
  assert.equal(t.calls.length, 8);
  assert(t.calls.every(({ writeId }) => writeId === KNOWS_CHECKSUMS));
});

Deno.test("when every replica is wrong it is looked up once more, and is a miss", async () => {
  const { t, at } = await fixture();
  answer(t, () => list([at("a", 0), at("b", 0)]));
  assert.deepEqual(await readBoth(t), [null, null]);
  assert.deepEqual(t.names, [
    ...["GetReplicaList", "GetReplicaList"],
    ...["BatchGetReplicaList", "BatchGetReplicaList"],
  ]);
  assert.equal(t.store.checks.mismatches, 8);
  assert.equal(t.lines.length, 2);
});

Deno.test("an object that was replaced while it was read is read anew", async () => {
  const { t, at } = await fixture();
  let asked = 0;
  answer(t, () => list([at("a", asked++ % 2 === 0 ? 0 : 100)]));
  assert.deepEqual(await readBoth(t), [[...good], [...good]]);
});

Deno.test("a wrong replica and one that cannot be read are a miss, not a failure", async () => {
  const { t, at } = await fixture();
  const gone = { ...at("b", 100) };
  t.network.fault = (address) => address === "10.0.0.3:9" ? -102 : 0;
  answer(t, () => list([at("a", 0), gone]));
  assert.deepEqual(await readBoth(t), [null, null]);
});

Deno.test("no checksum, one of another kind, and one that nobody wants are not looked at", async () => {
  const { t, at } = await fixture();
  for (const other of [null, 0n, 2n ** 64n - 1n]) {
    answer(t, () => list([at("a", 0)], other));
    assert.deepEqual(await readBoth(t), [[...bad], [...bad]]);
  }
  const off = { ...t.store, checks: new ValueChecks({ enabled: false, log: () => {} }) };
  answer(t, () => list([at("a", 0)]));
  assert.deepEqual(await readBoth(Object.assign(t, { store: off })), [[...bad], [...bad]]);
});

Deno.test("parts of an object are not checked, the whole is, in one piece or several", async () => {
  const { t, at } = await fixture();
  answer(t, () => list([at("a", 0)]));
  const target = new Uint8Array(4);
  const piece = (offset: number, length: number, localOffset = offset) => ({
    ...{ offset, length, local: target, localOffset },
  });
  const read = (...pieces: ReturnType<typeof piece>[]) => readObject(t.store, key, () => pieces);
  assert.equal(await read(piece(0, 3)), true);
  assert.equal(await read(piece(2, 2), piece(0, 2)), true);
  assert.equal(await read(piece(0, 2), piece(2, 2, 0)), true, "one piece over the other");
  assert.equal(await read(piece(0, 4)), false);
  assert.equal(await read(piece(0, 2), piece(2, 2)), false);
  answer(t, () => list([at("a", 100)]));
  assert.equal(await read(piece(0, 1), piece(1, 0), piece(1, 3)), true);
  assert.deepEqual(target, good);
});

Deno.test("values are stored with the checksum of all of their parts", async () => {
  const { t, at } = await fixture();
  const ok = () => ({ code: 0, value: null });
  t.answers = {
    ...{ PutStart: () => ({ code: 0, value: [at("a", 8)] }), PutEnd: ok },
    BatchUpsertStart: () => [{ code: 0, value: [at("a", 8)] }, { code: 0, value: [at("b", 8)] }],
    BatchUpsertEnd: () => [ok(), ok()],
  };
  const { store } = t;
  const parts = slicesOf([good.subarray(0, 1), good.subarray(1)]);
  const config = store.defaultConfig;
  const items = [{ key, slices: parts }, { key: good, slices: slicesOf(bad) }];
  for (const checks of [store.checks, new ValueChecks({ enabled: false, log: () => {} })]) {
    await writeObject({ ...store, checks }, "put", key, parts, config);
    await writeBatch({ ...store, checks }, "upsert", items, config);
  }
  const single = t.requests<EndRequest>("PutEnd").map(({ objectMeta }) => objectMeta);
  assert.deepEqual(single.map((meta) => meta.objectChecksum), [sumOf(good), null]);
  const batches = t.requests<BatchEndRequest>("BatchUpsertEnd");
  assert.deepEqual(
    batches.map(({ objectMetas }) => objectMetas.map((meta) => meta.objectChecksum)),
    [[sumOf(good), sumOf(bad)], [null, null]],
  );
});

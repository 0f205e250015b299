import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import type { StoreError } from "../proto/error.ts";
import type { ReplicaDescriptor } from "../proto/types.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { Hedges } from "./hedges.ts";
import { readObject, type ReadPlan } from "./read.ts";
import { TransferCode } from "./transfer/engine.ts";

const key = new TextEncoder().encode("k");

function listOf(...replicas: ReplicaDescriptor[]) {
  return { code: 0, value: { replicas, leaseTtlMs: 10_000, objectChecksum: null } };
}

function whole(target: Uint8Array): ReadPlan {
  return (size) => [{ offset: 0, length: size, local: target, localOffset: 0 }];
}

function code(wanted: number, pattern: RegExp) {
  return (error: StoreError) => {
    assert.equal(error.code, wanted, error.message);
    assert.match(error.message, pattern);
    return true;
  };
}

Deno.test("an object is read from its replica", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  region.bytes.set([5, 6, 7], 100);
  t.answers.GetReplicaList = () => listOf(replica("10.0.0.2:9", region, 3, 100));
  const target = new Uint8Array(4);
  assert.equal(await readObject(t.store, key, whole(target)), true);
  assert.deepEqual([...target], [5, 6, 7, 0]);
});

Deno.test("an object that is missing or unfinished is not found", async () => {
  for (const missing of [ErrorCode.OBJECT_NOT_FOUND, ErrorCode.REPLICA_IS_NOT_READY]) {
    const t = new StoreFixture({ GetReplicaList: () => ({ code: missing, value: null }) });
    assert.equal(await readObject(t.store, key, whole(new Uint8Array(1))), false);
  }
});

Deno.test("another error of the master and an empty key are refused with their code", async () => {
  const t = new StoreFixture({ GetReplicaList: () => ({ code: -1010, value: null }) });
  const read = (key: Uint8Array) => readObject(t.store, key, whole(new Uint8Array(1)));
  await assert.rejects(read(key), code(-1010, /Cannot read "k"/));
  await assert.rejects(read(new Uint8Array(0)), code(-600, /the key is empty/));
  assert.equal(t.calls.length, 1);
});

Deno.test("when a replica fails the next one is read, and all failing is TRANSFER_FAIL", async () => {
  const t = new StoreFixture();
  const a = await t.peer("10.0.0.2:9");
  const b = await t.peer("10.0.0.3:9");
  b.region.bytes.set([8]);
  const replicas = [replica("10.0.0.2:9", a.region, 1), replica("10.0.0.3:9", b.region, 1)];
  t.answers.GetReplicaList = () => listOf(...replicas);
  a.engine.vanish();
  const target = new Uint8Array(1);
  for (let i = 0; i < 3; i++) {
    target.fill(0);
    assert.equal(await readObject(t.store, key, whole(target)), true);
    assert.equal(target[0], 8);
  }
  const asked = t.engine.batches.flat().filter(({ peer }) => peer === t.engine.batches[0][0].peer);
  assert(asked.length <= 2, "a peer that failed is not asked again at once");
  b.engine.vanish();
  await assert.rejects(
    readObject(t.store, key, whole(target)),
    code(ErrorCode.TRANSFER_FAIL, /Cannot read "k": the transfer with 10\.0\.0\.[23]:9 ended with/),
  );
});

Deno.test("bytes that arrive after the lease are discarded and asked for once more", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  region.bytes.set([1]);
  t.answers.GetReplicaList = () => listOf(replica("10.0.0.2:9", region, 1));
  let slow = 1;
  t.network.delay = () => slow-- > 0 ? t.clock.advance(10_000) : Promise.resolve();
  const target = new Uint8Array(1);
  assert.equal(await readObject(t.store, key, whole(target)), true);
  assert.equal(t.calls.length, 2);
  slow = 2;
  await assert.rejects(
    readObject(t.store, key, whole(target)),
    code(ErrorCode.LEASE_EXPIRED, /its lease ran out before the bytes were there, 2 times/),
  );
  assert.equal(t.calls.length, 4);
});

Deno.test("the lease counts from before the request was sent", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer("10.0.0.2:9");
  t.answers.GetReplicaList = async () => {
    await t.clock.advance(10_000);
    return listOf(replica("10.0.0.2:9", region, 1));
  };
  await assert.rejects(
    readObject(t.store, key, whole(new Uint8Array(1))),
    code(ErrorCode.LEASE_EXPIRED, /lease/),
  );
  assert.equal(t.engine.batches.length, 0, "nothing is moved under a lease that has ended");
});

Deno.test("a silent peer leaves time for the next replica within the lease", async () => {
  const t = new StoreFixture();
  const a = await t.peer("10.0.0.2:9");
  const b = await t.peer("10.0.0.3:9");
  b.region.bytes.set([8]);
  t.answers.GetReplicaList = () =>
    listOf(replica("10.0.0.2:9", a.region, 1), replica("10.0.0.3:9", b.region, 1));
  t.network.fault = (address) => address === "10.0.0.2:9" ? TransferCode.TIMEOUT : 0;
  const timeouts: number[] = [];
  const transferOne = t.engine.transferOne.bind(t.engine);
  t.engine.transferOne = async (op, options) => {
    timeouts.push(options?.timeoutMs ?? 0);
    const result = await transferOne(op, options);
    if (result === TransferCode.TIMEOUT) await t.clock.advance(options?.timeoutMs ?? 0);
    return result;
  };
  const target = new Uint8Array(1);
  const store = { ...t.store, hedges: new Hedges(0) };
  assert.equal(await readObject(store, key, whole(target)), true);
  assert.equal(target[0], 8);
  assert.deepEqual(timeouts, [500, 8550], "a little for the first, the lease for the last");
});

Deno.test("an object on disks only is refused as not supported", async () => {
  const t = new StoreFixture({
    GetReplicaList: () =>
      listOf({ id: 1, status: 3, location: { kind: "disk", filePath: "/f", objectSize: 1 } }),
  });
  await assert.rejects(
    readObject(t.store, key, whole(new Uint8Array(1))),
    code(ErrorCode.NOT_SUPPORTED, /no replica in memory/),
  );
});

Deno.test("replicas on NVMe over fabrics are passed over, and named when there is no other", async () => {
  const at = { bufferAddress: 0n, protocol: "nvmeof", transportEndpoint: "10.0.0.2:4420" };
  const remote = {
    id: 2,
    status: 3,
    location: { kind: "nof", buffer: { size: 1, ...at } },
  } as const;
  const t = new StoreFixture({ GetReplicaList: () => listOf(remote) });
  await assert.rejects(
    readObject(t.store, key, whole(new Uint8Array(1))),
    code(ErrorCode.NOT_SUPPORTED, /its only replicas are on NVMe over fabrics, .* cannot read/),
  );
});

import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Fault } from "../tests/support/fault_engine.ts";
import { A, B, key, TwoReplicas } from "../tests/support/two_replicas.ts";
import { readBatch } from "./batch_read.ts";
import { beginCall } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { TransferCode } from "./transfer/engine.ts";
import { writeObject } from "./write.ts";

Deno.test("a replica that says nothing is left after the patience, and then read last", async () => {
  const pair = await TwoReplicas.open({ silent: true });
  const took: number[] = [];
  for (let i = 0; i < 6; i++) took.push(await pair.read());
  assert.deepEqual(took.filter((ms) => ms > 10), [500], `${took}`);
  assert.equal(pair.t.faults.struck.length, 1);
  await pair.t.clock.advance(2000);
  for (let i = 0; i < 2; i++) await pair.read();
  assert.equal(pair.t.faults.struck.length, 2, "it is tried again after its cool-down");
});

Deno.test("errors at submit and at completion, parts and slow paths lead to the next replica", async () => {
  const faults: Fault[] = [
    { atSubmit: TransferCode.MEMORY },
    { atCompletion: TransferCode.MEMORY },
    { partialBytes: 0, atCompletion: TransferCode.MEMORY },
    { delayMs: 800 },
    { bytesPerMs: 0.001 },
  ];
  for (const fault of faults) {
    const pair = await TwoReplicas.open(fault);
    assert(await pair.read() < 1000, JSON.stringify(fault));
    assert(await pair.read() < 1000, JSON.stringify(fault));
    assert.equal(pair.t.faults.struck.length, 1, JSON.stringify(fault));
  }
});

Deno.test("a path that is slow but inside of the patience is waited for", async () => {
  const pair = await TwoReplicas.open({ delayMs: 400 });
  const took = [await pair.read(), await pair.read()].sort((a, b) => a - b);
  assert(took[0] < 50 && took[1] >= 400 && took[1] < 500, `${took}`);
});

Deno.test("of a batch only what has no other replica waits in full", async () => {
  const pair = await TwoReplicas.open({ silent: true });
  const { t, replicas } = pair;
  t.answers.BatchGetReplicaList = () =>
    [replicas, [replicas[1]], [replicas[0]]].map((replicas) => ({
      ...{ code: 0, value: { replicas, leaseTtlMs: 4000, objectChecksum: null } },
    }));
  const local = new Uint8Array(3);
  const codes = await pair.settled(readBatch(
    pair.store,
    ["a", "b", "c"].map((name) => new TextEncoder().encode(name)),
    (i, length) => [{ offset: 0, length, local, localOffset: i }],
  ));
  assert.deepEqual([...codes.value!], [0, 0, ErrorCode.TRANSFER_FAIL]);
  assert.deepEqual([...local], [8, 8, 0]);
  assert(codes.tookMs < 3700, `${codes.tookMs} ms`);
});

Deno.test("a call ends with DEADLINE_EXCEEDED when its time is over, wherever it waits", async () => {
  const pair = await TwoReplicas.open({ silent: true }, [A]);
  const store: StoreContext = { ...pair.store, opBudgetMs: 300 };
  await assert.rejects(pair.read(beginCall(store)), (error: StoreError & { tookMs: number }) => {
    assert.equal(error.code, ErrorCode.DEADLINE_EXCEEDED, error.message);
    assert(error.tookMs <= 310, `${error.tookMs} ms`);
    return true;
  });
  assert(!pair.t.store.choice.isSuspected(A), "300 ms are too few to blame anybody");

  pair.t.answers.GetReplicaList = () => new Promise(() => {});
  await assert.rejects(pair.read(beginCall(store)), (error: StoreError & { tookMs: number }) => {
    assert.equal(error.code, ErrorCode.DEADLINE_EXCEEDED);
    assert.match(error.message, /^GetReplicaList was not answered within the 300 ms/);
    assert(error.tookMs <= 310, `${error.tookMs} ms`);
    return true;
  });

  const batch = await pair.settled(
    readBatch(beginCall(store), [key], (_, length) => [
      { offset: 0, length, local: new Uint8Array(1), localOffset: 0 },
    ]),
  );
  assert.deepEqual([...batch.value!], [ErrorCode.DEADLINE_EXCEEDED]);
  assert(batch.tookMs <= 310, `${batch.tookMs} ms`);
});

Deno.test("a write whose time is over is revoked, and a suspect gets the patience only", async () => {
  const pair = await TwoReplicas.open({ silent: true }, [A]);
  const { t } = pair;
  const slices = [{ local: new Uint8Array(1), localOffset: 0, length: 1 }];
  const write = (store: StoreContext) =>
    pair.settled(writeObject(store, "put", key, slices, store.defaultConfig));
  const late = await write(beginCall({ ...pair.store, opBudgetMs: 300 }));
  assert.equal((late.error as StoreError).code, ErrorCode.DEADLINE_EXCEEDED);
  assert(late.tookMs <= 310, `${late.tookMs} ms`);
  assert.deepEqual(t.names, ["PutStart", "PutRevoke"]);
  const full = await write(pair.store);
  assert.equal((full.error as StoreError).code, ErrorCode.TRANSFER_FAIL);
  assert(full.tookMs >= 30_000, `${full.tookMs} ms`);
  const suspect = await write(pair.store);
  assert.equal((suspect.error as StoreError).code, ErrorCode.TRANSFER_FAIL);
  assert(suspect.tookMs <= 510, `${suspect.tookMs} ms`);
});

Deno.test("a read that is cancelled ends, begins nothing more and blames nobody", async () => {
  const pair = await TwoReplicas.open({ delayMs: 300, atCompletion: TransferCode.MEMORY });
  const { t } = pair;
  const stop = new AbortController();
  t.clock.after(100, () => stop.abort());
  const reading = pair.read(beginCall(pair.store, { signal: stop.signal }));
  await assert.rejects(reading, (error: StoreError & { tookMs: number }) => {
    assert.equal(error.code, ErrorCode.CANCELLED, error.message);
    assert(error.tookMs >= 100 && error.tookMs < 120, `${error.tookMs} ms`);
    return true;
  });
  assert(!t.store.choice.isSuspected(B), "the other replica was not asked");

  t.answers.PutStart = () => new Promise(() => {});
  const later = new AbortController();
  t.clock.after(50, () => later.abort());
  const slices = [{ local: new Uint8Array(1), localOffset: 0, length: 1 }];
  const store = beginCall(pair.store, { signal: later.signal });
  const written = await pair.settled(writeObject(store, "put", key, slices, store.defaultConfig));
  assert.equal((written.error as StoreError).code, ErrorCode.CANCELLED);
  assert.match((written.error as StoreError).message, /^PutStart was not answered before the call/);
  assert(written.tookMs < 60, `${written.tookMs} ms`);
  assert(t.names.includes("PutRevoke"));
});

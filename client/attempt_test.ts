import assert from "node:assert/strict";
import type { ReplicaDescriptor } from "../proto/types.ts";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Fault } from "../tests/support/fault_engine.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { readBatch } from "./batch_read.ts";
import { beginCall } from "./budget.ts";
import type { StoreContext } from "./context.ts";
import { readObject } from "./read.ts";
import { TransferCode } from "./transfer/engine.ts";
import { writeObject } from "./write.ts";

const A = "10.0.0.2:9";
const B = "10.0.0.3:9";
const key = new TextEncoder().encode("k");

/** A client and two peers that hold the same byte, with the faults of the first one. */
class TwoReplicas {
  readonly t = new StoreFixture();
  readonly replicas: ReplicaDescriptor[] = [];

  static async open(fault: Fault | null, names = [A, B]): Promise<TwoReplicas> {
    const pair = new TwoReplicas();
    for (const name of names) {
      const { region } = await pair.t.peer(name);
      region.bytes.fill(8);
      pair.replicas.push(replica(name, region, 1));
    }
    const value = { replicas: pair.replicas, leaseTtlMs: 10_000, objectChecksum: null };
    pair.t.answers = {
      GetReplicaList: () => ({ code: 0, value }),
      BatchGetReplicaList: ({ keys }: { keys: unknown[] }) => keys.map(() => ({ code: 0, value })),
      PutStart: () => ({ code: 0, value: pair.replicas }),
      PutRevoke: () => ({ code: 0, value: null }),
    };
    pair.t.faults.plan = (peer) => peer === A ? fault : null;
    return pair;
  }

  /** Moves the time on until `work` has settled; resolves with it and the time that it took. */
  async settled<T>(work: Promise<T>): Promise<{ value?: T; error?: unknown; tookMs: number }> {
    const { clock } = this.t;
    const begun = clock.now();
    let done = false;
    const outcome = work.then((value) => ({ value }), (error) => ({ error }))
      .finally(() => done = true);
    while (!done && clock.now() - begun < 120_000) await clock.advance(10);
    return { ...await outcome, tookMs: clock.now() - begun };
  }

  async read(store: StoreContext = this.t.store): Promise<number> {
    const local = new Uint8Array(1);
    const { error, tookMs } = await this.settled(
      readObject(store, key, () => [{ offset: 0, length: 1, local, localOffset: 0 }]),
    );
    if (error !== undefined) throw Object.assign(error as StoreError, { tookMs });
    assert.equal(local[0], 8);
    return tookMs;
  }
}

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
    t.store,
    ["a", "b", "c"].map((name) => new TextEncoder().encode(name)),
    (i, length) => [{ offset: 0, length, local, localOffset: i }],
  ));
  assert.deepEqual([...codes.value!], [0, 0, ErrorCode.TRANSFER_FAIL]);
  assert.deepEqual([...local], [8, 8, 0]);
  assert(codes.tookMs < 3700, `${codes.tookMs} ms`);
});

Deno.test("a call ends with DEADLINE_EXCEEDED when its time is over, wherever it waits", async () => {
  const pair = await TwoReplicas.open({ silent: true }, [A]);
  const store: StoreContext = { ...pair.t.store, opBudgetMs: 300 };
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
  const late = await write(beginCall({ ...t.store, opBudgetMs: 300 }));
  assert.equal((late.error as StoreError).code, ErrorCode.DEADLINE_EXCEEDED);
  assert(late.tookMs <= 310, `${late.tookMs} ms`);
  assert.deepEqual(t.names, ["PutStart", "PutRevoke"]);
  const full = await write(t.store);
  assert.equal((full.error as StoreError).code, ErrorCode.TRANSFER_FAIL);
  assert(full.tookMs >= 30_000, `${full.tookMs} ms`);
  const suspect = await write(t.store);
  assert.equal((suspect.error as StoreError).code, ErrorCode.TRANSFER_FAIL);
  assert(suspect.tookMs <= 510, `${suspect.tookMs} ms`);
});

Deno.test("a call that is cancelled waits for what has begun, begins nothing more and blames nobody", async () => {
  const pair = await TwoReplicas.open({ delayMs: 300, atCompletion: TransferCode.MEMORY });
  const { t } = pair;
  const stop = new AbortController();
  t.clock.after(100, () => stop.abort());
  const reading = pair.read(beginCall(t.store, { signal: stop.signal }));
  await assert.rejects(reading, (error: StoreError & { tookMs: number }) => {
    assert.equal(error.code, ErrorCode.CANCELLED, error.message);
    assert(error.tookMs >= 300 && error.tookMs < 320, `${error.tookMs} ms`);
    return true;
  });
  assert(!t.store.choice.isSuspected(B), "the other replica was not asked");

  t.answers.PutStart = () => new Promise(() => {});
  const later = new AbortController();
  t.clock.after(50, () => later.abort());
  const slices = [{ local: new Uint8Array(1), localOffset: 0, length: 1 }];
  const store = beginCall(t.store, { signal: later.signal });
  const written = await pair.settled(writeObject(store, "put", key, slices, store.defaultConfig));
  assert.equal((written.error as StoreError).code, ErrorCode.CANCELLED);
  assert.match((written.error as StoreError).message, /^PutStart was not answered before the call/);
  assert(written.tookMs < 60, `${written.tookMs} ms`);
  assert(t.names.includes("PutRevoke"));
});

import assert from "node:assert/strict";
import { crc32c } from "../proto/crc32c.ts";
import { objectChecksum } from "../proto/object_checksum.ts";
import type { Fault } from "../tests/support/fault_engine.ts";
import { Random } from "../tests/support/random.ts";
import { A, B, key, TwoReplicas } from "../tests/support/two_replicas.ts";
import { readBatch } from "./batch_read.ts";
import { readObject } from "./read.ts";
import { TransferCode } from "./transfer/engine.ts";

const open = (fault: Fault | null, names = [A, B]) => TwoReplicas.open(fault, names, 5);

/** Gives the first peer other bytes than the second one. */
function tellApart({ t }: TwoReplicas, first = 9): void {
  t.network.engines.get(A)!.regions[0].bytes.fill(first);
}

/** What a wait of `ms` is measured as: slow reads are noticed up to 5 ms late. */
function isAbout(tookMs: number, ms: number): boolean {
  return tookMs >= ms && tookMs <= ms + 10;
}

/** One read, measured by the millisecond. */
function read(pair: TwoReplicas): Promise<number> {
  return pair.read(pair.store, 1);
}

/** Reads until `A` has been asked and how it answers is known. */
async function learn(pair: TwoReplicas, reads = 20): Promise<void> {
  const { plan } = pair.t.faults;
  pair.t.faults.plan = null;
  for (let i = 0; i < reads; i++) await read(pair);
  pair.t.faults.plan = plan;
}

Deno.test("a silent replica is read beside another one, and after three times last", async () => {
  const pair = await open({ silent: true });
  const took: number[] = [];
  for (let i = 0; i < 8; i++) took.push(await read(pair));
  const slow = took.filter((ms) => ms > 6);
  assert(slow.length === 3 && slow.every((ms) => isAbout(ms, 100)), `${took}`);
  assert.equal(pair.t.faults.struck.length, 3);
  assert.deepEqual([pair.store.hedges.begun, pair.store.hedges.won], [3, 3]);
  assert(pair.store.choice.isSuspected(A) && !pair.store.choice.isSuspected(B));
});

Deno.test("the patience is what the peer has taken so far", async () => {
  const pair = await open({ silent: true });
  await learn(pair);
  const took = [await read(pair), await read(pair)];
  took.sort((a, b) => a - b);
  assert(took[0] <= 6 && took[1] >= 10 && took[1] < 30, `${took}`);
});

Deno.test("bytes of a slow first read never land in memory that was returned", async () => {
  for (const fault of [{ delayMs: 300 }, { bytesPerMs: 0.004 }]) {
    const pair = await open(fault);
    tellApart(pair);
    const { t } = pair;
    const region = t.engine.allocate(4);
    for (const local of [new Uint8Array(4), region]) {
      const bytes = local instanceof Uint8Array ? local : local.bytes;
      for (let i = 0; i < 2; i++) {
        bytes.fill(0);
        const { value, tookMs } = await pair.settled(
          readObject(
            pair.store,
            key,
            (length) => [{ offset: 0, length, local, localOffset: 2 }],
          ),
          1,
        );
        assert(value && tookMs <= 110, `${tookMs} ms`);
        bytes[2] = 7;
        await t.clock.advance(1000);
        assert.deepEqual([...bytes], [0, 0, 7, 0]);
      }
    }
    assert.equal(t.faults.struck.length, 2);
  }
});

Deno.test("a first read that is done before the second counts, and the second is given up", async () => {
  const pair = await open(null);
  tellApart(pair);
  const cancelled: string[] = [];
  pair.t.faults.plan = (peer) => {
    cancelled.push(peer);
    return peer === A ? { delayMs: 150 } : { delayMs: 400 };
  };
  const local = new Uint8Array(1);
  const { value, tookMs } = await pair.settled(
    readObject(
      pair.store,
      key,
      (length) => [{ offset: 0, length, local, localOffset: 0 }],
    ),
    1,
  );
  assert(value && isAbout(tookMs, 150) && local[0] === 9, `${tookMs} ms, ${local[0]}`);
  assert.deepEqual(cancelled, [A, B]);
  await pair.t.clock.advance(5);
  assert.equal(pair.t.clock.pending, 0, "nothing waits for the second one");
  assert.deepEqual([pair.store.hedges.begun, pair.store.hedges.won], [1, 0]);
});

Deno.test("a second read that fails leaves the first its time, and the other way round", async () => {
  const pair = await open(null);
  pair.t.faults.plan = (peer) =>
    peer === A ? { delayMs: 300 } : { atSubmit: TransferCode.ADDRESS_NOT_REGISTERED };
  assert(isAbout(await read(pair), 300));
  const other = await open(null);
  other.t.faults.plan = (peer) =>
    peer === A ? { delayMs: 200, atCompletion: TransferCode.MEMORY } : { delayMs: 200 };
  assert(isAbout(await read(other), 300));
  assert(other.store.choice.isSuspected(A));
});

Deno.test("of two replicas the slow one is right when the quick one has other bytes", async () => {
  const pair = await open({ delayMs: 200 });
  const { t } = pair;
  tellApart(pair, 3);
  const value = {
    replicas: pair.replicas,
    leaseTtlMs: 10_000,
    objectChecksum: objectChecksum(crc32c(Uint8Array.of(3), 0, 1, 0)),
  };
  t.answers.GetReplicaList = () => ({ code: 0, value });
  t.answers.BatchGetReplicaList = () => [{ code: 0, value }];
  for (const batch of [false, true]) {
    const local = new Uint8Array(1);
    const piece = (length: number) => [{ offset: 0, length, local, localOffset: 0 }];
    const { value } = await pair.settled<unknown>(
      batch
        ? readBatch(pair.store, [key], (_, size) => piece(size)).then(([code]) => code === 0)
        : readObject(pair.store, key, piece),
    );
    assert.equal(value, true);
    assert.equal(local[0], 3);
    await pair.read(pair.store).catch(() => {}); // takes the turn of the other replica
  }
});

Deno.test("of a batch what is slow is read elsewhere, by peer", async () => {
  const pair = await open({ silent: true });
  const { t, replicas } = pair;
  t.answers.BatchGetReplicaList = ({ keys }: { keys: unknown[] }) =>
    keys.map((_, i) => ({
      code: 0,
      value: {
        replicas: i === 2 ? [replicas[1]] : replicas,
        leaseTtlMs: 4000,
        objectChecksum: null,
      },
    }));
  const local = new Uint8Array(5);
  const { value, tookMs } = await pair.settled(
    readBatch(
      pair.store,
      Array.from({ length: 5 }, (_, i) => new TextEncoder().encode(`k${i}`)),
      (i, length) => [{ offset: 0, length, local, localOffset: i }],
    ),
    1,
  );
  assert.deepEqual([...value!], [0, 0, 0, 0, 0]);
  assert.deepEqual([...local], [8, 8, 8, 8, 8]);
  assert(isAbout(tookMs, 100), `${tookMs} ms`);
});

Deno.test("nothing is read a second time from a suspect, or beyond the budget", async () => {
  const pair = await open(null);
  pair.store.choice.note(B, false);
  pair.t.faults.plan = (peer) => peer === A ? { delayMs: 300 } : null;
  assert(isAbout(await read(pair), 300));
  assert.equal(pair.store.hedges.begun, 0);
  pair.store.choice.note(B, true);
  while (pair.store.hedges.spend(1 << 30));
  const took = [await read(pair), await read(pair)];
  took.sort((a, b) => a - b);
  assert(took[0] <= 6 && isAbout(took[1], 300), `${took}`);
});

Deno.test("with one store slow at one read in a hundred the slowest reads take their patience", async () => {
  const pair = await open(null);
  const random = new Random(7);
  pair.t.faults.plan = (peer) => peer === A && random.below(100) === 0 ? { delayMs: 2000 } : null;
  await learn(pair);
  const took: number[] = [];
  for (let i = 0; i < 4000; i++) took.push(await read(pair));
  took.sort((a, b) => a - b);
  const slow = pair.t.faults.struck.length;
  assert(slow >= 10, `${slow} reads were slow`);
  assert(took[3995] <= 20, `p99.9 is ${took[3995]} ms`);
  assert(took[3999] <= 20, `the slowest took ${took[3999]} ms`);
  assert(pair.store.hedges.begun <= 4000 * 0.05);
  assert(!pair.store.choice.isSuspected(A), "now and then is no failure");
});

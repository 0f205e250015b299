import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import { A, type Answer, B, key, Known, missing, NEW, OLD } from "../tests/support/known_object.ts";
import { readBatch } from "./batch_read.ts";
import { writeBatch } from "./batch_write.ts";
import { beginCall } from "./budget.ts";
import { KnownPlaces } from "./known_places.ts";
import { sliceOf } from "./memory.ts";
import { readObject } from "./read.ts";
import { removeObject } from "./remove.ts";
import { TransferCode } from "./transfer/engine.ts";
import { writeObject } from "./write.ts";

Deno.test("a known object is read while the master is asked, with one transfer", async () => {
  await Known.ways(async (known, read) => {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const answer = await known.answer();
    known.answer = () => promise;
    const reading = read();
    for (let i = 0; i < 50; i++) await null;
    assert.deepEqual([...known.target], [...OLD, 9], "it was not read before the answer");
    resolve(answer);
    assert.equal(await reading, true);
    assert.deepEqual([known.moved, known.asked], [2, 2]);
    assert.deepEqual(known.counts, [1, 1]);
  });
});

Deno.test("what has gone is a miss, and nothing of it is left in the target", async () => {
  for (const code of [ErrorCode.OBJECT_NOT_FOUND, ErrorCode.REPLICA_IS_NOT_READY]) {
    const known = await Known.open();
    known.answer = () => ({ code, value: null });
    assert.equal(await known.read(), false);
    assert.deepEqual([...known.target], [0, 0, 0, 0, 9]);
    assert.equal(await known.read(), false);
    assert.deepEqual([known.moved, ...known.counts], [2, 1, 0], "it was forgotten");
  }
  const known = await Known.open();
  known.answer = () => missing;
  assert.equal(await known.readInBatch(), false);
  assert.deepEqual([...known.target], [0, 0, 0, 0, 9]);
});

Deno.test("an object that is another one by now is read anew", async () => {
  const others: [what: string, change: (known: Known) => Answer][] = [
    ["moved", (known) => {
      known.regions.get(B)!.bytes.set(OLD, 64);
      return known.list(OLD, [known.at(B, 64, 2)]);
    }],
    ["moved within the node", (known) => {
      known.regions.get(A)!.bytes.set(OLD, 64);
      return known.list(OLD, [known.at(A, 64, 2)]);
    }],
    ["put again in the same place", (known) => {
      const answer = known.list(NEW, [known.at(A, 0, 2)]);
      const late = async () => {
        // The bytes change when they have been read.
        for (let i = 0; i < 50; i++) await null;
        known.regions.get(A)!.bytes.set(NEW);
        known.answer = () => answer;
        return answer;
      };
      known.answer = late;
      return answer;
    }],
    ["other bytes of the same replica", (known) => {
      known.regions.get(A)!.bytes.set(NEW);
      return known.list(NEW, [known.at(A)]);
    }],
    ["copied", (known) => known.list(OLD, [known.at(A), known.at(B, 0, 2)])],
  ];
  for (const [what, change] of others) {
    await Known.ways(async (known, read) => {
      const answer = change(known);
      if (what !== "put again in the same place") known.answer = () => answer;
      const bytes = what.includes("put again") || what.includes("other bytes") ? NEW : OLD;
      assert.equal(await read(), true, what);
      assert.deepEqual([...known.target], [...bytes, 9], what);
      assert.deepEqual(known.counts, [1, 0], what);
      known.target.fill(9);
      known.answer = () => answer;
      assert.equal(await read(), true, what);
      assert.deepEqual([...known.target], [...bytes, 9], what);
      assert.deepEqual(known.counts, [2, 1], `${what}: the new place was not remembered`);
    });
  }
});

Deno.test("a shorter object leaves zeros where the longer one was", async () => {
  const known = await Known.open();
  known.regions.get(A)!.bytes.set([7, 7], 64);
  known.answer = () => known.list(Uint8Array.of(7, 7), [known.at(A, 64, 2, 2)]);
  assert.equal(await known.read(), true);
  assert.deepEqual([...known.target], [7, 7, 0, 0, 9]);
});

Deno.test("a target that is too short for what was there is read into as it is there now", async () => {
  const known = await Known.open();
  const short = new Uint8Array(2);
  known.regions.get(A)!.bytes.set([7, 7], 64);
  const now = known.list(Uint8Array.of(7, 7), [known.at(A, 64, 2, 2)]);
  const plan = (length: number) => {
    if (length > 2) throw new StoreError(ErrorCode.INVALID_PARAMS, "too long");
    return [{ offset: 0, length, local: short, localOffset: 0 }];
  };
  await assert.rejects(readObject(known.store, key, plan), { code: ErrorCode.INVALID_PARAMS });
  known.answer = () => now;
  assert.equal(await readObject(known.store, key, plan), true);
  assert.deepEqual([...short, ...known.counts], [7, 7, 0, 0]);
});

Deno.test("an error of the master is the outcome, and nothing is left in the target", async () => {
  const refused = () => ({ code: ErrorCode.INTERNAL_ERROR, value: null });
  const lost = () => Promise.reject(new StoreError(ErrorCode.RPC_FAIL, "gone"));
  for (const answer of [refused, lost]) {
    await Known.ways(async (known, read) => {
      known.answer = answer;
      await assert.rejects(read(), StoreError);
      assert.deepEqual([...known.target], [0, 0, 0, 0, 9]);
    });
  }
});

Deno.test("a call that is cancelled, or has no time left, waits for no byte", async () => {
  for (const cancels of [true, false]) {
    const known = await Known.open();
    known.answer = () => new Promise(() => {});
    known.t.faults.plan = () => ({ silent: true });
    const stop = new AbortController();
    const store = { ...known.store, opBudgetMs: 200, answerWithinMs: 6000 };
    const reading = known.read(beginCall(store, cancels ? { signal: stop.signal } : {}));
    if (cancels) stop.abort();
    const tookMs = await known.settled(reading);
    const code = cancels ? ErrorCode.CANCELLED : ErrorCode.DEADLINE_EXCEEDED;
    await assert.rejects(reading, { code });
    assert(cancels ? tookMs < 5 : tookMs < 210, `${tookMs} ms`);
    assert.deepEqual([...known.target], [0, 0, 0, 0, 9]);
  }
});

Deno.test("no byte of a slow read in vain lands after the get has ended", async () => {
  for (const fault of [{ delayMs: 300 }, { bytesPerMs: 0.01 }, { silent: true }]) {
    await Known.ways(async (known, read) => {
      known.answer = () => missing;
      known.t.faults.plan = () => fault;
      const reading = read();
      assert(await known.settled(reading) <= 3, "it was waited for");
      assert.equal(await reading, false);
      known.target.fill(6);
      await known.t.clock.advance(20_000);
      assert.deepEqual([...known.target], [6, 6, 6, 6, 6]);
    });
  }
});

Deno.test("a node that has gone costs the read nothing but its failure", async () => {
  await Known.ways(async (known, read) => {
    const answer = known.list(OLD, [known.at(B, 0, 2)]);
    known.answer = () => answer;
    known.t.network.engines.get(A)!.vanish();
    assert.equal(await read(), true);
    assert.deepEqual([...known.target], [...OLD, 9]);
    assert(!known.store.choice.isSuspected(A), "what is not there any more is no failure");
  });
});

Deno.test("a confirmed read that fails is a failed read", async () => {
  await Known.ways(async (known, read) => {
    known.t.network.engines.get(A)!.vanish();
    const reading = read();
    await known.settled(reading);
    await assert.rejects(reading, { code: ErrorCode.TRANSFER_FAIL });
    assert(known.store.choice.isSuspected(A));
    const before = known.moved;
    await known.settled(read());
    assert.equal(known.counts[0], 1, "a peer that failed is not read early");
    assert(known.moved > before);
  });
});

Deno.test("other bytes than were written are a miss, though the place is confirmed", async () => {
  await Known.ways(async (known, read) => {
    known.regions.get(A)!.bytes.fill(0);
    assert.equal(await read(), false);
    assert.equal(known.store.checks.mismatches, 2, "it was not looked up again");
  });
});

Deno.test("a confirmed replica with other bytes gives way to another one", async () => {
  const known = await Known.open([A, B]);
  for (let i = 0; i < 4; i++) {
    known.regions.get(A)!.bytes.fill(0);
    assert.equal(await known.read(), true);
    assert.deepEqual([...known.target], [...OLD, 9]);
  }
  assert.deepEqual(known.counts, [4, 4]);
  assert(known.store.checks.mismatches > 0);
});

Deno.test("bytes that came after the lease are asked for again, without haste", async () => {
  await Known.ways(async (known, read) => {
    let slow = true;
    known.t.network.delay = async () => {
      if (slow) await known.t.clock.advance(10_000);
      slow = false;
    };
    assert.equal(await read(), true);
    assert.deepEqual([known.asked, ...known.counts], [3, 1, 1]);
  });
});

Deno.test("a lease that is shorter than the last one ends the read", async () => {
  const known = await Known.open();
  const { value } = await known.answer();
  known.answer = () => ({ code: 0, value: { ...value!, leaseTtlMs: 100 } });
  known.t.faults.plan = () => ({ silent: true });
  const reading = known.read();
  const tookMs = await known.settled(reading);
  await assert.rejects(reading, StoreError);
  assert(tookMs <= 100, `${tookMs} ms`);
});

Deno.test("a known replica that is slow is read beside another one", async () => {
  for (const way of ["read", "readInBatch"] as const) {
    const known = await Known.open([A, B]);
    known.t.faults.plan = (peer) => peer === A ? { silent: true } : null;
    const took: number[] = [];
    for (let i = 0; i < 6; i++) {
      known.target.fill(9);
      const reading = known[way]();
      took.push(await known.settled(reading));
      assert.equal(await reading, true);
      assert.deepEqual([...known.target], [...OLD, 9]);
    }
    assert.equal(known.store.hedges.won, 3);
    assert(took.every((ms) => ms <= 20) && took.some((ms) => ms >= 10), `${took}`);
  }
});

Deno.test("a read in vain that cannot be ended is waited for as a healthy peer would be", async () => {
  await Known.ways(async (known, read) => {
    Object.defineProperty(known.t.endpoint, "endsReads", { value: false });
    known.t.faults.plan = (peer) => peer === A ? { silent: true, deaf: true } : null;
    known.answer = () => known.list(OLD, [known.at(B, 0, 2)]);
    const reading = read();
    const tookMs = await known.settled(reading);
    assert.equal(await reading, true);
    assert.deepEqual([...known.target], [...OLD, 9]);
    assert(tookMs >= 500 && tookMs < 510, `${tookMs} ms`);
    assert(known.store.choice.isSuspected(A));
  });
});

Deno.test("a confirmed read that could not be ended is given its time again", async () => {
  await Known.ways(async (known, read) => {
    Object.defineProperty(known.t.endpoint, "endsReads", { value: false });
    known.t.faults.plan = () => ({ delayMs: 700, deaf: true });
    const reading = read();
    const tookMs = await known.settled(reading);
    assert.equal(await reading, true);
    assert(tookMs >= 1200 && tookMs < 1220, `${tookMs} ms`);
    assert(!known.store.choice.isSuspected(A));
  });
});

Deno.test("equal replicas are read in turns", async () => {
  const known = await Known.open([A, B]);
  const peers = new Set<number>();
  for (let i = 0; i < 4; i++) {
    await known.read();
    peers.add(known.t.engine.batches.at(-1)![0].peer);
  }
  assert.deepEqual([peers.size, ...known.counts], [2, 4, 4]);
});

Deno.test("what this client has written is known to it, until it removes it", async () => {
  const known = await Known.open([A], false);
  const { t, store } = known;
  const begun = known.at(A, 0, 1);
  t.answers.PutStart = () => ({ code: 0, value: [{ ...begun, status: 2 }] });
  t.answers.PutEnd = () => ({ code: 0, value: null });
  t.answers.Remove = () => ({ code: 0, value: null });
  const write = () => writeObject(store, "put", key, [sliceOf(OLD, "v")], store.defaultConfig);
  await write();
  assert.equal(await known.read(), true);
  assert.deepEqual(known.counts, [1, 1]);
  await removeObject(store, key, false);
  assert.equal(await known.read(), true);
  assert.deepEqual(known.counts, [1, 1]);
});

Deno.test("a batch reads early what it knows, and the rest when it is told", async () => {
  const known = await Known.open([A], false);
  const { t, store } = known;
  const region = known.regions.get(A)!;
  const value = (i: number) => Uint8Array.of(10 + i, 20 + i);
  const keys = Array.from({ length: 5 }, (_, i) => new TextEncoder().encode(`k${i}`));
  const at = (i: number, offset: number, id: number) =>
    known.list(value(i), [known.at(A, offset, id, 2)]);
  t.answers.BatchPutStart = () =>
    keys.slice(0, 4).map((_, i) => ({ code: 0, value: [known.at(A, 16 * i, 1 + i, 2)] }));
  t.answers.BatchPutEnd = () => keys.slice(0, 4).map(() => ({ code: 0, value: null }));
  const items = keys.slice(0, 4).map((key, i) => ({ key, slices: [sliceOf(value(i), "v")] }));
  await writeBatch(store, "put", items, store.defaultConfig);
  // The first two are where they were, the third has moved, the fourth has gone, nothing is known of the last.
  region.bytes.set(value(2), 128);
  region.bytes.set(value(4), 144);
  region.bytes.fill(99, 32, 64);
  const { promise, resolve } = Promise.withResolvers<Answer[]>();
  t.answers.BatchGetReplicaList = () => promise;
  const targets = keys.map(() => new Uint8Array(2));
  const before = known.moved;
  const reading = readBatch(store, keys, (i, length) => [
    { offset: 0, length, local: targets[i], localOffset: 0 },
  ]);
  for (let i = 0; i < 50; i++) await null;
  assert.deepEqual([known.moved - before, [...targets[0]]], [4, [...value(0)]]);
  resolve([at(0, 0, 1), at(1, 16, 2), at(2, 128, 7), missing, at(4, 144, 8)]);
  assert.deepEqual([...await reading], [0, 0, 0, ErrorCode.OBJECT_NOT_FOUND, 0]);
  const expected = [value(0), value(1), value(2), new Uint8Array(2), value(4)];
  assert.deepEqual(targets, expected);
  assert.deepEqual([known.moved - before, ...known.counts], [6, 4, 2]);
});

Deno.test("reads that are in vain again and again are not begun early for a while", async () => {
  const known = await Known.open();
  const write = (id: number) => known.list(OLD, [known.at(A, 0, id)]);
  let id = 1;
  known.answer = () => write(++id);
  for (let i = 0; i < 40; i++) assert.equal(await known.read(), true);
  const [begun] = known.counts;
  assert(begun < 8, `${begun} of 40 were begun early`);
  known.answer = () => write(id);
  for (let i = 0; i < 40; i++) assert.equal(await known.read(), true);
  assert(known.counts[1] > 10, "it did not begin to read early again");
});

Deno.test("parts of an object, and objects without a checksum of ours, wait for the answer", async () => {
  const known = await Known.open();
  const part = [{ offset: 1, length: 2, local: known.target, localOffset: 0 }];
  assert.equal(await readObject(known.store, key, () => part), true);
  assert.deepEqual(known.counts, [0, 0]);
  for (const sum of [null, 0x1234_5678_9abcn]) {
    const other = await Known.open();
    const { value } = await other.answer();
    other.answer = () => ({ code: 0, value: { ...value!, objectChecksum: sum } });
    await other.read();
    const before = other.counts;
    assert.equal(await other.read(), true);
    assert.deepEqual(other.counts, before);
  }
});

Deno.test("where answers come at once nothing is read early", async () => {
  const known = await Known.open([A], false);
  known.store = { ...known.store, places: new KnownPlaces("auto") };
  for (let i = 0; i < 20; i++) assert.equal(await known.read(), true);
  for (let i = 0; i < 20; i++) assert.equal(await known.readInBatch(), true);
  assert.deepEqual(known.counts, [0, 0]);
  const answer = await known.answer();
  known.answer = async () => {
    await known.t.clock.advance(1);
    return answer;
  };
  known.t.network.delay = () => known.t.clock.advance(1);
  for (let i = 0; i < 200; i++) assert.equal(await known.read(), true);
  assert(known.counts[0] > 100 && known.counts[0] < 200, `${known.counts}`);
});

Deno.test("small objects of a peer that takes no time are not read early, but for a look now and then", async () => {
  const known = await Known.open([A], false);
  known.store = { ...known.store, places: new KnownPlaces("auto") };
  const answer = await known.answer();
  known.answer = async () => {
    await known.t.clock.advance(1);
    return answer;
  };
  for (let i = 0; i < 200; i++) assert.equal(await known.read(), true);
  assert(known.counts[0] <= 2, `${known.counts}`);
});

Deno.test("a client that is told not to reads nothing early", async () => {
  const known = await Known.open([A], false);
  known.store = { ...known.store, places: new KnownPlaces("off") };
  for (let i = 0; i < 3; i++) assert.equal(await known.read(), true);
  assert.deepEqual(known.counts, [0, 0]);
});

Deno.test("what was not asked for lately is forgotten", async () => {
  const known = await Known.open();
  const { value } = await known.answer();
  const places = new KnownPlaces("on");
  const learn = (i: number) => places.learn(`${i}`, value!.replicas, value!.objectChecksum);
  for (let i = 0; i < 100_000; i++) {
    learn(i);
    if (i % 1000 === 0) assert(places.find("0") !== undefined, `${i}`);
  }
  let kept = 0;
  for (let i = 0; i < 100_000; i++) if (places.find(`${i}`) !== undefined) kept++;
  assert(kept >= 8192 && kept <= 16_384, `${kept} are kept`);
  assert.equal(places.nameOf(new Uint8Array(513)), null, "keys are bounded, too");
});

Deno.test("a peer that refuses the range is asked no second time when the object has gone", async () => {
  const known = await Known.open();
  known.answer = () => missing;
  known.t.network.fault = () => TransferCode.ADDRESS_NOT_REGISTERED;
  assert.equal(await known.read(), false);
  assert.equal(known.store.choice.readsFenced, 0);
});

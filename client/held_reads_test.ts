// Goal: what is held is read without a word to the master, for as long as was promised and no longer,
// and as safely as anything else.
import assert from "node:assert/strict";
import { TAKES_HOLDS } from "../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../proto/error_code.ts";
import { A, B, key, Known, missing, NEW, OLD } from "../tests/support/known_object.ts";
import { replica, StoreFixture } from "../tests/support/store_context.ts";
import { readBatch } from "./batch_read.ts";
import { writeBatch } from "./batch_write.ts";
import { KnownPlaces } from "./known_places.ts";
import { exists, lookUp } from "./lookup.ts";
import { readObject } from "./read.ts";
import { removeAll, removeBatch, removeByRegex, removeObject } from "./remove.ts";
import { TransferCode } from "./transfer/engine.ts";
import { writeObject } from "./write.ts";

const HOLD_MS = 1000;
/** What of it is used: a clock may run slow. */
const USED_MS = 990;
const ways = (test: Parameters<typeof Known.ways>[0], names = [A]) =>
  Known.ways(test, { names, holdMs: HOLD_MS });

Deno.test("a held object is read without asking, until the hold is over", async () => {
  await ways(async (known, read) => {
    known.answer = () => missing;
    const { clock } = known.t;
    assert.equal(known.t.calls[0].writeId, TAKES_HOLDS);
    for (const ms of [0, 500, USED_MS - 501]) {
      await clock.advance(ms);
      known.target.fill(9);
      assert.equal(await read(), true);
      assert.deepEqual([...known.target], [...OLD, 9]);
    }
    assert.deepEqual([known.asked, known.store.places.held], [1, 3]);
    await clock.advance(1);
    assert.equal(await read(), false);
    assert.deepEqual([known.asked, known.store.places.held], [2, 3]);
  });
});

Deno.test("the hold counts from before the request was sent", async () => {
  const known = await Known.open([A], false, HOLD_MS);
  const answer = known.answer();
  known.answer = async () => {
    await known.t.clock.advance(USED_MS);
    return await answer;
  };
  assert.equal(await known.read(), true);
  assert.equal(await known.read(), true);
  assert.equal(known.asked, 2);
});

Deno.test("what is not promised is not held, nor does a client take what it does not want", async () => {
  for (const takes of [true, false]) {
    const known = await Known.open([A], false, takes ? 0 : HOLD_MS);
    known.store = { ...known.store, places: new KnownPlaces("on", takes) };
    for (let i = 1; i <= 3; i++) {
      assert.equal(await known.read(), true);
      assert.equal(known.asked, i);
    }
    assert.equal(known.store.places.held, 0);
  }
});

Deno.test("no more than half of a lease is used, so that bytes come in time", async () => {
  const known = await Known.open([A], false, HOLD_MS);
  const answer = await known.answer();
  known.answer = () => ({ ...answer, value: { ...answer.value!, leaseTtlMs: 400 } });
  assert.equal(await known.read(), true);
  await known.t.clock.advance(199);
  assert.equal(await known.read(), true);
  assert.equal(known.asked, 1);
  await known.t.clock.advance(1);
  assert.equal(await known.read(), true);
  assert.equal(known.asked, 2);
});

Deno.test("bytes that come when the lease is over do not count", async () => {
  await ways(async (known, read) => {
    known.t.faults.plan = () => ({ delayMs: 10_000, deaf: true });
    const reading = read();
    for (let i = 0; i < 20; i++) await null;
    known.answer = () => missing;
    await known.settled(reading);
    assert.equal(await reading, false);
    assert.equal(known.asked, 2);
    assert.equal(known.store.places.held, 0);
  });
});

Deno.test("a held read that fails, or has other bytes, is an ordinary get in the same call", async () => {
  const troubles: [what: string, befall: (known: Known) => void][] = [
    [
      "refused",
      (known) => known.t.faults.plan = () => ({ atSubmit: TransferCode.ADDRESS_NOT_REGISTERED }),
    ],
    ["other bytes", (known) => known.regions.get(A)!.bytes.fill(7)],
  ];
  for (const [what, befall] of troubles) {
    await ways(async (known, read) => {
      befall(known);
      known.regions.get(B)!.bytes.set(NEW);
      const elsewhere = known.list(NEW, [known.at(B, 0, 2)]);
      known.answer = () => {
        known.t.faults.plan = null;
        return elsewhere;
      };
      assert.equal(await read(), true, what);
      assert.deepEqual([...known.target], [...NEW, 9], what);
      assert.deepEqual([known.asked, known.store.places.held], [2, 0], what);
      assert.equal(await read(), true, what);
      assert.deepEqual([known.asked, known.store.places.held], [2, 1], `${what}: held anew`);
    });
  }
});

Deno.test("another replica is read without asking, too", async () => {
  await ways(async (known, read) => {
    known.t.faults.plan = (peer) =>
      peer === A ? { atSubmit: TransferCode.ADDRESS_NOT_REGISTERED } : null;
    assert.equal(await read(), true);
    assert.deepEqual([...known.target], [...OLD, 9]);
    assert.deepEqual([known.asked, known.store.places.held], [1, 1]);
  }, [A, B]);
});

Deno.test("what the caller got wrong is said as ever", async () => {
  const known = await Known.open([A], true, HOLD_MS);
  const tooLong = () => {
    throw new RangeError("too long");
  };
  await assert.rejects(readObject(known.store, key, tooLong), RangeError);
  const codes = await readBatch(known.store, [key], () => ErrorCode.INVALID_PARAMS);
  assert.deepEqual([...codes], [ErrorCode.INVALID_PARAMS]);
  assert.equal(known.asked, 1);
});

Deno.test("a client asks for what it is about to change, whatever comes of that", async () => {
  const config = new StoreFixture().store.defaultConfig;
  const slices = [{ local: NEW, localOffset: 0, length: 4 }];
  const changes: [name: string, change: (known: Known) => Promise<unknown>][] = [
    ["PutStart", ({ store }) => writeObject(store, "put", key, slices, config)],
    ["UpsertStart", ({ store }) => writeObject(store, "upsert", key, slices, config)],
    ["BatchPutStart", ({ store }) => writeBatch(store, "put", [{ key, slices }], config)],
    ["Remove", ({ store }) => removeObject(store, key, false)],
    ["BatchRemove", ({ store }) => removeBatch(store, [key], false)],
    ["RemoveByRegex", ({ store }) => removeByRegex(store, ".", false)],
    ["RemoveAll", ({ store }) => removeAll(store, false)],
  ];
  for (const [name, change] of changes) {
    const known = await Known.open([A], true, HOLD_MS);
    let asked = 0;
    const refused = { code: ErrorCode.OBJECT_HAS_LEASE, value: null };
    known.t.answers[name] = async () => {
      // Reads during the call ask as well.
      assert.equal(await known.read(), true);
      asked = known.t.requests("GetReplicaList").length;
      return name.startsWith("Batch") ? [refused] : name === "RemoveAll" ? 0 : refused;
    };
    await change(known).catch(() => {});
    assert.equal(asked, 2, name);
  }
});

Deno.test("who asks is answered by the master", async () => {
  const known = await Known.open([A], true, HOLD_MS);
  known.answer = () => missing;
  known.t.answers.ExistKey = () => ({ code: 0, value: false });
  assert.equal(await exists(known.store, key), false);
  assert.equal(await lookUp(known.store, key), null);
  assert.equal(await known.read(), false, "and what it said is not held against it");
});

Deno.test("a batch asks only for what is not held", async () => {
  const known = await Known.open([A], true, HOLD_MS);
  const encoder = new TextEncoder();
  const keys = ["a", "k", "", "b"].map((name) => encoder.encode(name));
  const targets = keys.map(() => new Uint8Array(4));
  const read = () =>
    readBatch(known.store, keys, (i, length) => [
      { offset: 0, length, local: targets[i], localOffset: 0 },
    ]);
  const codes = [0, 0, ErrorCode.INVALID_PARAMS, 0];
  assert.deepEqual([...await read()], codes);
  const asked = () => known.t.requests<{ keys: Uint8Array[] }>("BatchGetReplicaList");
  assert.deepEqual(asked().map(({ keys }) => keys), [[keys[0], keys[3]]]);
  for (const i of [0, 1, 3]) assert.deepEqual(targets[i], OLD);
  assert.deepEqual([...await read()], codes);
  assert.equal(asked().length, 1);
  assert.equal(known.store.places.held, 4);
});

Deno.test("parts, and objects without a checksum, are held as well", async () => {
  const known = await Known.open([A], false, HOLD_MS);
  const replicas = [known.at(A)];
  known.answer = () => ({
    code: 0,
    value: { replicas, leaseTtlMs: 10_000, objectChecksum: null },
  });
  for (let i = 0; i < 2; i++) {
    const local = new Uint8Array(2);
    const part = [{ offset: 1, length: 2, local, localOffset: 0 }];
    assert.equal(await readObject(known.store, key, () => part), true);
    assert.deepEqual(local, OLD.slice(1, 3));
  }
  assert.deepEqual([known.asked, known.store.places.held], [1, 1]);
  known.t.faults.plan = () => ({ delayMs: 10_000, deaf: true });
  const reading = known.read();
  for (let i = 0; i < 20; i++) await null;
  known.answer = () => missing;
  await known.settled(reading);
  assert.equal(await reading, false, "what came when the lease was over does not count");
});

Deno.test("disks are not held, and what is held is forgotten when there is too much", async () => {
  const t = new StoreFixture();
  const { region } = await t.peer(A);
  const places = new KnownPlaces("off", true);
  const disk = { kind: "disk", filePath: "/f", objectSize: 4 } as const;
  const list = (replicas: ReturnType<typeof replica>[]) => {
    return { replicas, leaseTtlMs: 10_000, objectChecksum: null, holdMs: HOLD_MS };
  };
  places.hold("disk", list([{ id: 1, status: 3, location: disk }]), 0);
  assert.equal(places.findHeld("disk", 1), undefined);
  for (let i = 0; i < 40_000; i++) {
    places.hold(`${i}`, list([replica(A, region, 4)]), 0);
    places.findHeld("0", 1);
  }
  assert.notEqual(places.findHeld("0", 1), undefined, "what is read stays");
  assert.notEqual(places.findHeld("39999", 1), undefined);
  assert.equal(places.findHeld("10000", 1), undefined);
  assert.equal(places.nameOf(new Uint8Array(513)), null);
});

Deno.test("reads that follow each other let timers have a turn now and then", async () => {
  await ways(async (known, read) => {
    const { clock } = known.t;
    let turns = 0;
    for (let ms = 0; ms < 200; ms++) {
      const reading = read();
      let done = false;
      void reading.then(() => done = true);
      for (let i = 0; i < 100 && !done; i++) await null;
      if (!done) {
        turns++;
        await clock.advance(0);
      }
      assert.equal(await reading, true);
      await clock.advance(1);
    }
    assert.equal(turns, 3);
    assert.equal(known.asked, 1);
  });
});

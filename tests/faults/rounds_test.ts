// Goal: a read by our client gives the right bytes or a miss, although readers and writers stand still
// for longer than their lease or their time-outs and others use the memory meanwhile.
// Method: `deno task faults --only=rounds`, a few rounds of it: real processes, each transport.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { Random } from "../support/random.ts";
import type { Dangers } from "./arena.ts";
import { runRounds, whyHarmless } from "./rounds.ts";
import { Ledger, STAMP_BYTES, stamped, versionIn } from "./stamps.ts";
import { ways } from "./ways.ts";

const ROUNDS = 100;

for (const way of ways) {
  const { missing } = way;
  Deno.test({
    name: `no wrong bytes in ${ROUNDS} rounds, ${way.what}${
      missing ? ` (skipped: ${missing})` : ""
    }`,
    ignore: missing !== null,
    async fn() {
      const random = new Random(1);
      const fraction = () => random.u32() / 2 ** 32;
      // On a machine with other work so few rounds may show too little.
      for (let rounds = ROUNDS;; rounds *= 2) {
        const result = await runRounds(way, true, rounds, fraction, () => {});
        const { heldReads, heldWrites } = result.dangers;
        assert.deepEqual(result.complaints, []);
        assert.equal(result.wrong, 0, result.summary);
        assert(heldReads >= rounds && heldWrites >= rounds, result.summary);
        if (!result.harmless) return;
        assert(rounds < 4 * ROUNDS, result.summary);
      }
    },
  });
}

Deno.test("a value tells whose it is, and a mix of two is seen", () => {
  const value = stamped(5, 7, 4 * STAMP_BYTES);
  assert.equal(versionIn(5, value), 7);
  assert.equal(versionIn(6, value), null);
  assert.equal(versionIn(5, value.subarray(0, 3 * STAMP_BYTES)), null, "a part");
  for (const other of [stamped(6, 7, value.length), stamped(5, 8, value.length)]) {
    const mix = value.slice();
    mix.set(other.subarray(STAMP_BYTES, 2 * STAMP_BYTES), STAMP_BYTES);
    assert.equal(versionIn(5, mix), null);
  }
  const moved = value.slice();
  moved.copyWithin(0, STAMP_BYTES);
  assert.equal(versionIn(5, moved), null);
});

Deno.test("a version whose write was refused must not be read", async () => {
  const ledger = new Ledger(10);
  assert.equal(await ledger.write(() => Promise.resolve()), true);
  const refuse = (code: ErrorCode) => () => Promise.reject(new StoreError(code, "a write"));
  assert.equal(await ledger.write(refuse(ErrorCode.TRANSFER_FAIL)), false);
  assert.equal(await ledger.write(refuse(ErrorCode.RPC_TIMEOUT)), false);
  for (const version of [11, 12, 13]) {
    await ledger.read(1, () => Promise.resolve(stamped(1, version, 64)));
  }
  await ledger.read(1, () => Promise.resolve(null));
  await ledger.read(1, refuse(ErrorCode.LEASE_EXPIRED));
  const { right, wrong, missing, errors, complaints } = ledger;
  assert.deepEqual({ right, wrong, missing, errors }, {
    right: 2,
    wrong: 1,
    missing: 1,
    errors: 1,
  });
  assert.deepEqual(complaints, ["key 1: version 12, which was not ended"]);
});

Deno.test("a run in which nothing could go wrong says so", () => {
  const dangers: Dangers = {
    ...{ heldReads: 1000, heldWrites: 1000, outlasting: 800, reused: 10, overtaken: 1 },
    ...{ refusedByNode: 0, late: 1, held: { right: 250, missing: 700, errors: 50, wrong: 0 } },
  };
  assert.deepEqual(whyHarmless(dangers, 1, 1), []);
  const without = (changes: Partial<Dangers>) => whyHarmless({ ...dangers, ...changes }, 1, 1);
  const right = (right: number) => without({ held: { ...dangers.held, right } });
  assert.deepEqual(right(249), ["less than 25 % of held reads right"]);
  assert.deepEqual(without({ outlasting: 0 }), ["no held read outlasted its lease"]);
  assert.deepEqual(without({ reused: 9 }), [
    "less than 1 % of held reads had their memory given to others",
  ]);
  assert.deepEqual(without({ overtaken: 0 }), ["no held read brought bytes of others"]);
  assert.deepEqual(without({ late: 0 }), ["no held write came too late"]);
  assert.deepEqual(without({ late: 0, refusedByNode: 1 }), []);
  assert.deepEqual(whyHarmless(dangers, 0, 0), [
    "nothing was under way in a stopped process",
    "no write was acknowledged",
  ]);
});

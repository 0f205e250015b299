import assert from "node:assert/strict";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import type { Elector } from "./elector.ts";
import { EngineError, LogRefusal } from "./fact_log.ts";
import { LeaseKeeper } from "./lease_keeper.ts";

/** A keeper whose renewals do what the test says. */
function driver(renew: (atMs: number) => Promise<number | null>) {
  const clock = new FakeClock();
  const told: string[] = [];
  const keeper = new LeaseKeeper({
    ...{ timers: clock, epoch: 1, leaseMs: 2000, validUntilMs: 1900 },
    elector: { renew: () => renew(clock.now()) } as unknown as Elector,
    onValid: (untilMs) => told.push(`${clock.now()}: until ${untilMs}`),
    onEnd: (why) => told.push(`${clock.now()}: ${why}`),
    onFault: (error) => told.push(`${clock.now()}: fault ${error}`),
  });
  return { clock, told, keeper };
}

Deno.test("a lease is renewed four times in its length, until it is over", async () => {
  const { clock, told } = driver((atMs) => Promise.resolve(atMs < 1200 ? atMs + 1900 : null));
  await clock.advance(5000);
  assert.deepEqual(told, [
    ...["500: until 2400", "1000: until 2900"],
    "1500: its lease has ended",
  ]);
  assert.equal(clock.pending, 0);
});

Deno.test("a renewal that fails or is refused is tried again while the lease is good", async () => {
  const failures = [new EngineError("no answer"), new LogRefusal("no permission")];
  const { clock, told, keeper } = driver((atMs) =>
    atMs >= 500 && atMs < 700
      ? Promise.reject(failures[atMs / 100 % 2])
      : Promise.resolve(atMs + 1900)
  );
  await clock.advance(800);
  assert.deepEqual(told, ["700: until 2600"]);
  keeper.stop();
  await clock.advance(5000);
  assert.equal(told.length, 1);
});

Deno.test("a lease that could not be renewed in its time has ended", async () => {
  const { clock, told } = driver(() => Promise.reject(new LogRefusal("no permission")));
  await clock.advance(5000);
  assert.deepEqual(told, ["1900: its lease could not be renewed: no permission"]);
});

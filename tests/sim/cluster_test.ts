// Goal: whatever befalls the masters of a cluster and the engine that they share, what was answered is
// kept, one master answers in each epoch and none once a later one has begun, and who begins to lead
// knows what the log says. Method: as sim_test.ts, with the real member, seat, reply gate and
// LeaderClient; the engine, the disks and the two threads of each master are simulated, see cluster.ts.
// `SEED=417 deno run -A tests/sim/main.ts --ha` replays one with its log.
import assert from "node:assert/strict";
import { broken } from "./broken.ts";
import { Cluster } from "./cluster.ts";
import { HaFault, type HaProfile } from "./ha_profile.ts";
import { Command, Fault, type Profile, reserving } from "./profile.ts";
import { World, type WorldOptions } from "./world.ts";

const SEEDS = 100;

Deno.test(`${SEEDS} seeded clusters keep their promises`, async () => {
  const seen = { hits: 0, reigns: 0, fetched: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new World(seed, { ha: {} });
    seen.hits += (await world.run()).hits;
    assert(world.master instanceof Cluster);
    seen.reigns += world.master.reigns;
    seen.fetched += world.master.fetched;
  }
  assert(seen.hits > 15 * SEEDS, `only ${seen.hits} reads found something`);
  assert(seen.reigns > 2 * SEEDS, `masters began to lead only ${seen.reigns} times`);
  assert(seen.fetched > 1, `only ${seen.fetched} checkpoints were taken from others`);
});

Deno.test("seeds that broke a promise once keep it", async () => {
  // The engine was full, a change that it did not take was read, and the next leader knew nothing of it.
  // A group was lost on its way to Redis, and those behind it went on coming too early for good.
  const profile = { reservesPuts: false };
  for (const seed of [200674, 401703]) await new World(seed, { ha: {}, profile }).run();
});

Deno.test("puts into reserved memory keep the promises, too, whoever leads", async () => {
  const seen = { reserved: 0, inVain: 0 };
  for (let seed = 1; seed <= 30; seed++) {
    const { reserved, inVain } = await new World(seed, { ha: {}, profile: reserving(seed) }).run();
    seen.reserved += reserved;
    seen.inVain += inVain;
  }
  assert(seen.reserved - seen.inVain > 300, `${seen.reserved} puts, ${seen.inVain} in vain`);
});

Deno.test("the same seed is the same cluster", async () => {
  const told = async () => {
    const lines: string[] = [];
    await new World(3, { ha: {}, log: (line) => lines.push(line) }).run();
    return lines;
  };
  const first = await told();
  assert(first.some((line) => line.includes("leads, epoch 1")));
  assert.deepEqual(await told(), first);
});

type Gate = NonNullable<WorldOptions["gate"]>;

/** A cluster with much to do, in which nothing befalls the clients. */
const busy: Partial<Profile> = {
  ...{ clients: 2, nodes: 2, users: 2, keys: 10, thinkMs: 5, delayMs: 4, busyMs: 6000 },
  ...{ stragglers: 0, commands: [Command.PUT, Command.UPSERT, Command.GET], faults: [] },
};

const stalls: Partial<HaProfile> = {
  ...{ masters: 2, leaseMs: 600, faultEveryMs: 700, drift: 0, engineLosses: 0 },
  faults: [HaFault.LEADER_MEMBER_STALL],
};

Deno.test("a leader that answers after its lease has ended is caught", async () => {
  const heedless = { profile: busy, ha: stalls };
  const gate: Gate = (leading) => {
    leading.extend(Infinity);
    leading.settle();
  };
  assert.match(
    await broken(10, { ...heedless, gate }),
    /answered .* in epoch \d+, and epoch \d+ has/,
  );
  assert.equal(await broken(4, heedless), "no world noticed anything");
});

Deno.test("an engine that takes groups of leaders of the past is caught", async () => {
  for (const manner of ["etcd", "redis"] as const) {
    const world = { profile: busy, ha: { ...stalls, manner } };
    const meddle = ({ master }: World) => {
      if (master instanceof Cluster) master.engine.cluster.fences = false;
    };
    assert.doesNotMatch(await broken(20, { ...world, meddle }), /no world noticed/, manner);
  }
});

Deno.test("answers that do not wait for the log are caught", async () => {
  const ha: Partial<HaProfile> = { ...stalls, faults: [HaFault.LEADER_KILL], engineDelayMs: 30 };
  const gate: Gate = (leading, replies) => {
    const packed = replies.take();
    leading.settle();
    replies.put(packed);
  };
  const world = { profile: busy, ha };
  assert.match(await broken(10, { ...world, gate }), /before what it tells/);
  assert.equal(await broken(4, world), "no world noticed anything");
});

Deno.test("a batch that revokes a client's last write at a new leader is answered", async () => {
  const profile: Partial<Profile> = {
    ...{ clients: 3, nodes: 1, users: 3, keys: 10, mostReplicas: 1, thinkMs: 5, delayMs: 20 },
    ...{ segmentBytes: 16 * 1024, segmentsPerNode: 1, mostValue: 2000, busyMs: 8000 },
    ...{ putWaitMs: 30, checksValues: false, withPins: false, withGroups: false },
    ...{ stragglers: 20, straggleMs: 600, transferTimeoutMs: 1000 },
    commands: [
      ...[Command.PUT, Command.UPSERT, Command.GET, Command.GET_BATCH],
      ...[Command.UPSERT_BATCH, Command.REMOVE_FORCED],
    ],
    faults: [
      ...[Fault.NODE_FREEZE, Fault.CLIENT_FREEZE, Fault.CONNECTION_LOSS],
      ...[Fault.NODE_REMOUNT, Fault.NODE_CRASH],
    ],
  };
  const faults = [HaFault.LEADER_KILL, HaFault.LEADER_POWER_LOSS, HaFault.LEADER_STOP];
  await new World(79, { profile, ha: { faults, faultEveryMs: 700, leaseMs: 600 } }).run();
});

Deno.test("a task that was made when a standby began has its time there, too", async () => {
  await new World(1058, { ha: {} }).run();
});

Deno.test("an object of which only a copy under way is left can be removed by a scan", async () => {
  await new World(2022, { ha: {} }).run();
});

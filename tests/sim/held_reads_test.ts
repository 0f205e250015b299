// Goal: whoever reads what it holds, without asking, reads what is there: through upserts, removals by
// force, sessions that end, restarts and new leaders. And a master that did not keep its word would show.
import assert from "node:assert/strict";
import { broken } from "./broken.ts";
import { HaFault, type HaProfile } from "./ha_profile.ts";
import { Command, Fault, type Profile } from "./profile.ts";
import { World, type WorldOptions } from "./world.ts";

/** A world that reads the same few objects again and again. */
const eager: Partial<Profile> = {
  ...{ clients: 3, nodes: 2, users: 3, nodeUsers: 0, keys: 40, takesHolds: true },
  ...{ mostValue: 400, segmentBytes: 64 * 1024, segmentsPerNode: 1, mostReplicas: 1 },
  ...{ thinkMs: 5, delayMs: 4, stragglers: 0, busyMs: 3000, faults: [], withPins: false },
  ...{ requestTimeoutMs: 5000, transferTimeoutMs: 300, putWaitMs: 30 },
  core: { defaultKvLeaseTtlMs: 2000, readHoldMs: 250, evictionHighWatermarkRatio: 1 },
};

interface Kind {
  readonly what: string;
  readonly options: WorldOptions;
  /** What a master does that does not keep its word. */
  readonly lie: (world: World) => void;
}

const {
  PUT,
  GET,
  GET_BATCH,
  UPSERT,
  UPSERT_BATCH,
  REMOVE,
  REMOVE_FORCED,
  REMOVE_BATCH,
  REMOVE_BY_REGEX,
} = Command;
const commits = (world: World) => world.master.core.state.holds.endOf = () => -Infinity;
const forgets = (world: World) => world.master.core.state.holds.note = () => {};
const starts = (world: World) => world.master.core.state.holds.inheritedUntilMs = -Infinity;

const often = (times: number, commands: Command[]) =>
  Array.from({ length: times }, () => commands).flat();

const kinds: Kind[] = [
  {
    what: "upserts",
    options: { profile: { ...eager, commands: [PUT, GET, GET, GET, GET_BATCH, UPSERT] } },
    lie: commits,
  },
  {
    what: "batches of upserts",
    options: {
      profile: { ...eager, commands: [PUT, ...often(3, [GET, GET_BATCH]), UPSERT_BATCH] },
    },
    lie: commits,
  },
  {
    what: "removals by force",
    options: { profile: { ...eager, commands: [PUT, PUT, GET, GET, GET_BATCH, REMOVE_FORCED] } },
    lie: commits,
  },
  {
    what: "batches of removals by force, and scans",
    options: {
      profile: {
        ...{ ...eager, commands: [...often(20, [PUT, GET, GET]), REMOVE_BATCH, REMOVE_BY_REGEX] },
        core: { ...eager.core, readHoldMs: 50 },
      },
    },
    lie: commits,
  },
  {
    // Pings come a second apart, so that sessions of nodes end while their memory can be read.
    what: "puts of what went with the session of its node",
    options: {
      profile: {
        ...{ ...eager, commands: [PUT, GET, GET, GET_BATCH], nodes: 3 },
        core: { ...eager.core, clientTtlMs: 1000 },
      },
    },
    lie: forgets,
  },
  {
    what: "restarts of the master",
    options: {
      profile: {
        ...{ ...eager, commands: [PUT, GET, GET, GET, UPSERT, REMOVE], keys: 15, users: 6 },
        ...{ busyMs: 10_000, faults: [Fault.MASTER_RESTART], faultEveryMs: 500 },
        longestAbsenceMs: 50,
      },
    },
    lie: starts,
  },
  {
    what: "new leaders",
    options: {
      profile: { ...eager, commands: [PUT, GET, GET, GET, UPSERT], busyMs: 10_000, keys: 20 },
      ha: {
        ...{ masters: 3, leaseMs: 600, faultEveryMs: 1500 },
        ...{ faults: [HaFault.LEADER_KILL, HaFault.LEADER_STOP], engineLosses: 0 },
      } satisfies Partial<HaProfile>,
    },
    lie: starts,
  },
];

const SEEDS = 5;

for (const { what, options, lie } of kinds) {
  Deno.test(`what is held is what is there: ${what}`, async () => {
    let [held, met] = [0, 0];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const summary = await new World(seed, options).run();
      held += summary.held;
      met += summary.met;
    }
    assert(held > 20 * SEEDS, `only ${held} objects were read without asking`);
    if (lie !== starts) assert(met > SEEDS, `only ${met} objects were to change while held`);
  });

  Deno.test(`a master that does not keep its word is caught: ${what}`, async () => {
    assert.match(
      await broken(40, { ...options, meddle: lie }),
      /a read of key-.* returned .* after/,
    );
  });
}

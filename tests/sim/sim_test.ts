// Goal: whatever befalls masters, clients, nodes and the network, nobody reads what was not written,
// nobody is given memory that is promised to somebody else, and trouble that is over leaves no trace.
// Method: seeded worlds with the real core, dispatcher and client, see world.ts. `SEED=417 deno run
// -A tests/sim/main.ts` replays one with its log.
import assert from "node:assert/strict";
import { MasterClient, type RpcCaller } from "../../client/master_client.ts";
import { objectChecksum } from "../../proto/object_checksum.ts";
import { broken } from "./broken.ts";
import { type Reader, readWhole } from "./user.ts";
import { Command, Fault, type Profile, reserving } from "./profile.ts";
import { World } from "./world.ts";

const SEEDS = 300;

Deno.test(`${SEEDS} seeded worlds keep their promises`, async () => {
  let hits = 0;
  let evicted = 0;
  let restarts = 0;
  let [early, confirmed] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const summary = await new World(seed).run();
    early += summary.early;
    confirmed += summary.confirmed;
    hits += summary.hits;
    evicted += summary.evicted;
    restarts += summary.restarts;
  }
  assert(hits > 40 * SEEDS, `only ${hits} reads found something`);
  assert(evicted > 0 && restarts > SEEDS / 2, `${evicted} evictions, ${restarts} restarts`);
  assert(confirmed > 1000 && early - confirmed > 500, `${confirmed} of ${early} early reads`);
});

Deno.test("puts into reserved memory keep the promises, too, whatever fails", async () => {
  const seen = { reserved: 0, inVain: 0 };
  for (let seed = 1; seed <= 60; seed++) {
    const { reserved, inVain } = await new World(seed, { profile: reserving(seed) }).run();
    seen.reserved += reserved;
    seen.inVain += inVain;
  }
  assert(seen.reserved - seen.inVain > 800, `${seen.reserved} puts, ${seen.inVain} in vain`);
  assert(seen.inVain > 100, `only ${seen.inVain} puts were in vain`);
});

Deno.test("drains and rebalances keep the promises, too, across restarts of the master", async () => {
  let moved = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const faults = seed % 2 === 0 ? [Fault.JOB] : [Fault.JOB, Fault.MASTER_RESTART];
    const commands = [Command.PUT, Command.GET, Command.UPSERT];
    const profile = { nodes: 3, keys: 40, faultEveryMs: 1000, busyMs: 5000, faults, commands };
    moved += (await new World(seed, { profile }).run()).moved;
  }
  assert(moved > 100, `only ${moved} objects were moved`);
});

Deno.test("compactions keep the promises, too, while everybody reads, writes and removes", async () => {
  let opened = 0;
  let moved = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { PUT, GET, UPSERT, REMOVE, COPY } = Command;
    const { core } = new World(seed).profile;
    const faults = [Fault.CLIENT_CRASH, Fault.NODE_FREEZE, Fault.CONNECTION_LOSS];
    const profile = {
      ...{ clients: 3, nodes: 1 + seed % 2, users: 2, keys: 40, mostReplicas: 1 },
      ...{ segmentBytes: 32 * 1024, leastValue: 64, mostValue: 2000, thinkMs: 20, busyMs: 6000 },
      ...{ faultEveryMs: 1000, commands: [PUT, GET, UPSERT, REMOVE, COPY] },
      faults: seed % 3 === 0 ? [...faults, Fault.MASTER_RESTART] : faults,
      core: {
        ...{ ...core, autoCompaction: true, autoCompactionFreeRatio: 0.8 },
        ...{ autoCompactionBytesPerSecond: 0, evictionHighWatermarkRatio: 1 },
        defaultKvLeaseTtlMs: 200,
      },
    };
    const summary = await new World(seed, { profile }).run();
    opened += summary.opened;
    moved += summary.moved;
  }
  assert(opened > 10 && moved > opened, `${opened} pieces were opened by ${moved} moves`);
});

Deno.test("dynamic replication keeps the promises, too", async () => {
  let copied = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const commands = [Command.PUT, Command.GET, Command.EXISTS, Command.MOVE];
    const { core } = new World(seed).profile;
    const replication = { replicationMode: "enforce", replicationAdmissionQps: 1 } as const;
    const room = { replicationMaxShare: 0.5, evictionHighWatermarkRatio: 0.9, evictionRatio: 0.05 };
    const restarts = seed % 2 === 0 ? [Fault.MASTER_RESTART] : [];
    const faults = [Fault.CLIENT_CRASH, Fault.NODE_FREEZE, Fault.DATA_LOSS, ...restarts];
    const world = { nodes: 3, mostReplicas: 1, keys: 10, mostValue: 400, faultEveryMs: 1000 };
    const profile = { ...world, thinkMs: 20, busyMs: 6000, commands, faults };
    const changes = { ...profile, core: { ...core, ...replication, ...room } };
    copied += (await new World(seed, { profile: changes }).run()).copied;
  }
  assert(copied > 20, `only ${copied} further replicas were made`);
});

Deno.test("the same seed is the same world", async () => {
  const told = async () => {
    const lines: string[] = [];
    await new World(5, { log: (line) => lines.push(line) }).run();
    return lines;
  };
  const first = await told();
  assert(first.length > 100);
  assert.deepEqual(await told(), first);
});

/** A busy world with little memory and slow transfers. */
const crowded: Partial<Profile> = {
  ...{ clients: 3, nodes: 1, users: 3, keys: 10, mostReplicas: 1, thinkMs: 5, delayMs: 20 },
  ...{ segmentBytes: 16 * 1024, segmentsPerNode: 1, mostValue: 2000, busyMs: 3000, putWaitMs: 30 },
  checksValues: false,
  ...{
    withPins: false,
    withGroups: false,
    stragglers: 20,
    straggleMs: 600,
    transferTimeoutMs: 1000,
  },
};

Deno.test("a client that ignores its leases is caught", async () => {
  const careless: Reader = (store, key) => {
    const patient = { ...store.clock, now: () => 0, after: store.clock.after.bind(store.clock) };
    return readWhole({ ...store, clock: patient }, key);
  };
  const profile: Partial<Profile> = {
    ...crowded,
    commands: [Command.PUT, Command.GET, Command.REMOVE_FORCED],
    faults: [],
    core: { defaultKvLeaseTtlMs: 60, evictionRatio: 0.3 },
    // Without a clock it would hold what it holds for ever.
    takesHolds: false,
  };
  assert.match(await broken(20, { profile, read: careless }), /a read of key-/);
  const checked = { ...profile, checksValues: true };
  assert.equal(await broken(20, { profile: checked, read: careless }), "no world noticed anything");
  assert.equal(await broken(20, { profile }), "no world noticed anything");
});

Deno.test("a client that takes what it remembers for the answer is caught", async () => {
  const hasty: Reader = async (store, key) => {
    const { places } = store;
    const place = places.find(places.nameOf(key));
    if (place === undefined) return await readWhole(store, key);
    const { replicas, crc } = place;
    const value = { replicas, leaseTtlMs: 10_000, objectChecksum: objectChecksum(crc) };
    const rpc = { call: () => Promise.resolve({ code: 0, value }) } as unknown as RpcCaller;
    return await readWhole({ ...store, master: new MasterClient(rpc) }, key);
  };
  const commands = [Command.PUT, Command.UPSERT, Command.GET, Command.REMOVE];
  const profile: Partial<Profile> = { ...crowded, checksValues: true, commands, faults: [] };
  assert.match(await broken(20, { profile, read: hasty }), /a read of key-/);
  assert.equal(await broken(20, { profile }), "no world noticed anything");
});

Deno.test("a master that does not wait for slow writers is caught", async () => {
  const profile: Partial<Profile> = {
    ...crowded,
    commands: [Command.PUT, Command.GET],
    faults: [],
    core: { putStartDiscardTimeoutMs: 100, putStartReleaseTimeoutMs: 100 },
  };
  assert.match(await broken(20, { profile }), /a read of key-.* returned/);
});

Deno.test("memory that changes by itself is caught, unless clients check what they read", async () => {
  const commands = [Command.PUT, Command.UPSERT, Command.GET, Command.GET_BATCH, Command.COPY];
  const profile: Partial<Profile> = {
    ...{ nodes: 2, mostReplicas: 2, keys: 10, users: 2, thinkMs: 5, busyMs: 3000, commands },
    ...{ faults: [Fault.BIT_FLIPS], faultEveryMs: 300, checksValues: false },
  };
  assert.match(await broken(5, { profile }), /a read of key-.* returned/);
  let hits = 0;
  for (let seed = 1; seed <= 20; seed++) {
    hits += (await new World(seed, { profile: { ...profile, checksValues: true } }).run()).hits;
  }
  assert(hits > 1000, `only ${hits} reads found something`);
});

Deno.test("memory that is given out twice is caught before anybody reads it", async () => {
  let done = false;
  const meddle = ({ master: { core: { state } }, scheduler }: World) => {
    if (done || scheduler.nowMs < 500) return;
    for (const { allocator } of state.segments.mounted()) {
      for (let extent = allocator.first; extent !== 0; extent = state.extents.after(extent)) {
        if (state.extents.owner(extent) === 0) continue;
        allocator.free(extent);
        done = true;
        return;
      }
    }
  };
  const profile = { ...crowded, faults: [] };
  assert.doesNotMatch(await broken(1, { profile, meddle }), /no world noticed/);
  assert(done);
});

Deno.test("memory whose mount was not answered is not in the pool in the end", async () => {
  const profile: Partial<Profile> = {
    ...{ faults: [Fault.CONNECTION_LOSS, Fault.NODE_REMOUNT], faultEveryMs: 50 },
    ...{ nodes: 3, requestTimeoutMs: 30, delayMs: 20, stragglers: 20, straggleMs: 600 },
  };
  for (let seed = 1; seed <= 40; seed++) await new World(seed, { profile }).run();
});

Deno.test("memory of an owner that was given up and returns is not given to others at once", async () => {
  const profile: Partial<Profile> = {
    ...{ longestNodeFreezeMs: 12_000, faults: [Fault.NODE_FREEZE], faultEveryMs: 1000 },
    ...{ clients: 3, nodes: 1, mostReplicas: 1, segmentBytes: 16 * 1024 },
    ...{ thinkMs: 5, busyMs: 10_000 },
  };
  for (let seed = 20; seed <= 60; seed++) await new World(seed, { profile }).run();
});

// The world of seed 3505: few keys, copies all the time, answers that come later than clients wait.
// An end was repeated while a later copy of the key had begun, and completed it.
Deno.test("an end of a copy that is repeated does not end a later copy", async () => {
  const { profile } = new World(3505);
  for (const numbersWrites of [true, false]) {
    for (const seed of [9, 28, 39, 59, 60, 72, 77, 82, 88, 3505]) {
      await new World(seed, { profile: { ...profile, numbersWrites } }).run();
    }
  }
});

// Goal: at most one member leads, no acknowledged group is lost, and who does not hold the index never
// leads. Method: members on a simulated engine and a clock that the test moves.
import assert from "node:assert/strict";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import { MemoryCluster } from "../../tests/support/memory_cluster.ts";
import { GROUP_HEADER_BYTES, sealGroup } from "../journal/group_format.ts";
import { type CheckpointMark, EngineError, type LogGroup } from "./fact_log.ts";
import type { Copy } from "./local_copy.ts";
import { Member } from "./member.ts";
import type { MemberStatus } from "./member_status.ts";

const LEASE_MS = 2000;

function groupOf(sequence: number, payload: string): LogGroup {
  const text = new TextEncoder().encode(payload);
  const bytes = new Uint8Array(GROUP_HEADER_BYTES + text.length);
  bytes.set(text, GROUP_HEADER_BYTES);
  sealGroup(bytes, sequence);
  return { sequence, bytes };
}

/** Files that are an array; the digest of a checkpoint is a sum over what they hold. */
class MemoryCopy implements Copy {
  readonly groups: string[] = [];
  checkpoint: CheckpointMark | null = null;
  trouble: string | null = null;
  isFull = false;
  tailBytes = 0;

  get sequence(): number {
    return this.groups.length;
  }

  get lastGroup(): Uint8Array | null {
    const { length } = this.groups;
    if (length === 0 || this.checkpoint?.sequence === length) return null;
    return groupOf(length, this.groups[length - 1]).bytes;
  }

  get checkpointSequence(): number {
    return this.checkpoint?.sequence ?? 0;
  }

  append({ sequence, bytes }: LogGroup): void {
    assert.equal(sequence, this.groups.length + 1);
    this.groups.push(new TextDecoder().decode(bytes.subarray(GROUP_HEADER_BYTES)));
    this.tailBytes += bytes.length;
  }

  tick(): void {}

  fold(sequence: number): Promise<CheckpointMark> {
    const text = this.groups.slice(0, sequence).join();
    let digest = 0;
    for (const letter of text) digest = (digest * 31 + letter.charCodeAt(0)) >>> 0;
    this.checkpoint = { sequence, bytes: text.length, digest };
    this.tailBytes = 0;
    return Promise.resolve(this.checkpoint);
  }

  close(): void {}
}

/** One master without a core. */
class Seat {
  readonly copy = new MemoryCopy();
  readonly applied: string[] = [];
  readonly kept: number[] = [];
  readonly refusals: (string | null)[] = [];
  logId: string | null = null;
  epoch: number | null = null;
  validUntilMs = -Infinity;
  over: string | null = null;
  fatal: string | null = null;
  status!: MemberStatus;
  member!: Member;

  constructor(readonly world: World, readonly name: string) {
    this.begin();
  }

  get leads(): boolean {
    return this.epoch !== null && this.over === null && this.validUntilMs > this.world.clock.now();
  }

  /** Starts, or starts anew from the files. */
  begin(): void {
    this.epoch = this.over = null;
    this.validUntilMs = -Infinity;
    const { clock, cluster } = this.world;
    const { elector, log } = cluster.engines(this.name);
    const campaign = elector.campaign.bind(elector);
    elector.campaign = async (address) => {
      const candidacy = await campaign(address);
      if (candidacy.won) await this.world.newsOfVictory;
      return candidacy;
    };
    this.member = new Member({
      ...{ elector, log },
      ...{ copy: this.copy, timers: clock, leaseMs: LEASE_MS, logBytes: this.world.logBytes },
      ...{ logId: this.logId, keepLogId: (id) => this.logId = id, newId: () => `log-${this.name}` },
      self: { id: this.name, rpc: `${this.name}:1`, admin: `${this.name}:2` },
      core: {
        groups: (groups) => this.applied.push(...groups.map(({ sequence }) => `g${sequence}`)),
        promoted: (epoch, _sequence, untilMs) => {
          this.epoch = epoch;
          this.validUntilMs = Math.max(this.validUntilMs, untilMs);
        },
        valid: (untilMs) => this.validUntilMs = untilMs,
        acknowledged: (sequence) => this.kept.push(sequence),
        refused: (why) => {
          if (why !== (this.refusals.at(-1) ?? null)) this.refusals.push(why);
        },
        over: (why) => this.over = why,
        fatal: (why) => this.fatal = why,
        status: (status) => this.status = status,
      },
      fetch: (members, id, base) => {
        const source = this.world.seats.get(members[0].id)!;
        const { checkpoint } = source.copy;
        if (checkpoint === null || checkpoint.sequence < base) {
          return Promise.reject(new EngineError("there is no checkpoint"));
        }
        this.copy.groups.splice(0, Infinity, ...source.copy.groups.slice(0, checkpoint.sequence));
        this.copy.checkpoint = checkpoint;
        this.logId = id;
        return Promise.resolve();
      },
      info: () => {},
      warn: () => {},
    });
    this.member.start();
  }

  /** Ends as a master does: its core first. */
  async stop(): Promise<void> {
    this.epoch = null;
    await this.member.stop();
  }

  /** Tells a group as a core does. */
  tell(payload: string): void {
    this.member.append(groupOf(this.copy.sequence + 1, payload));
  }
}

class World {
  readonly clock = new FakeClock();
  readonly cluster = new MemoryCluster(this.clock, LEASE_MS);
  readonly seats = new Map<string, Seat>();
  logBytes = 1e9;
  /** Holds up the news of an election that was won. */
  newsOfVictory: Promise<void> | null = null;

  add(name: string): Seat {
    const seat = new Seat(this, name);
    this.seats.set(name, seat);
    return seat;
  }

  /** Moves the time on and looks at every step that no two masters lead. */
  async run(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.clock.advance(50);
      const leaders = Array.from(this.seats.values()).filter((seat) => seat.leads);
      assert(leaders.length <= 1, `${leaders.map(({ name }) => name)} lead at once`);
    }
  }
}

async function twoMasters(world = new World()) {
  const a = world.add("a");
  await world.run(1500);
  const b = world.add("b");
  await world.run(2500);
  assert(a.leads && !b.leads);
  return { world, a, b };
}

Deno.test("the first master creates the log and leads; another one follows it", async () => {
  const { world, a, b } = await twoMasters();
  a.tell("x");
  await world.run(100);
  a.tell("y");
  await world.run(100);
  assert.deepEqual([a.kept, b.applied, b.copy.groups], [[1, 2], ["g1", "g2"], ["x", "y"]]);
  assert.deepEqual([a.logId, b.logId], ["log-a", "log-a"]);
  assert.deepEqual(b.status.obstacles, []);
  assert.equal(b.status.leaderAddress, "a:1");
});

Deno.test("a master that joins while the engine is slow follows the log once", async () => {
  const { world, a } = await twoMasters();
  const slow = Promise.withResolvers<void>();
  const c = world.add("c");
  world.cluster.slow = slow.promise;
  await world.run(1500);
  world.cluster.slow = Promise.resolve();
  slow.resolve();
  await world.run(1500);
  a.tell("x");
  await world.run(100);
  assert.deepEqual([c.over, c.copy.groups, world.cluster.followers.size], [null, ["x"], 2]);
});

Deno.test("a leader that cannot reach the engine ends before another one begins", async () => {
  const { world, a, b } = await twoMasters();
  a.tell("x");
  await world.run(100);
  world.cluster.cutOff.add("a");
  a.tell("lost");
  await world.run(4000);
  assert.match(a.over!, /its lease could not be renewed/);
  assert(b.leads);
  assert.deepEqual([a.kept, b.copy.groups], [[1], ["x"]]);
  b.tell("z");
  world.cluster.cutOff.clear();
  a.begin();
  await world.run(3000);
  assert.deepEqual(a.copy.groups, ["x", "z"]);
  assert.equal(a.status.obstacles.length, 0);
});

Deno.test("groups behind a gap are dropped by the next leader, those before it kept", async () => {
  const { world, a, b } = await twoMasters();
  a.tell("x");
  await world.run(100);
  const { log } = world.cluster;
  log.set(2, groupOf(2, "kept").bytes);
  log.set(4, groupOf(4, "behind a gap").bytes);
  await a.stop();
  await world.run(1000);
  assert(b.leads);
  assert.deepEqual(b.copy.groups, ["x", "kept"]);
  b.tell("z");
  await world.run(100);
  assert.deepEqual([...log.keys()], [1, 2, 3]);
});

Deno.test("a leader that stops is followed at once", async () => {
  const { world, a, b } = await twoMasters();
  await a.stop();
  await world.run(300);
  assert(b.leads);
});

Deno.test("the log is let go of behind checkpoints; a late master takes one and never leads before", async () => {
  const world = new World();
  world.logBytes = 50;
  const { a, b } = await twoMasters(world);
  for (let i = 0; i < 6; i++) {
    a.tell(`payload ${i}`);
    await world.run(1000);
  }
  assert(world.cluster.head!.base > 2);
  assert.equal(b.status.checked?.same, true);
  const late = world.add("c");
  await world.run(500);
  assert.match(late.status.obstacles[0], /it needs a checkpoint/);
  await world.run(2500);
  assert.equal(late.over, "it has taken a checkpoint");
  late.begin();
  await world.run(3000);
  assert.deepEqual(late.copy.groups, a.copy.groups);
});

Deno.test("a standby whose checkpoint differs takes the leader's", async () => {
  const world = new World();
  world.logBytes = 50;
  const { a, b } = await twoMasters(world);
  a.tell("a long enough payload");
  await world.run(100);
  b.copy.groups[0] = "corrupted on the disk";
  a.tell("another payload of some length");
  await world.run(6000);
  assert.equal(b.over, "it has taken a checkpoint");
  assert.deepEqual(b.copy.groups.slice(0, 2), a.copy.groups.slice(0, 2));
});

Deno.test("a master with more than the log, or with another log, does not lead", async () => {
  const { world, a, b } = await twoMasters();
  a.tell("x");
  await world.run(100);
  await a.stop();
  await b.stop();
  world.cluster.log.clear();
  a.begin();
  await world.run(3000);
  assert(!a.leads);
  assert.match(a.status.obstacles[0], /the log ends before group 1, which this master has/);
  const stranger = world.add("s");
  stranger.logId = "log-of-another-cluster";
  await stranger.member.stop();
  stranger.begin();
  await world.run(1500);
  assert.match(stranger.fatal!, /it holds a copy of log log-of-another-cluster/);
});

Deno.test("a master whose last group is another one in the log takes a checkpoint", async () => {
  const { world, a, b } = await twoMasters();
  a.tell("short");
  await world.run(100);
  await b.stop();
  b.copy.groups[0] = "other";
  a.tell("another");
  await world.run(2500);
  b.begin();
  await world.run(500);
  assert.match(b.status.obstacles[0], /^group 1 is another one in the log/);
  await world.run(4000);
  assert.equal(b.over, "it has taken a checkpoint");
  assert.deepEqual(b.copy.groups.slice(0, 2), a.copy.groups.slice(0, 2));
});

Deno.test("what a lone master held becomes the cluster's when it is the first", async () => {
  const world = new World();
  const first = world.add("a");
  await first.member.stop();
  first.copy.groups.push("one", "two");
  first.begin();
  await world.run(2000);
  assert(first.leads);
  assert.deepEqual(world.cluster.head, { id: "log-a", base: 2 });
  assert.equal(first.copy.checkpoint?.sequence, 2);
  const second = world.add("b");
  await world.run(2500);
  assert.equal(second.over, "it has taken a checkpoint");
  second.begin();
  await world.run(2000);
  assert.deepEqual(second.copy.groups, ["one", "two"]);
});

Deno.test("an engine that is full is told, and so is its relief", async () => {
  const { world, a } = await twoMasters();
  world.cluster.full = "full";
  a.tell("x");
  await world.run(1000);
  assert.deepEqual(a.refusals, ["full"]);
  world.cluster.full = null;
  await world.run(1000);
  assert.deepEqual([a.refusals, a.kept], [["full", null], [1]]);
});

Deno.test("a disk of the leader that takes nothing for long is told, and so is its relief", async () => {
  const { world, a } = await twoMasters();
  a.copy.trouble = "no space left";
  a.tell("x");
  await world.run(1000);
  assert.deepEqual([a.refusals, a.kept], [[], [1]], "the log has it: nobody has to wait");
  a.copy.isFull = true;
  await world.run(1500);
  assert.deepEqual(a.refusals, ["the data directory takes nothing: no space left"]);
  a.copy.isFull = false;
  await world.run(1500);
  assert.equal(a.refusals.at(-1), null);
});

Deno.test("a standby whose checkpoint is found to differ while it is elected does not lead", async () => {
  const world = new World();
  world.logBytes = 50;
  const { a, b } = await twoMasters(world);
  const folded = Promise.withResolvers<void>();
  const news = Promise.withResolvers<void>();
  const fold = b.copy.fold.bind(b.copy);
  b.copy.fold = async (sequence) => {
    await folded.promise;
    return fold(sequence);
  };
  a.tell("a long enough payload");
  await world.run(100);
  b.copy.groups[0] = "corrupted on the disk";
  a.tell("another payload of some length");
  await world.run(2500);
  world.newsOfVictory = news.promise;
  world.cluster.cutOff.add("a");
  await world.run(2500);
  const { living } = world.cluster;
  assert.equal(living?.address, "b:1", "the engine has elected it");
  folded.resolve();
  await world.run(100);
  assert.match(b.status.obstacles[0], /^its checkpoint of group \d+ differs/);
  news.resolve();
  await world.run(100);
  assert.equal(world.cluster.leader, null, "it has given the epoch back");
  assert.equal(b.epoch, null);
  assert.equal(b.over, null);
});

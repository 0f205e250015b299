// Goal: every engine elects one leader at a time and keeps its log. Method: one suite for the engine in
// memory that simulations use, etcd and Redis; two masters' connections to each.
import assert from "node:assert/strict";
import type { Elector } from "../../master/ha/elector.ts";
import { openEngines } from "../../master/ha/engines.ts";
import {
  EngineError,
  type FactLog,
  FencedError,
  type LogGroup,
  LogRefusal,
} from "../../master/ha/fact_log.ts";
import type { EngineConfig, HaConfig } from "../../master/ha/ha_config.ts";
import { threadTimers } from "../../master/ha/timers.ts";
import { EngineServer, etcdAbsent, redisAbsent } from "../support/engine_servers.ts";
import { type EngineManner, MemoryCluster } from "../support/memory_cluster.ts";
import { until } from "../support/until.ts";

const LEASE_MS = 2000;

interface Connection {
  elector: Elector;
  log: FactLog;
}

/** An engine of a kind, from nothing, and connections to it. */
interface EngineKind {
  name: string;
  missing: string | null;
  /** Whether groups may be appended in any order. */
  disorder: boolean;
  start(): Promise<{ connect: (name: string) => Promise<Connection>; stop(): Promise<void> }>;
}

function configOf(kind: "etcd" | "redis", endpoint: string): HaConfig {
  const engine: EngineConfig = {
    ...{ kind, endpoints: [endpoint], tls: null, user: "", passwordFile: "" },
  };
  return {
    ...{ elector: engine, log: engine, leaseMs: LEASE_MS, logBytes: 1 << 20, compact: true },
    ...{ namespace: "default", identity: "" },
  };
}

function serverKind(kind: "etcd" | "redis", missing: string | null): EngineKind {
  return {
    ...{ name: kind, missing, disorder: kind === "etcd" },
    async start() {
      const server = await EngineServer[kind]();
      const endpoint = kind === "etcd" ? server.address : `redis://${server.address}`;
      return {
        connect: () => openEngines(configOf(kind, endpoint), "c", () => {}),
        stop: () => server[Symbol.asyncDispose](),
      };
    },
  };
}

function memoryKind(manner: EngineManner): EngineKind {
  return {
    ...{ name: `memory as ${manner}`, missing: null, disorder: manner === "etcd" },
    start() {
      const cluster = new MemoryCluster(threadTimers, LEASE_MS, manner);
      return Promise.resolve({
        connect: (name) => Promise.resolve(cluster.engines(name)),
        stop: () => Promise.resolve(),
      });
    },
  };
}

const kinds: EngineKind[] = [
  memoryKind("etcd"),
  memoryKind("redis"),
  serverKind("etcd", etcdAbsent),
  serverKind("redis", redisAbsent),
];

function groupOf(sequence: number, bytes = 10): LogGroup {
  return { sequence, bytes: new Uint8Array(bytes).fill(sequence) };
}

async function elected({ elector }: Connection, address: string) {
  const candidacy = await elector.campaign(address);
  assert(candidacy.won);
  return candidacy;
}

/** Every group behind `after`. */
async function readAll(log: FactLog, after: number): Promise<LogGroup[]> {
  const all: LogGroup[] = [];
  for (;;) {
    const some = await log.read(after + all.length);
    if (some === null || some.length === 0) return all;
    all.push(...some);
  }
}

/** Collects what a log grows by. */
class Follower {
  readonly seen: number[] = [];
  gone = false;
  readonly stop: () => void;

  constructor(log: FactLog, after: number) {
    this.stop = log.follow(after, {
      groups: (groups) => {
        for (const { sequence, bytes } of groups) {
          assert.equal(bytes[0], sequence % 256);
          this.seen.push(sequence);
        }
      },
      trimmed: () => this.gone = true,
      trouble: () => {},
    });
  }
}

async function electsOne(a: Connection, b: Connection): Promise<void> {
  const first = await elected(a, "a:1");
  const second = await b.elector.campaign("b:1");
  assert.deepEqual(second, { won: false, leader: { address: "a:1", epoch: first.epoch } });
  assert((await a.elector.renew(first.epoch))! >= first.validUntilMs);
  assert.equal(await b.elector.renew(first.epoch + 1), null, "nobody has that epoch");
  await a.elector.resign(first.epoch);
  assert.equal(await a.elector.renew(first.epoch), null);
  const third = await elected(b, "b:1");
  assert(third.epoch > first.epoch);
  await a.elector.resign(first.epoch);
  assert.equal(typeof await b.elector.renew(third.epoch), "number", "an epoch ends only itself");
  await b.elector.resign(third.epoch);
}

async function replacesSilent(a: Connection, b: Connection): Promise<void> {
  const first = await elected(a, "a:1");
  await a.log.take(first.epoch, { id: "log", base: 0 }, 0);
  await a.log.append(first.epoch, groupOf(1));
  let next = await b.elector.campaign("b:1");
  await until(async () => (next = await b.elector.campaign("b:1")).won);
  assert(performance.now() >= first.validUntilMs, "never before the first one's time is over");
  assert(next.won);
  await b.log.take(next.epoch, { id: "other", base: 0 }, 0);
  await assert.rejects(a.log.append(first.epoch, groupOf(2)), FencedError);
  await assert.rejects(a.log.trim(first.epoch, 1), FencedError);
  assert.equal(await a.elector.renew(first.epoch), null);
  assert.deepEqual((await readAll(b.log, 0)).map(({ sequence }) => sequence), [1]);
  await b.elector.resign(next.epoch);
}

async function keepsGroups(a: Connection, b: Connection, disorder: boolean): Promise<void> {
  const { epoch } = await elected(a, "a:1");
  const head = await a.log.take(epoch, { id: "log", base: 0 }, 0);
  const follower = new Follower(b.log, 0);
  const groups = Array.from({ length: 60 }, (_, i) => groupOf(i + 1, i === 30 ? 3 << 20 : 2000));
  await Promise.all(groups.map((group) => a.log.append(epoch, group)));
  await a.log.append(epoch, groups[5]);
  await until(() => follower.seen.length >= 60);
  assert.deepEqual(follower.seen, groups.map(({ sequence }) => sequence));
  const read = await readAll(b.log, 0);
  assert.equal(read.length, 60);
  assert.deepEqual(read[30].bytes, groups[30].bytes, "also a long one");
  assert.deepEqual([await b.log.has(60), await b.log.has(61)], [true, false]);
  if (disorder) await a.log.append(epoch, groupOf(62));
  else await assert.rejects(a.log.append(epoch, groupOf(62)), EngineError);
  assert.deepEqual(await b.log.read(60), [], "nothing behind a gap");
  await a.log.append(epoch, groupOf(61));
  await until(() => follower.seen.length >= (disorder ? 62 : 61));
  follower.stop();
  await a.elector.resign(epoch);
  const next = await elected(b, "b:1");
  await assert.rejects(b.log.take(next.epoch, head, 99), LogRefusal);
  await b.elector.resign(next.epoch);
}

async function letsGo(a: Connection, b: Connection): Promise<void> {
  const { epoch } = await elected(a, "a:1");
  await a.log.take(epoch, { id: "log", base: 5 }, 5);
  for (let i = 6; i <= 20; i++) await a.log.append(epoch, groupOf(i));
  await a.log.trim(epoch, 12);
  await a.log.trim(epoch, 8);
  assert.deepEqual(await b.log.head(), { id: "log", base: 12 });
  assert.equal(await b.log.read(11), null);
  const late = new Follower(b.log, 11);
  const present = new Follower(b.log, 12);
  await until(() => late.gone && present.seen.length === 8);
  assert.deepEqual(late.seen, []);
  await a.log.append(epoch, groupOf(21));
  await until(() => present.seen.includes(21));
  late.stop();
  present.stop();
  await a.log.trim(epoch, 21);
  await a.log.append(epoch, groupOf(22));
  assert.deepEqual((await readAll(b.log, 21)).map(({ sequence }) => sequence), [22]);
  await a.elector.resign(epoch);
}

async function tellsMembers(a: Connection, b: Connection): Promise<void> {
  const record = (id: string) => ({
    ...{ id, rpc: `${id}:1`, admin: `${id}:2`, role: "standby" as const, sequence: 3 },
    ...{ checkpoint: { sequence: 2, bytes: 100, digest: 2 ** 51 }, late: false },
  });
  await a.log.announce(record("a"), 5000);
  await b.log.announce(record("b"), 5000);
  await b.log.announce(record("b"), 5000);
  const members = (await a.log.members()).sort((x, y) => x.id < y.id ? -1 : 1);
  assert.deepEqual(members, [record("a"), record("b")]);
}

for (const kind of kinds) {
  const skipped = kind.missing === null ? "" : ` (skipped: ${kind.missing})`;
  const steps: [string, (a: Connection, b: Connection) => Promise<void>][] = [
    ["elects one leader at a time", electsOne],
    ["replaces a leader that says nothing, and fences it", replacesSilent],
    ["keeps groups in order and hands them out", (a, b) => keepsGroups(a, b, kind.disorder)],
    ["lets go of groups", letsGo],
    ["tells the masters of each other", tellsMembers],
  ];
  Deno.test({
    name: `engine ${kind.name}${skipped}`,
    ignore: kind.missing !== null,
    async fn(t) {
      for (const [name, run] of steps) {
        await t.step(name, async () => {
          const engine = await kind.start();
          const connections: Connection[] = [];
          try {
            for (const who of ["a", "b"]) {
              const connection = await engine.connect(who);
              connections.push(connection);
              // The first call may come before there is a connection.
              await until(() => connection.log.head().then(() => true, () => false));
            }
            await run(connections[0], connections[1]);
          } finally {
            for (const { elector, log } of connections) {
              await Promise.all([elector.close(), log.close()]);
            }
            await engine.stop();
          }
        });
      }
    },
  });
}

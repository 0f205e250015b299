import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { TaskStatus } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { Counter } from "./counters.ts";
import { randomBelow, SeededRng } from "./rng.ts";

interface Payload {
  key: string;
  source: string;
  targets: string[];
  leaseId: string;
  versionEpoch: number;
}

function readPayload(text: string): Payload {
  const half = (name: string) => new RegExp(`"dynamic_replication_${name}":(\\d+)`).exec(text)![1];
  const { key, source, targets } = JSON.parse(text);
  const leaseId = `${half("lease_id_high")}-${half("lease_id_low")}`;
  return { key, source, targets, leaseId, versionEpoch: Number(half("version_epoch")) };
}

/** Nodes that do what they are asked, and readers that take an object's replicas in turn. */
class Nodes extends CoreDriver {
  readonly reads = new Map<string, number>();
  #turn = 0;

  constructor(readonly count: number, changes: Partial<CoreConfig> = {}, bytes = MIB) {
    super({ replicationMode: "enforce", ...changes });
    for (let i = 1; i <= count; i++) this.mount(i, bytes, { client: i, host: `host-${i}` });
    // Segments that have just joined get fewer objects than others.
    this.pass(11_000, this.clients);
  }

  get clients(): number[] {
    return Array.from({ length: this.count }, (_, i) => i + 1);
  }

  homes(key: string): string[] {
    if (this.get(key) !== ErrorCode.OK) return [];
    const { segments } = this.core;
    return this.sink.replicas.map(({ segment }) => segments.view(segment).segment.name);
  }

  read(key: string): void {
    const homes = this.homes(key);
    assert.notEqual(homes.length, 0, key);
    const home = homes[this.#turn++ % homes.length];
    this.reads.set(home, (this.reads.get(home) ?? 0) + 1);
  }

  begin(client: number, { key, source, targets, leaseId }: Payload) {
    const { movement } = this.core;
    const who = clientId(client);
    return movement.copyStart(who, 0, bytesOf(key), source, targets, leaseId, this.nowMs);
  }

  finish(client: number, { key, leaseId, versionEpoch }: Payload): number {
    const { movement } = this.core;
    return movement.copyEnd(clientId(client), 0, bytesOf(key), leaseId, versionEpoch, this.nowMs);
  }

  /** Takes what is ordered. */
  fetch(): { client: number; id: string; payload: Payload }[] {
    return this.clients.flatMap((client) =>
      this.core.movement.fetchTasks(clientId(client), 100, this.nowMs)
        .map(({ id, payload }) => ({ client, id, payload: readPayload(payload) }))
    );
  }

  report(client: number, id: string, status: TaskStatus): void {
    const request = { id, status, message: "" };
    this.ok(this.core.movement.markTaskToComplete(clientId(client), request, this.nowMs));
  }

  /** Does what is ordered. */
  work(): void {
    for (const { client, id, payload } of this.fetch()) {
      const begun = this.begin(client, payload).code === ErrorCode.OK;
      const done = begun && this.finish(client, payload) === ErrorCode.OK;
      this.report(client, id, done ? TaskStatus.SUCCESS : TaskStatus.FAILED);
    }
  }

  /** Reads a key 20 times a second for a while. */
  heat(key: string, ms: number): void {
    for (const stop = this.nowMs + ms; this.nowMs < stop;) {
      this.read(key);
      this.read(key);
      this.pass(100, this.clients);
      this.work();
    }
  }

  counter(counter: Counter): number {
    return this.core.counters.get(counter);
  }
}

Deno.test("an object that is read a lot gets a replica on another node within two seconds", () => {
  const nodes = new Nodes(3);
  nodes.put("hot", 1000, { preferredSegment: "segment-1" });
  nodes.put("cold", 1000, { preferredSegment: "segment-1" });
  nodes.read("cold");
  nodes.heat("hot", 2000);
  assert.equal(new Set(nodes.homes("hot")).size, 2);
  assert.deepEqual(nodes.homes("cold"), ["segment-1"]);
  assert.equal(nodes.counter(Counter.HOT_ADDED), 1);
  assert.equal(nodes.counter(Counter.HOT_BYTES), 1000);
  nodes.heat("hot", 5000);
  assert.equal(nodes.homes("hot").length, 2, "no more than the limit");
  checkCore(nodes.core.state);
});

Deno.test("off does nothing, and observe only says what it would do", () => {
  for (const replicationMode of ["off", "observe"] as const) {
    const nodes = new Nodes(2, { replicationMode });
    nodes.put("hot", 1000);
    nodes.heat("hot", 3000);
    assert.equal(nodes.homes("hot").length, 1);
    const observed = replicationMode === "observe" ? 1 : 0;
    assert.equal(nodes.counter(Counter.HOT_OBSERVED), observed);
    const { decisions } = nodes.core.inspection.replication();
    assert.deepEqual(decisions.map(({ what }) => what), observed === 1 ? ["would_add"] : []);
  }
});

Deno.test("an object that cools down loses the further replica, whose memory waits for its readers", () => {
  const nodes = new Nodes(2);
  nodes.put("hot", 1000);
  nodes.heat("hot", 2000);
  assert.equal(nodes.homes("hot").length, 2);
  nodes.read("hot");
  nodes.pass(60_000, nodes.clients);
  assert.equal(nodes.homes("hot").length, 1);
  assert.equal(nodes.counter(Counter.HOT_REMOVED), 1);
  assert.deepEqual([nodes.counter(Counter.HOT_COPIES), nodes.counter(Counter.HOT_BYTES)], [0, 0]);
  checkCore(nodes.core.state);
});

Deno.test("turning it off takes the further replicas away", () => {
  const nodes = new Nodes(2);
  nodes.put("hot", 1000);
  nodes.heat("hot", 2000);
  const { config } = nodes.core.state;
  nodes.core.reconfigure({ ...config, replicationMode: "off" }, 0);
  nodes.pass(3000, nodes.clients);
  assert.equal(nodes.homes("hot").length, 1);
  nodes.pass(20_000, nodes.clients);
  assert.equal(nodes.counter(Counter.HELD_BYTES), 0);
});

Deno.test("further replicas go before anything is evicted", () => {
  const nodes = new Nodes(2, { replicationMaxShare: 0.5, defaultKvLeaseTtlMs: 500 }, 64 * 1024);
  nodes.put("hot", 16 * 1024, { preferredSegment: "segment-1" });
  nodes.heat("hot", 1000);
  assert.equal(nodes.homes("hot").length, 2);
  nodes.put("a", 48 * 1024, { preferredSegment: "segment-1" });
  nodes.put("b", 40 * 1024, { preferredSegment: "segment-2" });
  nodes.nowMs += 600;
  assertCode(nodes.start("c", 12 * 1024), ErrorCode.OK);
  nodes.ok(nodes.end("c"));
  assert.equal(nodes.counter(Counter.EVICTED_KEYS), 0);
  assert.equal(nodes.homes("hot").length, 1);
  checkCore(nodes.core.state);
});

Deno.test("what somebody asks for goes before a copy that is under way", () => {
  const started = () => {
    const nodes = new Nodes(3);
    nodes.put("hot", 1000, { preferredSegment: "segment-1" });
    for (let i = 0; i < 20; i++) nodes.read("hot");
    nodes.pass(200, nodes.clients);
    const [task] = nodes.fetch();
    nodes.ok(nodes.begin(task.client, task.payload).code);
    return { nodes, ...task };
  };
  const { nodes, client, payload } = started();
  const target = payload.targets[0];
  const explicit = { ...payload, leaseId: "0-0", versionEpoch: 0 };
  nodes.ok(nodes.begin(client, explicit).code);
  assertCode(nodes.finish(client, payload), ErrorCode.INVALID_VERSION);
  nodes.ok(nodes.finish(client, explicit));
  assert.deepEqual(nodes.homes("hot").sort(), ["segment-1", target]);
  const held = nodes.core.inspection.segmentDetails().map(({ heldBytes }) => heldBytes);
  assert.equal(
    held.reduce((sum, bytes) => sum + bytes),
    1024,
    "the late copy may still be written",
  );
  checkCore(nodes.core.state);

  const removed = started();
  removed.nodes.ok(removed.nodes.remove("hot", true));
  assertCode(removed.nodes.finish(removed.client, removed.payload), ErrorCode.OBJECT_NOT_FOUND);
  checkCore(removed.nodes.core.state);

  const replaced = started();
  replaced.nodes.ok(replaced.nodes.start("hot", 2000, { upsert: true }));
  const code = replaced.nodes.finish(replaced.client, replaced.payload);
  assertCode(code, ErrorCode.OBJECT_NO_REPLICATION_TASK);
  replaced.nodes.ok(replaced.nodes.end("hot"));
  assert.equal(replaced.nodes.homes("hot").length, 1);
  checkCore(replaced.nodes.core.state);
});

Deno.test("an object whose source is gone goes with the copy that gives way", () => {
  const started = () => {
    const nodes = new Nodes(3);
    const [{ segment }] = nodes.put("hot", 1000, { preferredSegment: "segment-1" });
    for (let i = 0; i < 20; i++) nodes.read("hot");
    nodes.pass(200, nodes.clients);
    const [{ client, payload }] = nodes.fetch();
    nodes.ok(nodes.begin(client, payload).code);
    const { id } = nodes.core.segments.view(segment).segment;
    nodes.ok(nodes.core.cluster.unmountSegment(id, clientId(1), nodes.nowMs));
    nodes.pass(200, nodes.clients);
    assert.equal(nodes.core.keyCount, 1, "the unfinished copy is all that is left");
    return { nodes, explicit: { ...payload, leaseId: "0-0", versionEpoch: 0 } };
  };
  const upsert = started();
  upsert.nodes.ok(upsert.nodes.start("hot", 2000, { upsert: true }));
  assert.equal(upsert.nodes.sink.replicas.length, 1);
  upsert.nodes.ok(upsert.nodes.end("hot"));
  upsert.nodes.put("another", 100);
  assert.equal(upsert.nodes.core.keyCount, 2);
  checkCore(upsert.nodes.core.state);

  const remove = started();
  remove.nodes.ok(remove.nodes.remove("hot", true));
  assert.equal(remove.nodes.core.keyCount, 0);
  checkCore(remove.nodes.core.state);

  const copy = started();
  assertCode(copy.nodes.begin(2, copy.explicit).code, ErrorCode.OBJECT_NOT_FOUND);
  assert.equal(copy.nodes.core.keyCount, 0);
  checkCore(copy.nodes.core.state);
});

Deno.test("a further replica that somebody asks for stays", () => {
  const nodes = new Nodes(2);
  nodes.put("hot", 1000, { preferredSegment: "segment-1" });
  nodes.heat("hot", 2000);
  const { movement } = nodes.core;
  nodes.ok(movement.createCopyTask(0, bytesOf("hot"), ["segment-2"], nodes.nowMs).code);
  nodes.work();
  nodes.pass(60_000, nodes.clients);
  assert.deepEqual(nodes.homes("hot"), ["segment-1", "segment-2"]);
  assert.equal(nodes.counter(Counter.HOT_COPIES), 0);
});

Deno.test("a copy is never ordered from a replica that is only being made", () => {
  for (let i = 0; i < 8; i++) {
    const nodes = new Nodes(3);
    nodes.put("hot", 1000, { preferredSegment: "segment-1" });
    for (let i = 0; i < 20; i++) nodes.read("hot");
    nodes.pass(200 + 100 * i, nodes.clients);
    const [{ client, payload }] = nodes.fetch();
    nodes.ok(nodes.begin(client, payload).code);
    const { movement } = nodes.core;
    const targets = ["segment-2", "segment-3"];
    nodes.ok(movement.createCopyTask(0, bytesOf("hot"), targets, nodes.nowMs).code);
    const [task] = nodes.fetch();
    assert.equal(task.payload.source, "segment-1");
    nodes.ok(nodes.begin(task.client, task.payload).code);
    nodes.ok(nodes.finish(task.client, task.payload));
    assert.equal(nodes.homes("hot").length, 3);
  }
});

Deno.test("an order that nobody fetches, or of a value that was replaced, comes to nothing", () => {
  const nodes = new Nodes(2);
  nodes.put("hot", 1000);
  for (let i = 0; i < 20; i++) nodes.read("hot");
  nodes.pass(200, nodes.clients);
  const [{ client, id, payload }] = nodes.fetch();
  nodes.ok(nodes.start("hot", 1000, { upsert: true }));
  nodes.ok(nodes.end("hot"));
  const other = { ...payload, targets: [payload.source] };
  assertCode(nodes.begin(client, other).code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  assertCode(nodes.begin(client, payload).code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  nodes.report(client, id, TaskStatus.FAILED);
  nodes.pass(200, nodes.clients);
  assert.equal(nodes.counter(Counter.HOT_FAILED), 1);
  assert.equal(nodes.core.inspection.replication().orders, 0);
});

/** The node that is read most by how much it exceeds the mean, for reads of a Zipf distribution. */
function imbalance(replicationMode: "off" | "enforce"): number {
  const KEYS = 400;
  const nodes = new Nodes(4, { replicationMode });
  const rng = new SeededRng(3);
  const shares = Array.from({ length: KEYS }, (_, i) => 1 / (i + 1) ** 1.1);
  const total = shares.reduce((sum, share) => sum + share);
  for (let i = 0; i < KEYS; i++) nodes.put(`k${i}`, 1000);
  const run = (seconds: number) => {
    for (let step = 0; step < seconds * 10; step++) {
      for (let i = 0; i < 40; i++) {
        let at = randomBelow(rng, 2 ** 32) / 2 ** 32 * total;
        let key = 0;
        while (key < KEYS - 1 && (at -= shares[key]) > 0) key++;
        nodes.read(`k${key}`);
      }
      nodes.pass(100, nodes.clients);
      nodes.work();
    }
  };
  run(15);
  nodes.reads.clear();
  run(15);
  checkCore(nodes.core.state);
  const loads = Array.from({ length: 4 }, (_, i) => nodes.reads.get(`segment-${i + 1}`) ?? 0);
  return Math.max(...loads) / (loads.reduce((sum, load) => sum + load) / 4);
}

Deno.test("reads of few hot keys among many spread more evenly over the nodes", () => {
  const off = imbalance("off");
  const enforced = imbalance("enforce");
  assert.ok(enforced - 1 < (off - 1) / 2, `${off} and ${enforced}`);
});

Deno.test("extents and charges stay exact whatever befalls hot objects", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const rng = new SeededRng(seed);
    const below = (bound: number) => randomBelow(rng, bound);
    const nodes = new Nodes(
      3,
      {
        ...{ defaultKvLeaseTtlMs: 300, replicationMaxShare: 0.4, replicationMaxReplicas: 3 },
        ...{ replicationHeatWindowMs: 500, putStartDiscardTimeoutMs: 500 },
        putStartReleaseTimeoutMs: 3000,
      },
      32 * 1024,
    );
    const open: { client: number; id: string; payload: Payload }[] = [];
    for (let i = 0; i < 3000; i++) {
      const key = `k${below(12)}`;
      const what = below(20);
      if (what < 3) {
        if (nodes.start(key, 500 + below(6000), { upsert: what === 0 }) === 0) nodes.end(key);
      } else if (what === 3) nodes.remove(key, below(2) === 0);
      else if (what === 4) nodes.start(key, 500);
      else if (what < 8) open.push(...nodes.fetch());
      else if (what < 10 && open.length > 0) {
        const [task] = open.splice(below(open.length), 1);
        if (nodes.begin(task.client, task.payload).code === 0 && below(3) > 0) {
          const code = nodes.finish(task.client, task.payload);
          nodes.report(task.client, task.id, code === 0 ? TaskStatus.SUCCESS : TaskStatus.FAILED);
        }
      } else if (what === 10) nodes.pass(below(400), nodes.clients);
      else if (what === 11 && below(20) === 0) {
        const modes = ["off", "observe", "enforce", "enforce"] as const;
        const { config } = nodes.core.state;
        nodes.core.reconfigure({ ...config, replicationMode: modes[below(4)] }, 0);
      } else nodes.homes(key);
      if (i % 20 === 0) checkCore(nodes.core.state);
    }
    assert.ok(nodes.counter(Counter.HOT_ADDED) > 0, `seed ${seed}`);
    nodes.core.reconfigure({ ...nodes.core.state.config, replicationMode: "off" }, 0);
    nodes.pass(20_000, nodes.clients);
    checkCore(nodes.core.state);
    assert.equal(nodes.counter(Counter.HOT_BYTES), 0);
    assert.equal(nodes.counter(Counter.HELD_BYTES), 0);
  }
});

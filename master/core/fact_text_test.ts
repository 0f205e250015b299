// Goal: every fact that a core tells can be shown, to its last byte, and says what it said.
// Method: the facts of random calls and of snapshots; a few by hand.
import assert from "node:assert/strict";
import { Chaos } from "../../tests/support/core_chaos.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { ReplicaType } from "../../proto/types.ts";
import { escapeBytes } from "./escape.ts";
import { FactReader } from "./fact_reader.ts";
import { type DescribedFact, describeFact, type FactName, factNames, Moment } from "./fact_text.ts";
import { FactKind, FactWriter } from "./facts.ts";
import { ObjectLink } from "./objects.ts";
import type { CoreState } from "./state.ts";

class Facts {
  readonly all: DescribedFact[] = [];

  append(bytes: Uint8Array, start: number, end: number): void {
    this.all.push(describeFact(new FactReader(bytes.slice(start, end), 0, end - start, 0)));
  }
}

/** Tells where each replica on a node's disk is: nodes change that seldom. */
function tellEndpoints(state: CoreState, facts: Facts): void {
  const { objects, replicas } = state;
  const writer = new FactWriter(facts, state);
  for (let slot = 1; slot < objects.limit; slot++) {
    if (!objects.has(slot)) continue;
    let replica = objects.link(slot, ObjectLink.REPLICA);
    for (; replica !== 0; replica = replicas.next(replica)) {
      if (replicas.kind(replica) !== ReplicaType.LOCAL_DISK) continue;
      writer.replicaEndpoint(slot, replica);
    }
  }
}

Deno.test("all facts of random calls and of snapshots are read to their ends", () => {
  const seen = new Set<FactName>();
  for (let seed = 1; seed <= 24; seed++) {
    const chaos = new Chaos(seed);
    const { core } = chaos.driver;
    const facts = new Facts();
    core.attachFacts(facts);
    for (let i = 0; i < 1500; i++) chaos.step();
    core.tellSnapshot(facts);
    tellEndpoints(core.state, facts);
    for (const { kind } of facts.all) seen.add(kind);
  }
  // Those that random calls do not bring about, from the writer itself.
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.put("key", 10);
  const { state } = driver.core;
  const facts = new Facts();
  const writer = new FactWriter(facts, state);
  writer.objectAdded(state.objects.find(0, new TextEncoder().encode("key"), 0, 3));
  writer.extentFenced(3, { start: 4, end: 9, window: 2, untilMs: 7 });
  writer.tableEntry(1, Uint8Array.of(1), Uint8Array.of(2, 3));
  writer.tableEntry(1, Uint8Array.of(1), null);
  writer.memoryPromised("node:1", 1n, 2n, 3, 4);
  writer.segmentUnmounted("1-1", "2-2");
  writer.task(FactKind.JOB_CHANGED, "{}");
  writer.task(FactKind.JOB_DROPPED, "{}");
  writer.segmentForgotten(3);
  writer.diskForgotten(3);
  for (const { kind } of facts.all) seen.add(kind);
  // Kinds from 40 on that random calls do not bring about are for the tests of those who added them.
  const unseen = factNames.filter((kind) => !seen.has(kind) && FactKind[kind] < 40);
  assert.deepEqual(unseen, []);
});

Deno.test("a fact says what it said", () => {
  const driver = new CoreDriver();
  const facts = new Facts();
  driver.core.attachFacts(facts);
  driver.mount(1, MIB);
  driver.put("a b%\u00e9", 100);
  const of = (kind: FactName) => facts.all.find((fact) => fact.kind === kind)!.fields;
  assert.equal(of("SEGMENT_MOUNTED").id, "1-1");
  assert.equal(of("SEGMENT_MOUNTED").size, MIB);
  const write = of("WRITE_STARTED");
  assert.equal(escapeBytes(write.key as Uint8Array), "a%20b%25%c3%a9");
  assert.deepEqual(write.start, new Moment(driver.nowMs + 1_700_000_000_000));
  assert.equal(write.size, 100);
  const [extent] = write.extents as { segment: number; offset: number; units: number }[];
  assert.deepEqual([extent.segment, extent.units], [0, 2]);
  assert.equal(of("WRITE_ENDED").replicas, "ALL");
});

Deno.test("a value of a small table, which may be a secret, is not shown", () => {
  const facts = new Facts();
  const writer = new FactWriter(facts, new CoreDriver().core.state);
  writer.tableEntry(1, Uint8Array.of(97), new TextEncoder().encode("hash of a key"));
  assert.deepEqual(facts.all[0].fields, { table: "KEY", entry: Uint8Array.of(97), bytes: 13 });
});

Deno.test("bytes that are no fact are refused", () => {
  const describe = (...bytes: number[]) =>
    describeFact(new FactReader(Uint8Array.from(bytes), 0, bytes.length, 0));
  assert.throws(() => describe(255), /kind 255 is unknown/);
  assert.throws(() => describe(FactKind.SEGMENT_KILLED, 1, 0), /4 bytes are missing/);
  assert.throws(
    () => describe(FactKind.SEGMENT_KILLED, 1, 0, 0, 0, 9),
    /a fact of kind SEGMENT_KILLED ends before its bytes do/,
  );
});

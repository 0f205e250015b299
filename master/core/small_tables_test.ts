import assert from "node:assert/strict";
import { bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { FactSink } from "./api.ts";
import { durableState } from "./digest.ts";
import { SmallTable, type TableChange } from "./small_tables.ts";
import { quotaValue } from "./table_mutations.ts";
import { NO_RULES, rulesValue } from "./tenant_rules.ts";

/** Keeps facts, and gives them to another core. */
class Facts implements FactSink {
  readonly all: Uint8Array[] = [];

  append(bytes: Uint8Array, start: number, end: number): void {
    this.all.push(bytes.slice(start, end));
  }

  replayed(): CoreDriver {
    const other = new CoreDriver({ enableMultiTenants: true });
    for (const fact of this.all) other.core.replay(fact);
    return other;
  }
}

function driver() {
  const t = new CoreDriver({ enableMultiTenants: true });
  const facts = new Facts();
  t.core.tables.view.shared = true;
  t.core.attachFacts(facts);
  return { ...t, core: t.core, facts };
}

function stateOf({ core }: Pick<CoreDriver, "core">): string[] {
  return Array.from(durableState(core.state)).sort();
}

Deno.test("entries and quotas are told as facts, and a checkpoint holds them", () => {
  const { core, facts } = driver();
  const { tables, tenants } = core;
  assert.equal(tenants.setQuota(bytesOf("a"), 7n), ErrorCode.OK);
  assert.equal(tenants.setQuota(bytesOf("a"), BigInt(MIB)), ErrorCode.OK);
  assert.equal(tenants.setQuota(bytesOf("b"), 5n), ErrorCode.OK);
  assert.equal(tenants.removeQuota(bytesOf("b")), ErrorCode.OK);
  const large = new Uint8Array(300_000).fill(7);
  tables.set(SmallTable.DOCUMENT, bytesOf("x"), large);
  tables.set(SmallTable.DOCUMENT, bytesOf("y"), new Uint8Array(0));
  tables.set(SmallTable.KEY, new Uint8Array([0, 255]), bytesOf("k"));
  tables.set(SmallTable.SETTING, bytesOf("gone"), bytesOf("1"));
  tables.set(SmallTable.SETTING, bytesOf("gone"), null);
  const told = facts.all.length;
  tables.set(SmallTable.DOCUMENT, bytesOf("x"), large.slice());
  tables.set(SmallTable.SETTING, bytesOf("never"), null);
  assert.equal(facts.all.length, told, "what changes nothing tells nothing");

  const snapshot = new Facts();
  core.tellSnapshot(snapshot);
  for (const other of [facts.replayed(), snapshot.replayed()]) {
    assert.deepEqual(stateOf(other), stateOf({ core }));
    const { tenants, tables } = other.core;
    assert.equal(tenants.use(bytesOf("a"))?.requested, BigInt(MIB));
    assert.equal(tenants.use(bytesOf("b")), null);
    assert.deepEqual(tables.view.get(SmallTable.DOCUMENT, bytesOf("x")), large);
    assert.equal(tables.view.get(SmallTable.DOCUMENT, bytesOf("y"))?.length, 0);
    assert.equal(tables.view.get(SmallTable.SETTING, bytesOf("gone")), null);
  }
  const other = new CoreDriver({ enableMultiTenants: true });
  assert.notDeepEqual(stateOf(other), stateOf({ core }), "the digest covers the tables");
});

Deno.test("rules of tenants are told as facts, once for each change, and end with their tenant", () => {
  const { core, facts } = driver();
  const { tables, tenants } = core;
  const [a, b] = [bytesOf("a"), bytesOf("b")];
  const rules = { models: ['m "ü\n', "unknown"], opsPerSecond: 3, bytesPerSecond: 2 ** 50 };
  for (const name of [a, b]) tenants.setQuota(name, 7n);
  assert.equal(tenants.setRules(a, rules), ErrorCode.OK);
  tenants.setRules(b, rules);
  const told = facts.all.length;
  tenants.setRules(a, rules);
  assert.equal(facts.all.length, told);
  assert.equal(tenants.removeQuota(b), ErrorCode.OK);
  const checkpoint = new Facts();
  core.tellSnapshot(checkpoint);
  for (const other of [facts.replayed(), checkpoint.replayed()]) {
    assert.deepEqual(stateOf(other), stateOf({ core }));
    assert.deepEqual(other.core.tenants.use(a)?.rules, rules);
    assert.equal(other.core.tables.view.get(SmallTable.RULES, b), null);
    other.core.tenants.setQuota(b, 7n);
    assert.deepEqual(other.core.tenants.use(b)?.rules, NO_RULES);
  }
  const wrong = ["", "null", "[]", "{}", '{"models":null,"opsPerSecond":0,"bytesPerSecond":null}'];
  for (const text of wrong) {
    assert.equal(tables.set(SmallTable.RULES, a, bytesOf(text)), ErrorCode.INVALID_PARAMS, text);
  }
  const unknown = tables.set(SmallTable.RULES, bytesOf("c"), rulesValue(rules));
  assert.equal(unknown, ErrorCode.INVALID_PARAMS);
  assert.deepEqual(tenants.use(a)?.rules, rules);
});

Deno.test("what is told twice is the same as once, and whoever listens hears of each change", () => {
  const { core, facts } = driver();
  core.tables.set(SmallTable.KEY, bytesOf("a"), bytesOf("1"));
  core.tables.set(SmallTable.KEY, bytesOf("a"), null);
  const other = new CoreDriver();
  const heard: TableChange[] = [];
  other.core.tables.view.onChange = (change) => heard.push(change);
  for (const fact of facts.all) {
    other.core.replay(fact);
    other.core.replay(fact);
  }
  assert.deepEqual(heard, [
    { table: SmallTable.KEY, key: bytesOf("a"), value: bytesOf("1") },
    { table: SmallTable.KEY, key: bytesOf("a"), value: null },
  ]);
});

Deno.test("a core that can keep nothing changes no table, and a quota needs its tenant", () => {
  const { core } = driver();
  const { tables, tenants } = core;
  assert.equal(
    tables.set(SmallTable.QUOTA, bytesOf("a"), quotaValue(1n)),
    ErrorCode.INVALID_PARAMS,
  );
  assert.equal(tenants.setQuota(bytesOf("a"), 5n), ErrorCode.OK);
  assert.equal(tables.set(SmallTable.QUOTA, bytesOf("a"), bytesOf("no")), ErrorCode.INVALID_PARAMS);
  core.readOnly = true;
  assert.equal(tables.set(SmallTable.KEY, bytesOf("a"), bytesOf("1")), ErrorCode.PERSISTENT_FAIL);
  assert.equal(tenants.setQuota(bytesOf("a"), 6n), ErrorCode.PERSISTENT_FAIL);
  const rules = { ...NO_RULES, opsPerSecond: 1 };
  assert.equal(tenants.setRules(bytesOf("a"), rules), ErrorCode.PERSISTENT_FAIL);
  assert.deepEqual(tenants.use(bytesOf("a"))?.rules, NO_RULES);
  assert.equal(tenants.removeQuota(bytesOf("a")), ErrorCode.PERSISTENT_FAIL);
  assert.equal(tenants.use(bytesOf("a"))?.requested, 5n);
  assert.equal(tables.view.get(SmallTable.KEY, bytesOf("a")), null);
});

Deno.test("quotas and rules of a lone master are settings, and in no fact", () => {
  const { core, facts } = driver();
  core.tables.view.shared = false;
  assert.equal(core.tenants.setQuota(bytesOf("a"), 5n), ErrorCode.OK);
  core.tenants.setRules(bytesOf("a"), { ...NO_RULES, opsPerSecond: 1 });
  assert.equal(core.tenants.use(bytesOf("a"))?.rules.opsPerSecond, 1);
  assert.equal(Array.from(core.tables.view.each()).length, 0);
  assert.equal(facts.all.length, 1, "the name of the tenant alone");
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { TaskStatus } from "../../proto/types.ts";
import { assertCode, bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { nextVictim } from "./eviction.ts";
import { randomBelow, SeededRng } from "./rng.ts";
import { NO_TENANT } from "./tenants.ts";

const LEASE_MS = 1000;

/** A core with name spaces; the driver speaks for the tenant that is entered last. */
class Tenants extends CoreDriver {
  constructor(quotas: Record<string, number>, changes: Partial<CoreConfig> = {}) {
    super({ enableMultiTenants: true, defaultKvLeaseTtlMs: LEASE_MS, ...changes });
    for (const [name, bytes] of Object.entries(quotas)) {
      this.ok(this.core.tenants.setQuota(bytesOf(name), BigInt(bytes)));
    }
  }

  as(name: string): this {
    const bytes = bytesOf(name);
    this.tenant = this.core.internTenant(bytes, 0, bytes.length);
    return this;
  }

  charged(name: string): number {
    return this.core.tenants.use(bytesOf(name))!.charged;
  }
}

Deno.test("the same key in three tenants is three objects, in every call", () => {
  const driver = new Tenants({ a: 9 * MIB, b: 9 * MIB, default: 9 * MIB });
  driver.mount(1, 32 * MIB);
  driver.as("a").put("key", 100);
  driver.as("b").put("key", 200);
  for (const name of ["default", "c", ""]) {
    driver.as(name);
    assert.equal(driver.exist("key"), 0);
    assertCode(driver.get("key"), ErrorCode.OBJECT_NOT_FOUND);
    assertCode(driver.end("key"), ErrorCode.OBJECT_NOT_FOUND);
    assertCode(driver.revoke("key"), ErrorCode.OBJECT_NOT_FOUND);
    assertCode(driver.remove("key", true), ErrorCode.OBJECT_NOT_FOUND);
    const { core, tenant, nowMs } = driver;
    assert.equal(driver.removeByRegex(".", true), 0);
    assert.equal(driver.listByRegex("."), 0);
    assert.equal(driver.removeAll(true), 0);
    assert.equal(driver.peek("key"), null);
    const keys = { bytes: bytesOf("key"), ends: Uint32Array.of(3) };
    assert.equal(core.inspection.keyPlaces(tenant, keys, nowMs).states[0], 0);
    assert.equal(core.inspection.keyLife(tenant, keys.bytes).events.length, 0);
  }
  driver.as("a");
  assertCode(driver.start("key", 100), ErrorCode.OBJECT_ALREADY_EXISTS);
  assertCode(driver.get("key"), ErrorCode.OK);
  assert.equal(driver.sink.replicas[0].size, 100);
  driver.ok(driver.remove("key", true));
  driver.as("b");
  assertCode(driver.get("key"), ErrorCode.OK);
  assert.equal(driver.sink.replicas[0].size, 200);
  checkCore(driver.core.state);
});

Deno.test("only registered tenants may put, and what is no name is refused", () => {
  const driver = new Tenants({ a: MIB });
  driver.mount(1, 8 * MIB);
  for (const name of ["b", "default", ""]) {
    driver.as(name);
    assert.equal(driver.tenant, name === "default" ? 0 : NO_TENANT);
    assertCode(driver.start("k", 1), ErrorCode.TENANT_NOT_REGISTERED);
    assertCode(driver.start("k", 1, { upsert: true }), ErrorCode.TENANT_NOT_REGISTERED);
  }
  for (const name of ["_a", "a\0", "a\n", "x".repeat(1025)]) {
    assertCode(driver.as(name).tenant, ErrorCode.INVALID_PARAMS);
    assertCode(driver.core.tenants.setQuota(bytesOf(name), 1n), ErrorCode.INVALID_PARAMS);
  }
  assertCode(driver.core.tenants.setQuota(bytesOf("b"), 0n), ErrorCode.INVALID_PARAMS);
  assertCode(driver.core.tenants.setQuota(bytesOf("b"), 2n ** 63n), ErrorCode.INVALID_PARAMS);
});

Deno.test("without multi-tenancy every name is the same name space and nothing is limited", () => {
  const driver = new Tenants({}, { enableMultiTenants: false });
  driver.mount(1, 8 * MIB);
  driver.as("a").put("k", MIB);
  assert.equal(driver.as("b").exist("k"), 1);
  assert.equal(driver.as("_x").exist("k"), 1);
});

Deno.test("what a tenant has is charged from the start of a write to the end of its replicas", () => {
  const driver = new Tenants({ a: MIB }).as("a");
  driver.mount(1, 8 * MIB);
  driver.mount(2, 8 * MIB, { name: "other" });
  driver.ok(driver.start("k", 1000, { replicaNum: 2 }));
  assert.equal(driver.charged("a"), 2000);
  driver.ok(driver.end("k"));
  assert.equal(driver.charged("a"), 2000);
  driver.ok(driver.start("k", 3000, { upsert: true }));
  assert.equal(driver.charged("a"), 5000);
  driver.ok(driver.end("k"));
  assert.equal(driver.charged("a"), 3000);
  driver.ok(driver.start("l", 7000));
  driver.ok(driver.revoke("l"));
  assert.equal(driver.charged("a"), 3000);
  driver.ok(driver.remove("k"));
  assert.equal(driver.charged("a"), 0);
  driver.ok(driver.core.tenants.removeQuota(bytesOf("a")));
});

Deno.test("a full quota evicts the tenant's own least recently used objects and nobody else's", () => {
  const driver = new Tenants({ a: 4 * MIB, b: 4 * MIB });
  driver.mount(1, 64 * MIB);
  for (let i = 0; i < 4; i++) {
    driver.nowMs++;
    driver.as("b").put(`b${i}`, MIB);
    driver.as("a").put(`a${i}`, MIB);
  }
  assert.equal(driver.exist("a0"), 1);
  driver.nowMs += LEASE_MS + 10;
  driver.put("a4", 2 * MIB);
  assert.deepEqual(driver.keys(), ["a0", "a3", "a4"]);
  assert.equal(driver.as("b").keys().length, 4);
  const use = driver.core.tenants.use(bytesOf("a"))!;
  assert.deepEqual([use.evictedBytes, use.rejected, use.charged], [2 * MIB, 0, 4 * MIB]);
  checkCore(driver.core.state);
});

Deno.test("what could never fit, or what leases and old versions keep out, evicts nothing", () => {
  const driver = new Tenants({ a: 4 * MIB }).as("a");
  driver.mount(1, 64 * MIB);
  driver.put("old", 3 * MIB);
  driver.put("small", MIB);
  driver.nowMs += 10;
  assertCode(driver.start("huge", 4 * MIB + 1), ErrorCode.TENANT_QUOTA_EXCEEDED);
  assertCode(driver.start("twice", 3 * MIB, { replicaNum: 2 }), ErrorCode.TENANT_QUOTA_EXCEEDED);
  assertCode(driver.start("old", 2 * MIB, { upsert: true }), ErrorCode.TENANT_QUOTA_EXCEEDED);
  assert.deepEqual(driver.keys(), ["old", "small"]);
  assert.equal(driver.exist("old") + driver.exist("small"), 2);
  assertCode(driver.start("new", MIB), ErrorCode.TENANT_QUOTA_EXCEEDED);
  assert.deepEqual(driver.keys(), ["old", "small"]);
  driver.nowMs += LEASE_MS + 1;
  driver.ok(driver.start("new", MIB));
  assert.equal(driver.core.tenants.use(bytesOf("a"))!.rejected, 4);
});

Deno.test("a copy counts, and is refused rather than made room for", () => {
  const driver = new Tenants({ a: 3 * MIB }).as("a");
  driver.mount(1, 64 * MIB, { name: "one" });
  driver.put("k", 2 * MIB);
  driver.mount(2, 64 * MIB, { name: "two" });
  const { movement } = driver.core;
  const { tenant, nowMs } = driver;
  const copy = () => movement.copyStart("1-7", tenant, bytesOf("k"), "one", ["two"], "0-0", nowMs);
  assertCode(copy().code, ErrorCode.TENANT_QUOTA_EXCEEDED);
  const move = movement.moveStart("1-7", tenant, bytesOf("k"), "one", "two", nowMs);
  driver.ok(move.code);
  driver.ok(movement.moveEnd("1-7", tenant, bytesOf("k"), nowMs));
  assert.equal(driver.charged("a"), 2 * MIB);
  driver.ok(driver.core.tenants.setQuota(bytesOf("a"), BigInt(4 * MIB)));
  driver.ok(
    movement.copyStart("1-7", tenant, bytesOf("k"), "two", ["one"], "0-0", nowMs).code,
  );
  assert.equal(driver.charged("a"), 4 * MIB);
  checkCore(driver.core.state);
});

Deno.test("a lowered quota takes effect with the next write; only an empty tenant can be removed", () => {
  const driver = new Tenants({ a: 4 * MIB }).as("a");
  const { tenants } = driver.core;
  driver.mount(1, 64 * MIB);
  for (const key of ["1", "2", "3", "4"]) driver.put(key, MIB);
  driver.ok(tenants.setQuota(bytesOf("a"), BigInt(2 * MIB)));
  assert.equal(driver.keys().length, 4);
  driver.nowMs += 10;
  driver.put("5", MIB);
  assert.deepEqual(driver.keys(), ["4", "5"]);
  assertCode(tenants.removeQuota(bytesOf("a")), ErrorCode.TENANT_NOT_EMPTY);
  assertCode(tenants.removeQuota(bytesOf("b")), ErrorCode.OBJECT_NOT_FOUND);
  assert.equal(driver.removeAll(true), 2);
  driver.ok(tenants.removeQuota(bytesOf("a")));
  assert.equal(tenants.use(bytesOf("a")), null);
  assertCode(driver.start("6", 1), ErrorCode.TENANT_NOT_REGISTERED);
});

Deno.test("a pool under pressure gives up the least recently used object of all tenants", () => {
  const random = new SeededRng(3);
  const names = Array.from({ length: 9 }, (_, i) => `t${i}`);
  const driver = new Tenants(Object.fromEntries(names.map((name) => [name, 999 * MIB])), {
    evictionHighWatermarkRatio: 1,
  });
  driver.mount(1, 900 * MIB);
  const lastUsedMs = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    driver.nowMs += 1 + randomBelow(random, 60);
    const name = names[randomBelow(random, randomBelow(random, names.length) + 1)];
    const key = `k${randomBelow(random, 20)}`;
    driver.as(name);
    if (driver.exist(key) === 0) driver.put(key, MIB);
    else if (randomBelow(random, 9) === 0) driver.remove(key, true);
    if (driver.peek(key) === null) lastUsedMs.delete(`${name}/${key}`);
    else lastUsedMs.set(`${name}/${key}`, driver.nowMs);
    if (i % 3 !== 0) continue;
    const { state } = driver.core;
    const free = Array.from(lastUsedMs).filter(([id]) => {
      const [owner, own] = id.split("/");
      return driver.as(owner).peek(own)!.leaseUntilMs - 1_700_000_000_000 <= driver.nowMs;
    });
    const expected = free.sort(([, a], [, b]) => a - b)[0];
    const victim = nextVictim(state, driver.nowMs);
    const found = victim === 0
      ? undefined
      : `t${state.objects.tenant(victim) - 1}/${
        new TextDecoder().decode(state.objects.key(victim))
      }`;
    assert.equal(found, expected?.[0], `after ${i} calls`);
    if (expected === undefined) continue;
    const [owner, own] = expected[0].split("/");
    driver.as(owner).ok(driver.remove(own));
    lastUsedMs.delete(expected[0]);
  }
  checkCore(driver.core.state);
});

Deno.test("charges, quotas' objects and eviction order come back with the facts", () => {
  const config = { enableMultiTenants: true };
  const driver = new Tenants({ a: 64 * MIB, b: 64 * MIB }, config);
  const [told, kept] = [new CoreDriver(config), new CoreDriver(config)];
  const sink = {
    append: (bytes: Uint8Array, start: number, end: number) => told.core.replay(bytes, start, end),
  };
  driver.core.tellSnapshot(sink);
  driver.core.attachFacts(sink);
  driver.mount(1, 512 * MIB);
  for (let i = 0; i < 40; i++) {
    driver.nowMs += 5;
    driver.as(i % 3 === 0 ? "a" : "b").put(`k${i}`, 1000 + i);
    if (i % 7 === 6) driver.remove(`k${i}`, true);
  }
  driver.ok(driver.as("a").start("open", 5000));
  driver.core.tellSnapshot({
    append: (bytes, start, end) => kept.core.replay(bytes, start, end),
  });
  for (const { core } of [told, kept]) {
    checkCore(core.state);
    assert.equal(core.digest(), driver.core.digest());
    for (const name of ["a", "b"]) {
      const bytes = bytesOf(name);
      const [was, is] = [driver.core, core].map(({ tenants }) => tenants.use(bytes)!);
      assert.deepEqual([is.charged, is.objects], [was.charged, was.objects]);
      const tenant = core.tenants.find(bytes);
      const order = core.inspection.leastRecentlyUsed(100, tenant);
      assert.deepEqual(order, driver.core.inspection.leastRecentlyUsed(100, tenant));
    }
  }
});

Deno.test("after a restart the tenants give way in proportion to what they have", () => {
  const driver = new Tenants({ a: 64 * MIB, b: 64 * MIB });
  driver.mount(1, 512 * MIB);
  for (let i = 0; i < 30; i++) driver.as("a").put(`a${i}`, MIB);
  for (let i = 0; i < 10; i++) driver.as("b").put(`b${i}`, MIB);
  const restarted = new Tenants({}, { reattachGraceMs: 0 });
  driver.core.tellSnapshot({
    append: (bytes, start, end) => restarted.core.replay(bytes, start, end),
  });
  restarted.core.finishReplay(restarted.nowMs);
  const lease = restarted.nowMs + LEASE_MS + 1;
  const { state } = restarted.core;
  const evicted = [0, 0, 0];
  for (let i = 0; i < 20; i++) {
    const victim = nextVictim(state, lease);
    evicted[state.objects.tenant(victim)]++;
    state.recency.remove(victim);
  }
  assert.deepEqual(evicted, [0, 15, 5]);
});

Deno.test("random calls of three tenants answer what a table of each tenant answers", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRng(seed);
    const names = ["default", "a", "b"];
    const driver = new Tenants(Object.fromEntries(names.map((name) => [name, 64 * MIB])));
    driver.mount(1, 900 * MIB);
    const tables = new Map(names.map((name) => [name, new Map<string, number>()]));
    for (let i = 0; i < 400; i++) {
      driver.nowMs += randomBelow(random, 300);
      const name = names[randomBelow(random, 3)];
      const table = tables.get(name)!;
      const key = `k${randomBelow(random, 8)}`;
      const size = 1 + randomBelow(random, MIB);
      const present = table.has(key);
      driver.as(name);
      switch (randomBelow(random, 6)) {
        case 0: {
          const code = driver.start(key, size);
          assertCode(code, present ? ErrorCode.OBJECT_ALREADY_EXISTS : ErrorCode.OK);
          if (present) break;
          driver.ok(driver.end(key));
          table.set(key, size);
          break;
        }
        case 1:
          driver.ok(driver.start(key, size, { upsert: true }));
          driver.ok(driver.end(key));
          table.set(key, size);
          break;
        case 2:
          assertCode(driver.get(key), present ? ErrorCode.OK : ErrorCode.OBJECT_NOT_FOUND);
          if (present) assert.equal(driver.sink.replicas[0].size, table.get(key));
          break;
        case 3:
          assertCode(
            driver.remove(key, true),
            present ? ErrorCode.OK : ErrorCode.OBJECT_NOT_FOUND,
          );
          table.delete(key);
          break;
        case 4: {
          assert.equal(driver.removeByRegex(`^${key}$`, true), present ? 1 : 0);
          table.delete(key);
          break;
        }
        default:
          if (randomBelow(random, 20) !== 0) break;
          assert.equal(driver.removeAll(true), table.size);
          table.clear();
      }
      for (const [owner, { size: objects }] of tables) {
        const sum = Array.from(tables.get(owner)!.values()).reduce((a, b) => a + b, 0);
        const use = driver.core.tenants.use(bytesOf(owner))!;
        assert.deepEqual([use.charged, use.objects], [sum, objects], `${owner}, seed ${seed}`);
      }
    }
    for (const [name, table] of tables) {
      assert.deepEqual(driver.as(name).keys(), Array.from(table.keys()).sort());
    }
    checkCore(driver.core.state);
  }
});

Deno.test("an order concerns the client that has it, until it is over", () => {
  const driver = new Tenants({ a: 9 * MIB, b: 9 * MIB }).as("a");
  driver.mount(1, 64 * MIB, { client: 1, name: "one" });
  driver.put("k", MIB);
  driver.put("l", MIB);
  driver.mount(2, 64 * MIB, { client: 2, name: "two" });
  const { movement, tenants } = driver.core;
  const { tenant, nowMs } = driver;
  const [owner, other] = ["1-7", "2-14"];
  const concerns = (client: string, key = "k") => movement.isOrdered(client, tenant, bytesOf(key));
  assert(!concerns(owner));
  driver.ok(movement.createCopyTask(tenant, bytesOf("k"), ["two"], nowMs).code);
  assert(concerns(owner));
  assert(!concerns(owner, "l"));
  assert(!concerns(other));
  assert(!movement.isOrdered(owner, tenants.find(bytesOf("b")), bytesOf("k")));
  const [task] = movement.fetchTasks(owner, 1, nowMs);
  driver.ok(movement.copyStart(owner, tenant, bytesOf("k"), "one", ["two"], "0-0", nowMs).code);
  const request = { id: task.id, status: TaskStatus.SUCCESS, message: "" };
  driver.ok(movement.markTaskToComplete(owner, request, nowMs));
  assert(concerns(owner), "the copy goes on");
  driver.ok(movement.copyEnd(owner, tenant, bytesOf("k"), "0-0", 0, nowMs));
  assert(!concerns(owner));
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { assertCode, bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { ModelAliases } from "./model_aliases.ts";
import { TenantLimits } from "./tenant_limits.ts";
import { NO_RULES, type TenantRules } from "./tenant_rules.ts";

/** A core with the tenants a and b, and keys that tell their model. */
function tenants(rules: Partial<TenantRules>) {
  const driver = new CoreDriver({ enableMultiTenants: true, keyFormat: "{model}@{}" });
  driver.mount(1, 64 * MIB);
  for (const name of ["a", "b"]) {
    driver.ok(driver.core.tenants.setQuota(bytesOf(name), BigInt(16 * MIB)));
  }
  driver.ok(driver.core.tenants.setRules(bytesOf("a"), { ...NO_RULES, ...rules }));
  const as = (name: string) => {
    driver.tenant = driver.core.tenants.find(bytesOf(name));
    return driver;
  };
  return { driver, as };
}

Deno.test("a tenant with a list of models writes keys of those, and reads and removes all", () => {
  const { driver, as } = tenants({});
  as("a").put("old@1", 10);
  driver.ok(
    driver.core.tenants.setRules(bytesOf("a"), { ...NO_RULES, models: ["llama", "qwen/3"] }),
  );
  for (const upsert of [false, true]) {
    assertCode(driver.start("old@2", 10, { upsert }), ErrorCode.PERMISSION_DENIED);
    assertCode(driver.start("plain", 10, { upsert }), ErrorCode.PERMISSION_DENIED);
    assertCode(driver.start("llam@1", 10, { upsert }), ErrorCode.PERMISSION_DENIED);
    assertCode(driver.start("llama2@1", 10, { upsert }), ErrorCode.PERMISSION_DENIED);
    driver.ok(driver.start(`llama@${upsert}`, 10, { upsert }));
    driver.ok(driver.start(`qwen/3@${upsert}`, 10, { upsert }));
  }
  assertCode(driver.start("old@1", 10, { upsert: true }), ErrorCode.PERMISSION_DENIED);
  driver.ok(driver.get("old@1"));
  as("b").put("old@2", 10);
  driver.put("plain", 10);
  as("a");
  driver.ok(driver.remove("old@1", true));
});

Deno.test("a list that names a model names its aliases, one that names an alias that name only", () => {
  const { driver, as } = tenants({ models: ["llama", "q3"] });
  const { core } = driver;
  const aliases = "meta/llama=llama;q3=qwen";
  core.reconfigure({ ...core.state.config, modelAliases: aliases }, 0);
  as("a");
  for (const key of ["llama@1", "meta/llama@1", "q3@1"]) driver.ok(driver.start(key, 10));
  assertCode(driver.start("qwen@1", 10), ErrorCode.PERMISSION_DENIED);
  core.reconfigure({ ...core.state.config, modelAliases: "" }, 0);
  assertCode(driver.start("meta/llama@2", 10), ErrorCode.PERMISSION_DENIED);
});

Deno.test("what is wrong with aliases is said, and what is allowed", () => {
  for (
    const [text, why] of [
      ["a", /"a": it is no pair of names of 1 to 256 bytes; allowed: pairs ALIAS=MODEL/],
      ["=b", /it is no pair/],
      ["a=", /it is no pair/],
      ["a=b;", /it is no pair/],
      [`a=${"b".repeat(257)}`, /it is no pair/],
      ["a=b;a=c", /"a=c": the alias is there twice/],
      ["a=b;b=c", /"b": it is an alias itself/],
      [Array.from({ length: 257 }, (_, i) => `a${i}=b`).join(";"), /257 aliases; allowed: 256/],
    ] as const
  ) {
    assert.throws(() => new ModelAliases(text), { name: "RangeError", message: why });
  }
  assert.equal(new ModelAliases("a=b=c").find(bytesOf("xa"), 1, 2)?.length, 3);
});

Deno.test("keys without a model are written where the list names unknown ones, or there is none", () => {
  const { driver, as } = tenants({ models: ["unknown"] });
  as("a").put("plain", 10);
  assertCode(driver.start("llama@1", 10), ErrorCode.PERMISSION_DENIED);
  assertCode(driver.start("unknown@1", 10), ErrorCode.OK);
  driver.ok(driver.core.tenants.setRules(bytesOf("a"), { ...NO_RULES, models: [] }));
  assertCode(driver.start("plain 2", 10), ErrorCode.PERMISSION_DENIED);
  driver.ok(driver.core.tenants.setRules(bytesOf("a"), NO_RULES));
  driver.put("plain 2", 10);
});

Deno.test("the format of keys stays one that tells models while a list needs it", () => {
  const { driver } = tenants({ models: ["llama"] });
  const { core } = driver;
  const use = (keyFormat: string) => core.reconfigure({ ...core.state.config, keyFormat }, 0);
  const message = "key_format=: tenants have lists of models; allowed: a format with {model}";
  assert.throws(() => use(""), { name: "RangeError", message });
  assert.throws(() => use("{}@{layer}"), RangeError);
  use("{}/{model}");
  driver.ok(core.tenants.setRules(bytesOf("a"), { ...NO_RULES, models: ["llama", "unknown"] }));
  use("");
});

Deno.test("what a tenant is held to ends with its registration", () => {
  const { driver } = tenants({ models: ["llama"], opsPerSecond: 1, bytesPerSecond: 1 });
  const { tenants: api } = driver.core;
  assert.deepEqual(api.use(bytesOf("a"))!.rules, {
    ...{ models: ["llama"], opsPerSecond: 1, bytesPerSecond: 1 },
  });
  driver.ok(api.removeQuota(bytesOf("a")));
  assertCode(api.setRules(bytesOf("a"), NO_RULES), ErrorCode.OBJECT_NOT_FOUND);
  driver.ok(api.setQuota(bytesOf("a"), 1n));
  assert.deepEqual(api.use(bytesOf("a"))!.rules, NO_RULES);
});

const LIMITED = ErrorCode.RATE_LIMITED;

Deno.test("calls are let in at the rate, after those of one second at once", () => {
  const limits = new TenantLimits();
  limits.set(3, { opsPerSecond: 10, bytesPerSecond: null });
  let nowMs = 5000;
  const calls = (count: number) =>
    Array.from({ length: count }, () => limits.admit(3, 1, false, nowMs))
      .filter((code) => code === ErrorCode.OK).length;
  assert.equal(calls(15), 10);
  nowMs += 99;
  assert.equal(calls(5), 0);
  nowMs += 1;
  assert.equal(calls(5), 1);
  nowMs += 550;
  assert.equal(calls(10), 5);
  nowMs += 60_000;
  assert.equal(calls(15), 10);
  assert.deepEqual(limits.limited(3), { ops: 5 + 5 + 4 + 5 + 5, bytes: 0 });
  assert.equal(limits.admit(4, 1000, true, nowMs), ErrorCode.OK);
});

Deno.test("a batch is let in as a whole, and the calls after it wait until it is paid", () => {
  const limits = new TenantLimits();
  limits.set(0, { opsPerSecond: 100, bytesPerSecond: 1000 });
  assert.equal(limits.admit(0, 250, true, 0), ErrorCode.OK);
  limits.spend(0, 3500);
  assert.equal(limits.admit(0, 1, false, 1509), LIMITED);
  assert.equal(limits.admit(0, 1, false, 1510), ErrorCode.OK);
  assert.equal(limits.admit(0, 1, true, 2500), LIMITED);
  assert.equal(limits.admit(0, 1, false, 2500), ErrorCode.OK);
  assert.equal(limits.admit(0, 1, true, 2501), ErrorCode.OK);
  assert.deepEqual(limits.limited(0), { ops: 1, bytes: 1 });
});

Deno.test("over a long time nobody gets more than the rate, whatever the batches", () => {
  const limits = new TenantLimits();
  limits.set(1, { opsPerSecond: 1000, bytesPerSecond: null });
  let keys = 0;
  for (let nowMs = 0; nowMs <= 20_000; nowMs += 7) {
    for (const batch of [1, 64, 900]) {
      if (limits.admit(1, batch, false, nowMs) === ErrorCode.OK) keys += batch;
    }
  }
  assert(keys <= 1000 * 21 + 900 && keys >= 1000 * 20, `${keys} keys in 20 s`);
});

Deno.test("a rate that stays keeps what was used of it, and without rates nothing is held back", () => {
  const limits = new TenantLimits();
  assert.equal(limits.isOn, false);
  limits.set(0, { opsPerSecond: 5, bytesPerSecond: null });
  assert.equal(limits.admit(0, 5, false, 0), ErrorCode.OK);
  limits.set(0, { opsPerSecond: 5, bytesPerSecond: 7 });
  assert.deepEqual(limits.rates(0), { opsPerSecond: 5, bytesPerSecond: 7 });
  assert.equal(limits.admit(0, 1, false, 0), LIMITED);
  limits.set(0, { opsPerSecond: 6, bytesPerSecond: 7 });
  assert.equal(limits.admit(0, 1, false, 0), ErrorCode.OK);
  limits.set(0, NO_RULES);
  assert.equal(limits.isOn, false);
  assert.equal(limits.admit(0, 1e9, true, 0), ErrorCode.OK);
});

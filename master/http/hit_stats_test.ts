import assert from "node:assert/strict";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";

function pool() {
  const driver = new CoreDriver();
  driver.mount(1, 4 * MIB);
  return { driver, ask: adminCaller(new MemoryAdminCore(driver)) };
}

const ALL = "window=1m&by=";

Deno.test("hit ratios of a scripted trace are exact", async () => {
  const { driver, ask } = pool();
  driver.put("a", 1000, { dataType: 1 });
  driver.put("b", 200, { dataType: 2 });
  driver.ok(driver.start("c", 10));
  for (let i = 0; i < 5; i++) driver.get("a");
  for (let i = 0; i < 2; i++) driver.get("b");
  for (let i = 0; i < 2; i++) driver.get("missing");
  driver.get("c");
  driver.exist("a");
  driver.exist("missing");

  const { json } = await ask("GET", `/v1/stats/hits?${ALL}tier`);
  assert.deepEqual([json.lookups, json.hits, json.hit_ratio, json.hit_bytes], [10, 7, 0.7, 5400]);
  assert.deepEqual(json.groups, [
    { tier: "memory", lookups: 7, hits: 7, bytes: 5400, ratio: 0.7 },
    { tier: "miss", lookups: 2, hits: 0, bytes: 0, ratio: 0.2 },
    { tier: "not_ready", lookups: 1, hits: 0, bytes: 0, ratio: 0.1 },
  ]);
  const exist = await ask("GET", `/v1/stats/hits?${ALL}tenant,call&calls=all`);
  assert.deepEqual(exist.json.groups, [
    { tenant: "default", call: "get", lookups: 10, hits: 7, bytes: 5400, ratio: 0.7 },
    { tenant: "default", call: "exist", lookups: 2, hits: 1, bytes: 1000, ratio: 0.5 },
  ]);
  const typed = await ask("GET", `/v1/stats/hits?${ALL}data_type,model,layer`);
  const names = { model: "unknown", layer: "unknown", ratio: null };
  assert.deepEqual(typed.json.groups, [
    { data_type: "kvcache", ...names, lookups: 5, hits: 5, bytes: 5000 },
    { data_type: "tensor", ...names, lookups: 2, hits: 2, bytes: 400 },
    { data_type: "unknown", ...names, lookups: 3, hits: 0, bytes: 0 },
  ]);
});

Deno.test("lookups leave the windows when these are over", async () => {
  const { driver, ask } = pool();
  const lookups = async (window: string) =>
    (await ask("GET", `/v1/stats/hits?window=${window}`)).json.lookups;
  driver.get("x");
  assert.deepEqual([await lookups("1m"), await lookups("5m"), await lookups("1h")], [1, 1, 1]);
  driver.pass(66_000);
  driver.get("x");
  assert.deepEqual([await lookups("1m"), await lookups("5m"), await lookups("1h")], [1, 2, 2]);
  driver.pass(306_000);
  assert.deepEqual([await lookups("1m"), await lookups("5m"), await lookups("1h")], [0, 0, 2]);
  driver.pass(3_720_000);
  assert.equal(await lookups("1h"), 0);
});

Deno.test("a window tells from when to when it goes", async () => {
  const { driver, ask } = pool();
  driver.pass(200_000);
  const { json } = await ask("GET", "/v1/stats/hits?window=1m");
  assert.equal(json.to_ms, 1_700_000_000_000 + driver.nowMs);
  assert(json.to_ms - json.from_ms >= 60_000 && json.to_ms - json.from_ms <= 65_000);
});

Deno.test("many tenants are counted by name, those beyond the limit together", async () => {
  const { driver, ask } = pool();
  for (let i = 1; i <= 70; i++) {
    const name = bytesOf(`tenant-${i}`);
    driver.core.tenants.setQuota(name, 1n);
    driver.core.existKey(driver.core.tenants.find(name), bytesOf("k"), 0, 1, driver.nowMs);
  }
  const { json } = await ask("GET", "/v1/stats/hits?by=tenant&calls=exist");
  assert.equal(json.lookups, 70);
  assert.equal(json.groups.length, 64);
  assert.deepEqual(json.groups[0].tenant, "tenant-1");
  assert.deepEqual(json.groups[63], {
    ...{ tenant: "(others)", lookups: 7, hits: 0, bytes: 0, ratio: 0 },
  });
});

Deno.test("a window, a grouping or a call that does not exist is refused by name", async () => {
  const { ask } = pool();
  const messages = [
    ["window=2m", "window=2m: allowed: 1m, 5m, 1h"],
    [
      "by=tier,colour",
      "by=colour: allowed: tier, tenant, call, data_type, model, layer",
    ],
    ["calls=put", "calls=put: allowed: get, exist, all"],
  ];
  for (const [query, message] of messages) {
    const { status, json } = await ask("GET", `/v1/stats/hits?${query}`);
    assert.deepEqual([status, json.error_message], [400, message]);
  }
});

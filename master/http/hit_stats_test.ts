import assert from "node:assert/strict";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { LabelledLookups } from "../core/labelled_lookups.ts";

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

Deno.test("hits by model and layer match a scripted trace exactly", async () => {
  const driver = new CoreDriver({ keyFormat: "{model}@{}@{layer};{model}@{}" });
  driver.mount(1, 4 * MIB);
  const ask = adminCaller(new MemoryAdminCore(driver));
  for (let layer = 0; layer < 4; layer++) driver.put(`llama@b0@${layer}`, 100 + layer);
  driver.put("qwen@b0", 1000, { dataType: 2 });
  driver.put("plain", 10);
  // A prefix of two blocks of four layers each, of which the second block is missing.
  for (let pass = 0; pass < 3; pass++) {
    for (const block of ["b0", "b1"]) {
      const keys = [0, 1, 2, 3].map((layer) => `llama@${block}@${layer}`);
      assert.deepEqual(driver.getMany(keys), keys.map(() => block === "b0"));
    }
  }
  for (let i = 0; i < 5; i++) driver.get("qwen@b0");
  driver.get("plain");
  driver.get("other");
  driver.get(`llama@b0@5000`);

  const byModel = (await ask("GET", `/v1/stats/hits?${ALL}model`)).json;
  assert.deepEqual([byModel.lookups, byModel.hits, byModel.hit_bytes], [32, 18, 3 * 406 + 5010]);
  assert.deepEqual(byModel.groups, [
    { model: "llama", lookups: 25, hits: 12, bytes: 3 * 406, ratio: 12 / 25 },
    { model: "qwen", lookups: 5, hits: 5, bytes: 5000, ratio: 1 },
    { model: "unknown", lookups: 2, hits: 1, bytes: 10, ratio: 0.5 },
  ]);
  const all = (await ask("GET", `/v1/stats/hits?${ALL}tier,tenant,model,layer`)).json;
  const shown = all.groups.map((group: Record<string, unknown>) =>
    [group.tier, group.model, group.layer, group.lookups, group.bytes, group.ratio].join(" ")
  );
  assert.deepEqual(shown, [
    ...[0, 1, 2, 3].map((layer) => `memory llama ${layer} 3 ${3 * (100 + layer)} 0.5`),
    ...[0, 1, 2, 3].map((layer) => `miss llama ${layer} 3 0 0.5`),
    "memory qwen unknown 5 5000 1",
    "memory unknown unknown 1 10 0.5",
    "miss unknown unknown 1 0 0.5",
    "miss llama (others) 1 0 1",
  ]);
  const typed = (await ask("GET", `/v1/stats/hits?${ALL}data_type,layer`)).json;
  assert.equal(
    typed.groups.find((group: { data_type: string }) => group.data_type === "tensor").lookups,
    5,
  );
  const plain = (await ask("GET", `/v1/stats/hits?${ALL}tier`)).json;
  assert.deepEqual([plain.lookups, plain.hits], [32, 18]);
});

Deno.test("another format of keys begins the counts by model anew, and none ends them", async () => {
  const { driver, ask } = pool();
  const models = async () =>
    (await ask("GET", `/v1/stats/hits?${ALL}model`)).json.groups
      .map(({ model, lookups }: { model: string; lookups: number }) => `${model} ${lookups}`);
  const use = (keyFormat: string) =>
    driver.core.reconfigure({ ...driver.core.state.config, keyFormat }, 0);
  driver.get("a@1");
  assert.deepEqual(await models(), ["unknown 1"]);
  use("{model}@{}");
  driver.get("a@1");
  assert.deepEqual(await models(), ["a 1"]);
  driver.pass(1000);
  driver.get("a@2");
  assert.deepEqual(await models(), ["a 2"]);
  driver.pass(70_000);
  assert.deepEqual(await models(), []);
  use("{}@{model}");
  driver.get("a@1");
  assert.deepEqual(await models(), ["1 1"]);
  assert.throws(() => use("{x}"), /\{x\} is no field/);
  driver.get("a@1");
  assert.deepEqual(await models(), ["1 2"]);
  use("");
  driver.pass(10_000);
  assert.deepEqual(await models(), ["unknown 2"]);
});

Deno.test("a model is counted under one name, whatever keys call it", async () => {
  const driver = new CoreDriver({ keyFormat: "{model}@{}", modelAliases: "m/1=one;uno=one" });
  const ask = adminCaller(new MemoryAdminCore(driver));
  for (const key of ["m/1@x", "one@x", "uno@x", "m@x"]) driver.get(key);
  const { json } = await ask("GET", `/v1/stats/hits?${ALL}model`);
  const shown = json.groups.map((group: Record<string, unknown>) => [group.model, group.lookups]);
  assert.deepEqual(shown, [["one", 3], ["m", 1]]);
});

Deno.test("models beyond the limit are counted together", async () => {
  const driver = new CoreDriver({ keyFormat: "{model}@{}" });
  const ask = adminCaller(new MemoryAdminCore(driver));
  for (let i = 0; i < 300; i++) driver.get(`model-${i}@x`);
  const { json } = await ask("GET", `/v1/stats/hits?${ALL}model`);
  assert.equal(json.lookups, 300);
  assert.equal(json.groups.length, 257);
  assert.deepEqual(json.groups[256], {
    ...{ model: "(others)", lookups: 44, hits: 0, bytes: 0, ratio: 0 },
  });
});

Deno.test("kinds of lookups beyond the limit are counted as others, and none is lost", () => {
  const lookups = new LabelledLookups(0, 1000);
  for (let pass = 0; pass < 2; pass++) {
    for (let label = 1; label <= 3000; label++) lookups.count(label, label % 7, label);
  }
  const { counts } = lookups.window(60_000, 0);
  const own = counts.filter(({ label }) => label !== 0);
  assert.equal(own.length, 1000);
  assert(
    own.every(({ label, kind, count, bytes }) =>
      kind === label % 7 && count === 2 && bytes === 2 * label
    ),
  );
  assert.equal(counts.reduce((sum, { count }) => sum + count, 0), 6000);
  assert.equal(counts.reduce((sum, { bytes }) => sum + bytes, 0), 3000 * 3001);
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

import assert from "node:assert/strict";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { Counter } from "../core/counters.ts";

function pool() {
  const driver = new CoreDriver();
  driver.mount(1, 4 * MIB, { name: "a:1", host: "alpha" });
  driver.mount(2, 4 * MIB, { client: 2, name: "[fd00::2]:2" });
  const on = (name: string) => ({ preferredSegments: [name] });
  return { driver, on, ask: adminCaller(new MemoryAdminCore(driver)) };
}

Deno.test("a route names places, tiers and sizes, and the prefix of every host", async () => {
  const { driver, on, ask } = pool();
  driver.put("k0", 1000, on("a:1"));
  driver.put("k1", 2000, on("a:1"));
  driver.put("k2", 3000, on("[fd00::2]:2"));
  driver.put("k4", 500, { replicaNum: 2 });
  driver.ok(driver.start("k5", 10));
  const { status, json } = await ask("POST", "/v1/route", {
    body: { keys: ["k0", "k1", "k2", "k3", "k4", "k5"] },
  });
  assert.equal(status, 200);
  assert.deepEqual(
    json.keys.map(({ state }: { state: string }) => state),
    ["ready", "ready", "ready", "missing", "ready", "not_ready"],
  );
  assert.deepEqual(json.keys[1].replicas, [
    {
      ...{ segment: "a:1", host: "alpha", endpoint: "a:1-endpoint", tier: "memory" },
      bytes: 2000,
    },
  ]);
  assert.equal(json.keys[4].replicas.length, 2);
  assert.equal(json.prefix_keys, 3);
  assert.deepEqual(json.hosts, [
    { host: "alpha", prefix_keys: 2, prefix_bytes: 3000, keys: 3 },
    { host: "fd00::2", prefix_keys: 0, prefix_bytes: 0, keys: 2 },
  ]);
});

Deno.test("a route takes no lease and counts nothing, unless touched", async () => {
  const { driver, ask } = pool();
  driver.put("k", 1000);
  const body = { keys: ["k"], tenant: "default" };
  const quiet = await ask("POST", "/v1/route", { body });
  assert.equal(quiet.json.keys[0].lease_left_ms, 0);
  assert.equal(driver.core.counters.get(Counter.GETS), 0);
  assert.equal(driver.peek("k")!.leaseUntilMs, driver.peek("k")!.lastUsedMs);
  const touched = await ask("POST", "/v1/route", { body: { ...body, touch: true } });
  assert.equal(touched.json.keys[0].lease_left_ms, 10_000);
  assert.equal(driver.core.counters.get(Counter.MEMORY_HITS), 1);
});

Deno.test("keys of a route may be any bytes in base64", async () => {
  const { driver, ask } = pool();
  driver.put("a/b,c", 10);
  const body = { keys: [btoa("a/b,c"), btoa("\xff\x00")], encoding: "base64" };
  const { json } = await ask("POST", "/v1/route", { body });
  assert.deepEqual(
    json.keys.map(({ state }: { state: string }) => state),
    ["ready", "missing"],
  );
});

Deno.test("a route of 10,000 keys is answered, of more is 413", async () => {
  const { driver, ask } = pool();
  const keys = Array.from({ length: 10_000 }, (_, i) => `key-${i}`);
  for (const key of keys) driver.put(key, 64);
  const { status, json } = await ask("POST", "/v1/route", { body: { keys } });
  assert.equal(status, 200);
  assert.equal(json.prefix_keys, 10_000);
  const more = await ask("POST", "/v1/route", { body: { keys: [...keys, "x"] } });
  assert.deepEqual([more.status, more.json.success], [413, false]);
  const bytes = new Uint8Array(17 * MIB).fill(0x20);
  assert.equal((await ask("POST", "/v1/route", { body: bytes })).status, 413);
});

Deno.test("a route refuses what it does not know by name", async () => {
  const { ask } = pool();
  const cases: [body: unknown, message: RegExp][] = [
    [{ seq_hashes: [1] }, /^seq_hashes: only a conductor/],
    [{ token_ids: [1], keys: ["a"] }, /^token_ids: only a conductor/],
    [{ keys: ["a"], tenat: "x" }, /^unknown member "tenat"; allowed: tenant, keys/],
    [{ keys: "a" }, /^keys: not a list/],
    [{ keys: [""] }, /^keys\[0\]: not a key/],
    [{ keys: ["%"], encoding: "base64" }, /^keys\[0\]: not base64/],
    [{ keys: [], encoding: "hex" }, /^encoding="hex"; allowed/],
    [{ keys: [], touch: 1 }, /^touch: not a boolean/],
    [{ keys: [], tenant: 1 }, /^tenant: not a string/],
    [[], /not a JSON object/],
    ["{", /not JSON/],
  ];
  for (const [body, message] of cases) {
    const { status, json } = await ask("POST", "/v1/route", { body });
    assert.equal(status, 400);
    assert.match(json.error_message, message);
  }
});

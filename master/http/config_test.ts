import assert from "node:assert/strict";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { SettingsTable } from "./settings_table.ts";

Deno.test("flags are changed over HTTP, from this machine only", async () => {
  const levels: number[] = [];
  const ask = adminCaller(new MemoryAdminCore(), { onLogLevel: (level) => levels.push(level) });
  const body = { put_wait_ms: 5, minloglevel: 1 };
  const far = await ask("PATCH", "/v1/config", { body, peer: "10.0.0.1" });
  assert.equal(far.status, 401);
  const foreign = await ask("PATCH", "/v1/config", { body, headers: { origin: "http://evil" } });
  assert.equal(foreign.status, 403);
  assert.equal((await ask("GET", "/v1/config")).json.flags.put_wait_ms.value, 50);
  const { status, json } = await ask("PATCH", "/v1/config", { body });
  assert.equal(status, 200);
  assert.deepEqual(json.flags.put_wait_ms, { value: 5, source: "changed", live: true });
  assert.deepEqual(levels, [1]);
  assert.deepEqual((await ask("GET", "/v1/config")).json, json);
});

Deno.test("bad changes of flags are refused", async () => {
  const ask = adminCaller(new MemoryAdminCore());
  const cases: [query: string, body: unknown, status: number, message: RegExp][] = [
    ["", { rpc_port: 1 }, 400, /^--rpc_port: cannot be changed/],
    ["", { put_wait_ms: [1] }, 400, /^put_wait_ms: not a single value/],
    ["", [], 400, /not a JSON object/],
    ["", "{", 400, /not a JSON object/],
    ["?persist=yes", {}, 400, /^persist=yes: allowed: true, false/],
    ["?persist=true", {}, 409, /^persist=true: nothing outlives this master/],
  ];
  for (const [query, body, expected, message] of cases) {
    const { status, json } = await ask("PATCH", `/v1/config${query}`, { body });
    assert.equal(status, expected);
    assert.match(json.error_message, message);
  }
});

const noKv = Deno.openKv === undefined ? " (skipped: no --unstable-kv)" : "";

Deno.test({
  name: `changes that are to be kept are in the table, until they are taken back${noKv}`,
  ignore: noKv !== "",
  async fn() {
    const directory = Deno.makeTempDirSync({ prefix: "snowskin-settings-" });
    try {
      const path = `${directory}/tables.kv`;
      {
        using settings = await SettingsTable.open(path);
        const ask = adminCaller(new MemoryAdminCore(), { settings });
        const body = { put_wait_ms: "5ms", eviction_ratio: 0.1 };
        await ask("PATCH", "/v1/config", { body: { minloglevel: 1 } });
        await ask("PATCH", "/v1/config?persist=true", { body: { rpc_port: 1 } });
        assert.deepEqual(await settings.load(), {});
        assert.equal((await ask("PATCH", "/v1/config?persist=true", { body })).status, 400);
        body.put_wait_ms = "5";
        assert.equal((await ask("PATCH", "/v1/config?persist=true", { body })).status, 200);
        await ask("PATCH", "/v1/config?persist=true", { body: { eviction_ratio: null } });
      }
      using settings = await SettingsTable.open(path);
      assert.deepEqual(await settings.load(), { put_wait_ms: "5" });
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
});

Deno.test("a change that cannot be kept is in force, and told", async () => {
  const settings = { keep: () => Promise.reject(new Error("disk full")) };
  const ask = adminCaller(new MemoryAdminCore(), { settings });
  const body = { put_wait_ms: 5 };
  const { status, json } = await ask("PATCH", "/v1/config?persist=true", { body });
  assert.equal(status, 500);
  assert.equal(
    json.error_message,
    "the change is in force, but could not be kept: disk full",
  );
  assert.equal((await ask("GET", "/v1/config")).json.flags.put_wait_ms.value, 5);
});

// Goal: a flag that is changed while the master runs is in force at once, and after a restart when
// that was asked for.
// Method: a real master process, killed and started again.
import assert from "node:assert/strict";
import { MasterLives } from "../support/master_lives.ts";

async function change(master: MasterLives, query: string, body: object): Promise<void> {
  const url = `${master.adminUrl}/v1/config${query}`;
  const response = await fetch(url, { method: "PATCH", body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.text());
}

Deno.test("changes of flags survive a restart when that was asked for", async () => {
  await using master = await MasterLives.start("--eviction_ratio=0.07");
  await change(master, "?persist=true", { put_wait_ms: 5, max_kv_soft_pin_ttl: "2h" });
  await change(master, "", { eviction_ratio: 0.2 });
  const flags = async () => (await (await fetch(`${master.adminUrl}/v1/config`)).json()).flags;
  assert.deepEqual((await flags()).put_wait_ms, { value: 5, source: "changed", live: true });
  assert.equal((await flags()).eviction_ratio.value, 0.2);
  assert(master.lines.some((line) => line.includes("--put_wait_ms: 50 -> 5 (changed)")));
  await master.kill();
  await master.revive();
  const after = await flags();
  assert.deepEqual(after.put_wait_ms, { value: 5, source: "kept change", live: true });
  assert.deepEqual(after.max_kv_soft_pin_ttl.value, 7_200_000);
  assert.deepEqual(after.eviction_ratio, { value: 0.07, source: "command line", live: true });
});

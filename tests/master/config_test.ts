// Goal: a flag that is changed while the master runs is in force at once, and after a restart when
// that was asked for.
// Method: a real master process, killed and started again.
import assert from "node:assert/strict";
import { bytesOf } from "../support/core_driver.ts";
import { MasterLives } from "../support/master_lives.ts";
import { loopModes, MasterProcess } from "../support/master_process.ts";

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

Deno.test("lookups are counted by model and layer from the moment on that a format says how", async () => {
  const someLoop = loopModes.find(({ absent }) => absent === null)!;
  await using master = await MasterProcess.start(someLoop, ["--durability=none"]);
  const client = master.connect();
  const look = async (...keys: string[]) => {
    await client.batchExistKey({ keys: keys.map(bytesOf), tenantId: bytesOf("default") });
  };
  const groups = async () => {
    const url = `${master.adminUrl}/v1/stats/hits?calls=exist&by=model,layer`;
    const { groups } = await (await fetch(url)).json();
    return groups.map((group: Record<string, unknown>) =>
      `${group.model} ${group.layer} ${group.lookups}`
    ).sort();
  };
  await look("llama@7@1", "x");
  assert.deepEqual(await groups(), ["unknown unknown 2"]);
  const answer = await fetch(`${master.adminUrl}/v1/config`, {
    ...{ method: "PATCH", body: JSON.stringify({ key_format: "{model}@{}@{layer}" }) },
  });
  assert.equal(answer.status, 200, await answer.text());
  await look("llama@7@1", "x", "llama@7@2", "llama@8@1");
  assert.deepEqual(await groups(), ["llama 1 2", "llama 2 1", "unknown unknown 1"]);
});

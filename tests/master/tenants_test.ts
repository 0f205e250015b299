// Tenants of a running master: what outlives it, what operators see, and the published wheel.
import assert from "node:assert/strict";
import type { MasterClient } from "../../client/master_client.ts";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, MIB, replicateConfig, segmentOf } from "../support/core_driver.ts";
import { loopModes, MasterProcess } from "../support/master_process.ts";
import { assertOk, MetadataNode } from "../support/metadata_node.ts";
import { findWheel } from "../support/wheel.ts";

const someLoop = loopModes.find(({ absent }) => absent === null)!;
const wheel = await findWheel();
const MULTI = "--enable_multi_tenants";

async function put(master: MasterClient, tenant: string, key: string, bytes: number) {
  const [clientId, tenantId] = ["1-1", bytesOf(tenant)];
  const { code } = await master.putStart({
    ...{ clientId, key: bytesOf(key), sliceLength: bytes, tenantId, config: replicateConfig() },
  });
  if (code !== 0) return code;
  const objectMeta = { key: bytesOf(key), objectChecksum: null };
  const replicaType = ReplicaType.ALL;
  return (await master.putEnd({ clientId, objectMeta, replicaType, tenantId })).code;
}

async function ask(master: MasterProcess, path: string, method = "GET", body?: string) {
  const answer = await fetch(master.adminUrl + path, {
    method,
    ...(body !== undefined && { body }),
  });
  const text = await answer.text();
  return answer.headers.get("content-type")!.includes("json") ? JSON.parse(text) : text;
}

function setQuota(master: MasterProcess, tenant: string, bytes: number) {
  const body = `{"requested_quota_bytes":${bytes}}`;
  return ask(master, `/api/v1/tenant_quotas?tenant_id=${tenant}`, "PUT", body);
}

Deno.test("tenants, their objects and their quotas outlive a kill of the master", async () => {
  const directory = await Deno.makeTempDir();
  const flags = [MULTI, `--data_dir=${directory}`];
  const segment = segmentOf(1, "segment-1", 64 * MIB);
  const before = await MasterProcess.start(someLoop, flags);
  {
    await using master = before;
    const client = master.connect();
    await MetadataNode.join(client, 1, 64 * MIB);
    assert.equal((await setQuota(master, "a", 4 * MIB)).success, true);
    assert.equal((await setQuota(master, "b", 8 * MIB)).success, true);
    for (let i = 0; i < 3; i++) assertOk(await put(client, "a", `k${i}`, MIB));
    assertOk(await put(client, "b", "k0", 5 * MIB));
    master.process.child.kill("SIGKILL");
    await master.process.child.status;
  }
  await using master = await MasterProcess.start(someLoop, flags);
  const client = master.connect();
  assertOk((await client.reMountSegment({ segments: [segment], clientId: "1-1" })).code);
  const quotas = (await ask(master, "/api/v1/tenant_quotas")).data;
  const shown = quotas.map((quota: Record<string, unknown>) => [
    ...[quota.tenant_id, quota.requested_quota_bytes, quota.charged_bytes],
  ]);
  assert.deepEqual(shown, [["a", 4 * MIB, 3 * MIB], ["b", 8 * MIB, 5 * MIB]]);
  for (const [tenant, bytes] of [["a", MIB], ["b", 5 * MIB]] as const) {
    const found = await client.getReplicaList({ key: bytesOf("k0"), tenantId: bytesOf(tenant) });
    const location = found.value?.replicas[0].location;
    assert(location?.kind === "memory");
    assert.equal(location.buffer.size, bytes);
  }
  assert.equal(errorName(await put(client, "c", "k", 1)), "TENANT_NOT_REGISTERED");
  await Deno.remove(directory, { recursive: true });
});

Deno.test("models and limits of tenants are in force at once, and after a restart", async () => {
  const directory = await Deno.makeTempDir();
  const flags = [MULTI, `--data_dir=${directory}`, "--key_format={model}@{}"];
  const set = (master: MasterProcess, tenant: string, body: unknown) =>
    ask(master, `/api/v1/tenants?tenant_id=${tenant}`, "PUT", JSON.stringify(body));
  {
    await using master = await MasterProcess.start(someLoop, flags);
    const client = master.connect();
    await MetadataNode.join(client, 1, 64 * MIB);
    await setQuota(master, "a", 8 * MIB);
    await setQuota(master, "b", 8 * MIB);
    assertOk(await put(client, "a", "old@1", 10));
    const { data } = await set(master, "a", { models: ["llama"], ops_per_second: 3 });
    assert.deepEqual(data, {
      ...{ tenant_id: "a", models: ["llama"], ops_per_second: 3, bytes_per_second: null },
      limited_calls: { ops_per_second: 0, bytes_per_second: 0 },
    });
    assertOk(await put(client, "a", "llama@1", 10));
    assert.equal(errorName(await put(client, "a", "old@2", 10)), "PERMISSION_DENIED");
    assert.equal(errorName(await put(client, "a", "plain", 10)), "PERMISSION_DENIED");
    for (let i = 0; i < 20; i++) assertOk(await put(client, "b", `plain ${i}`, 10));
    const tenantId = bytesOf("a");
    let limited = 0;
    for (let i = 0; i < 20; i++) {
      const { code } = await client.existKey({ key: bytesOf("llama@1"), tenantId });
      assert(code === 0 || code === ErrorCode.RATE_LIMITED, errorName(code));
      if (code !== 0) limited++;
    }
    assert(limited > 0);
    const [shown] = (await ask(master, "/api/v1/tenants?tenant_id=a")).data;
    assert.equal(shown.limited_calls.ops_per_second, limited);
    const metrics: string = await ask(master, "/metrics");
    const line = `snowskin_tenant_limited_total{tenant="a",limit="ops_per_second"} ${limited}`;
    assert(metrics.includes(line), line);

    for (
      const [body, why] of [
        [{ model: [] }, /^model: allowed: models, ops_per_second, bytes_per_second/],
        [{ models: "llama" }, /^models "llama"; allowed: a list/],
        [{ ops_per_second: 0 }, /^ops_per_second 0; allowed: a whole number from 1 to 2\^50/],
        [{ bytes_per_second: 1.5 }, /^bytes_per_second 1.5; allowed/],
        [[], /not a JSON object/],
      ] as const
    ) {
      const { error_code, error_message } = await set(master, "a", body);
      assert.equal(error_code, ErrorCode.INVALID_PARAMS);
      assert.match(error_message, why);
    }
    assert.equal((await set(master, "c", {})).error_code, ErrorCode.OBJECT_NOT_FOUND);
    const patch = JSON.stringify({ key_format: "" });
    const refused = await ask(master, "/v1/config", "PATCH", patch);
    assert.match(refused.error_message, /^--key_format=: tenants have lists of models/);
    await set(master, "a", { ops_per_second: null, bytes_per_second: 5 });
  }
  {
    await using master = await MasterProcess.start(someLoop, flags);
    const { data } = await ask(master, "/api/v1/tenants");
    const rules = data.map((
      one: Record<string, unknown>,
    ) => [one.tenant_id, one.models, one.ops_per_second, one.bytes_per_second]);
    assert.deepEqual(rules, [["a", ["llama"], null, 5], ["b", null, null, null]]);
  }
  await using master = await MasterProcess.start(someLoop, flags.slice(0, 2));
  assert(master.process.lines.some((line) => line.includes("--key_format tells no model")));
  const { error_message } = await set(master, "b", { models: ["llama"] });
  assert.match(error_message, /^models: --key_format tells no model; allowed: .*"unknown"/);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("operators ask for the keys of one tenant, or of all", async () => {
  const directory = await Deno.makeTempDir();
  await using master = await MasterProcess.start(someLoop, [MULTI, `--data_dir=${directory}`]);
  const client = master.connect();
  await MetadataNode.join(client, 1, 64 * MIB);
  for (const tenant of ["a", "b"]) await setQuota(master, tenant, 8 * MIB);
  assertOk(await put(client, "a", "same", 100));
  assertOk(await put(client, "b", "same", 200));
  assertOk(await put(client, "b", "own", 300));
  const query = async (path: string) => {
    const { data, tenant_id, error_code } = await ask(master, path);
    return error_code ?? [tenant_id, data[0].size_];
  };
  assert.deepEqual(await query("/query_key?key=same&tenant_id=a"), ["a", 100]);
  assert.deepEqual(await query("/query_key?key=same&tenant_id=b"), ["b", 200]);
  assert.deepEqual(await query("/query_key?key=own"), ["b", 300]);
  assert.equal(await query("/query_key?key=own&tenant_id=a"), ErrorCode.OBJECT_NOT_FOUND);
  assert.equal(await query("/query_key?key=own&tenant_id=c"), ErrorCode.OBJECT_NOT_FOUND);
  const batch = async (parameters: string) => {
    const { data } = await ask(master, `/batch_query_keys?keys=own,same${parameters}`);
    return ["own", "same"].map((key) => data[key].ok && data[key].tenant_id);
  };
  assert.deepEqual(await batch("&tenant_id=a"), [false, "a"]);
  assert.deepEqual(await batch("&tenant_id=b"), ["b", "b"]);
  assert.deepEqual(await batch("&tenant_id=c"), [false, false]);
  assert.deepEqual(await batch(""), ["b", "a"]);
  const keys = async (parameters: string) =>
    (await ask(master, `/get_all_keys${parameters}`))
      .split("\n").sort().join(" ").trim();
  assert.equal(await keys("?tenant_id=a"), "same");
  assert.equal(await keys("?tenant_id=b"), "own same");
  assert.equal(await keys("?tenant_id=c"), "");
  assert.equal(await keys(""), "own same same");
  const removed = await ask(master, "/api/v1/remove_all?force=true&tenant_id=b", "POST");
  assert.equal(removed.removed_count, 2);
  assert.equal(await keys(""), "same");
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a quota file that is missing or wrong stops the start with one line", async () => {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  await Deno.writeTextFile(file, "version: 1\ntenants: [{name: a, quota: 1XB}]\n");
  for (
    const [path, why] of [
      [file, 'tenant "a": quota 1XB; allowed: '],
      [`${file}.not`, "there is no such file"],
    ]
  ) {
    const flags = [MULTI, `--tenant_quota_connector_uri=${path}`, "--durability=none"];
    await assert.rejects(MasterProcess.start(someLoop, flags), (error) => {
      assert(error instanceof Error);
      assert(error.message.includes(`--tenant_quota_connector_uri=${path}: the quota file`));
      assert(error.message.includes(why), error.message);
      return true;
    });
  }
  await Deno.remove(file);
});

Deno.test({
  name: `the published wheel speaks for a tenant${
    "python" in wheel ? "" : ` (skipped: ${wheel.reason})`
  }`,
  ignore: !("python" in wheel),
  async fn() {
    assert("python" in wheel);
    const directory = await Deno.makeTempDir();
    await using master = await MasterProcess.start(someLoop, [MULTI, `--data_dir=${directory}`]);
    await setQuota(master, "team a", 8 * MIB);
    const script = new URL("../support/wheel_tenant.py", import.meta.url).pathname;
    const { stdout } = await new Deno.Command(wheel.python, {
      args: ["-B", script, `127.0.0.1:${master.rpcPort}`, "team a", "k1", "k2"],
      env: { OTHER_TENANT: "nobody" },
      stderr: "null",
    }).output();
    assert.deepEqual(new TextDecoder().decode(stdout).trim().split("\n"), [
      ...["put k1 0", "get k1 k1 of a tenant", "put k2 0", "get k2 k2 of a tenant"],
      ...["exists 0", `put stranger ${ErrorCode.TENANT_NOT_REGISTERED}`],
    ]);
    await Deno.remove(directory, { recursive: true });
  },
});

Deno.test({
  name: `the published wheel is told of keys that its tenant may not write${
    "python" in wheel ? "" : ` (skipped: ${wheel.reason})`
  }`,
  ignore: !("python" in wheel),
  async fn() {
    assert("python" in wheel);
    const directory = await Deno.makeTempDir();
    const flags = [MULTI, `--data_dir=${directory}`, "--key_format={model}@{}"];
    await using master = await MasterProcess.start(someLoop, flags);
    await setQuota(master, "a", 8 * MIB);
    await ask(master, "/api/v1/tenants?tenant_id=a", "PUT", '{"models":["llama"]}');
    const script = new URL("../support/wheel_tenant.py", import.meta.url).pathname;
    const { stdout } = await new Deno.Command(wheel.python, {
      args: ["-B", script, `127.0.0.1:${master.rpcPort}`, "a", "llama@1"],
      env: { OTHER_TENANT: "a" },
      stderr: "null",
    }).output();
    assert.deepEqual(new TextDecoder().decode(stdout).trim().split("\n"), [
      ...["put llama@1 0", "get llama@1 llama@1 of a tenant", "exists 1"],
      `put stranger ${ErrorCode.PERMISSION_DENIED}`,
    ]);
    await Deno.remove(directory, { recursive: true });
  },
});

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

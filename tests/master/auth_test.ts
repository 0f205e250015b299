// Keys of a running master: RPCs, the admin port, the audit log, restarts and the published wheel.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { StoreError } from "../../proto/error.ts";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, MIB, replicateConfig, segmentOf } from "../support/core_driver.ts";
import { loopModes, MasterProcess, testEachLoop } from "../support/master_process.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";

const someLoop = loopModes.find(({ absent }) => absent === null)!;
const wheel = await findWheel();
const FLAGS = ["--enable_multi_tenants", "--require_auth"];

/** Speaks HTTP with a key. */
class Operator {
  constructor(readonly url: string, readonly key: string | null) {}

  async ask(method: string, path: string, body?: unknown) {
    const answer = await fetch(this.url + path, {
      method,
      headers: this.key === null ? {} : { authorization: `Bearer ${this.key}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.includes("json") === true;
    return { status: answer.status, document: isJson ? JSON.parse(text) : text };
  }

  /** Makes a key and returns its text and id. */
  async make(wish: Record<string, unknown>): Promise<{ key: string; id: string }> {
    const { status, document } = await this.ask("POST", "/api/v1/keys", wish);
    assert.equal(status, 200, JSON.stringify(document));
    return document.data;
  }
}

function firstKey(master: MasterProcess): string | null {
  const line = master.process.lines.find((text) => text.includes("first admin key"));
  return line === undefined ? null : /mk_\S+/.exec(line)![0];
}

async function startMaster(directory: string, mode = someLoop) {
  const master = await MasterProcess.start(mode, [...FLAGS, `--data_dir=${directory}`]);
  return { master, admin: new Operator(master.adminUrl, firstKey(master)) };
}

async function put(master: MasterProcess, tenant: string, key: string): Promise<string> {
  const client = master.connect();
  const [clientId, tenantId] = ["1-1", bytesOf(tenant)];
  const { code } = await client.putStart({
    ...{ clientId, key: bytesOf(key), sliceLength: 1000, tenantId, config: replicateConfig() },
  });
  if (code !== 0) return errorName(code);
  const objectMeta = { key: bytesOf(key), objectChecksum: null };
  const request = { clientId, objectMeta, replicaType: ReplicaType.ALL, tenantId };
  return errorName((await client.putEnd(request)).code);
}

async function mount(master: MasterProcess): Promise<void> {
  const segment = segmentOf(1, "segment-1", 64 * MIB);
  const client = master.connect();
  await client.mountSegment({ segment, clientId: "1-1" });
  await client.reMountSegment({ segments: [segment], clientId: "1-1" });
}

testEachLoop("every call about objects needs a key of its tenant", async (mode) => {
  const directory = await Deno.makeTempDir();
  {
    const { master, admin } = await startMaster(directory, mode);
    await using _master = master;
    await mount(master);
    for (const tenant of ["a", "b", "default"]) {
      const path = `/api/v1/tenant_quotas?tenant_id=${tenant}`;
      const body = { requested_quota_bytes: MIB };
      assert.equal((await admin.ask("PUT", path, body)).status, 200);
    }
    const a = await admin.make({ role: "client", tenant: "a" });
    const b = await admin.make({ role: "client", tenant: "b" });
    assert.equal(await put(master, `a:${a.key}`, "same"), "OK");
    assert.equal(await put(master, `b:${b.key}`, "same"), "OK");
    assert.equal(await put(master, `b:${a.key}`, "x"), "PERMISSION_DENIED");
    assert.equal(await put(master, "a", "x"), "UNAUTHENTICATED");

    const client = master.connect();
    const key = bytesOf("same");
    for (const [tenant, why] of [["b", "UNAUTHENTICATED"], [`b:${a.key}`, "PERMISSION_DENIED"]]) {
      const tenantId = bytesOf(tenant);
      const clientId = "1-1";
      const keys = [key];
      const end = { clientId, objectMeta: { key, objectChecksum: null }, tenantId };
      const objectMetas = [end.objectMeta];
      const config = replicateConfig();
      const replicaType = ReplicaType.ALL;
      const start = { clientId, key, sliceLength: 1, tenantId, config };
      const starts = { clientId, keys, sliceLengths: [1], tenantId, config };
      const of = { clientId, key, tenantId };
      const copy = { ...of, srcSegment: "segment-1", tgtSegments: ["segment-1"] };
      const dynamic = { leaseId: "1-1", versionEpoch: 1 };
      const answers = [
        await client.existKey({ key, tenantId }),
        ...await client.batchExistKey({ keys, tenantId }),
        await client.getReplicaList({ key, tenantId }),
        ...await client.batchGetReplicaList({ keys, tenantId }),
        await client.getReplicaListByRegex({ regex: ".", tenantId }),
        await client.putStart(start),
        await client.putEnd({ ...end, replicaType }),
        await client.putRevoke({ ...of, replicaType }),
        ...await client.batchPutStart(starts),
        ...await client.batchPutEnd({ clientId, objectMetas, tenantId, replicaType }),
        ...await client.batchPutRevoke({ clientId, keys, tenantId, replicaType }),
        await client.upsertStart(start),
        await client.upsertEnd({ ...end, replicaType }),
        await client.upsertRevoke({ ...of, replicaType }),
        ...await client.batchUpsertStart(starts),
        ...await client.batchUpsertEnd({ clientId, objectMetas, tenantId }),
        ...await client.batchUpsertRevoke({ clientId, keys, tenantId }),
        await client.remove({ key, force: true, tenantId }),
        ...await client.batchRemove({ keys, force: true, tenantId }),
        await client.removeByRegex({ regex: ".", force: true, tenantId }),
        { code: await client.removeAll({ force: true, tenantId }) },
        await client.evictDiskReplica({ ...of, replicaType: ReplicaType.DISK }),
        ...await client.batchEvictDiskReplica({
          ...{ clientId, keys, tenantId, replicaType: ReplicaType.DISK },
        }),
        await client.copyStart(copy),
        await client.copyEnd(of),
        await client.copyRevoke(of),
        await client.dynamicReplicaCopyStart({ ...copy, ...dynamic }),
        await client.dynamicReplicaCopyEnd({ ...of, ...dynamic }),
        await client.dynamicReplicaCopyRevoke({ ...of, ...dynamic }),
        await client.moveStart({ ...of, srcSegment: "segment-1", tgtSegment: "x" }),
        await client.moveEnd(of),
        await client.moveRevoke(of),
        await client.createCopyTask({ key, tenantId, targets: ["segment-1"] }),
        await client.createMoveTask({ key, tenantId, source: "segment-1", target: "x" }),
        await client.promotionAllocStart({ ...of, size: 1000, preferredSegments: [] }),
        await client.notifyPromotionSuccess(of),
        await client.notifyPromotionFailure(of),
      ];
      const codes = answers.map(({ code }) => errorName(code));
      assert.deepEqual(codes, codes.map(() => why));
    }
    const unnamed = { objectKeys: [key], clientId: "1-1", segmentName: "" };
    assert.equal(errorName((await client.batchReplicaClear(unnamed)).code), "UNAUTHENTICATED");
    const all = await client.removeAll({ force: true, tenantId: bytesOf("") });
    assert.equal(errorName(all), "UNAUTHENTICATED");
    const found = await client.existKey({ key, tenantId: bytesOf(`b:${b.key}`) });
    assert.equal(found.value, true);
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("keys are rotated with two that work, taken back, and outlive a kill", async () => {
  const directory = await Deno.makeTempDir();
  const { master, admin } = await startMaster(directory);
  let current: string;
  {
    await using _master = master;
    await mount(master);
    const quota = "/api/v1/tenant_quotas?tenant_id=a";
    await admin.ask("PUT", quota, { requested_quota_bytes: MIB });
    const old = await admin.make({ role: "client", tenant: "a", label: "engine 1" });
    assert.equal(await put(master, `a:${old.key}`, "1"), "OK");
    const rotate = (id: string, grace: number) =>
      admin.ask("POST", `/api/v1/keys/rotate?id=${id}&grace_seconds=${grace}`);
    const next = (await rotate(old.id, 600)).document.data;
    assert.deepEqual([next.role, next.tenant, next.label], ["client", "a", "engine 1"]);
    assert.equal(await put(master, `a:${old.key}`, "2"), "OK");
    assert.equal(await put(master, `a:${next.key}`, "3"), "OK");
    assert.equal((await admin.ask("DELETE", `/api/v1/keys?id=${old.id}`)).status, 200);
    assert.equal(await put(master, `a:${old.key}`, "4"), "UNAUTHENTICATED");
    const brief = (await rotate(next.id, 1)).document.data;
    await until(async () => await put(master, `a:${next.key}`, "5") === "UNAUTHENTICATED", 3000);
    assert.equal(await put(master, `a:${brief.key}`, "6"), "OK");
    current = brief.key;
    master.process.child.kill("SIGKILL");
    await master.process.child.status;
  }
  {
    const again = await startMaster(directory);
    await using master = again.master;
    assert.equal(again.admin.key, null, "the first key is shown once");
    await mount(master);
    assert.equal(await put(master, `a:${current}`, "7"), "OK");
    const listed = await new Operator(master.adminUrl, admin.key).ask("GET", "/api/v1/keys");
    assert.equal(listed.document.data.length, 3);
    assert(!JSON.stringify(listed.document).includes(current.slice(-43)));
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("on the admin port a key opens what its role is for, and changes are written down", async () => {
  const directory = await Deno.makeTempDir();
  {
    const { master, admin } = await startMaster(directory);
    await using _master = master;
    await mount(master);
    for (const tenant of ["a", "b"]) {
      const path = `/api/v1/tenant_quotas?tenant_id=${tenant}`;
      await admin.ask("PUT", path, { requested_quota_bytes: MIB });
    }
    const wishes = {
      operator: { role: "operator" },
      monitor: { role: "read-only" },
      own: { role: "tenant-admin", tenant: "a" },
      client: { role: "client", tenant: "a" },
      reader: { role: "read-only", tenant: "a" },
    };
    const callers: Record<string, Operator> = { admin, nobody: new Operator(admin.url, null) };
    callers.wrong = new Operator(admin.url, admin.key!.slice(0, -1) + "_");
    for (const [name, wish] of Object.entries(wishes)) {
      callers[name] = new Operator(admin.url, (await admin.make(wish)).key);
    }
    assert.equal(await put(master, `a:${callers.client.key}`, "k"), "OK");
    const quota = "/api/v1/tenant_quotas";
    const expected: [string, string, Record<string, number>][] = [
      ["GET", "/health", { nobody: 200, wrong: 200, client: 200 }],
      ["GET", "/metrics", {
        ...{ nobody: 401, wrong: 401, admin: 200, operator: 200, monitor: 200 },
        ...{ own: 403, client: 403, reader: 403 },
      }],
      ["GET", "/query_key?key=k&tenant_id=a", {
        ...{ nobody: 401, admin: 200, operator: 200, monitor: 200 },
        ...{ own: 200, client: 200, reader: 200 },
      }],
      ["GET", "/query_key?key=k&tenant_id=b", { own: 403, client: 403, reader: 403, admin: 404 }],
      ["GET", "/query_key?key=k", { own: 403, client: 403, reader: 403, admin: 200 }],
      ["GET", "/batch_query_keys?keys=k", { own: 403, client: 403, admin: 200 }],
      ["GET", "/get_all_keys", { own: 403, client: 403, admin: 200, monitor: 200 }],
      ["GET", "/get_all_keys?tenant_id=a", { own: 200, client: 200, nobody: 401 }],
      ["GET", quota, { own: 403, client: 403, operator: 200 }],
      ["GET", "/v1/config", { own: 403, nobody: 401, monitor: 200 }],
      ["GET", "/api/v1/keys", { nobody: 401, operator: 403, monitor: 403, own: 200, client: 403 }],
      ["GET", "/api/v1/users", { nobody: 401, operator: 403, monitor: 403, own: 200, client: 403 }],
      ["PATCH", "/api/v1/users?user=x", { nobody: 401, operator: 403, client: 403, own: 400 }],
      ["GET", "/api/v1/tenants?tenant_id=a", { nobody: 401, own: 200, client: 200, monitor: 200 }],
      ["GET", "/api/v1/tenants", { own: 403, client: 403, operator: 200 }],
      ["PUT", "/api/v1/tenants?tenant_id=a", { own: 403, client: 403, monitor: 403, nobody: 401 }],
      ["DELETE", `${quota}?tenant_id=x`, { nobody: 401, monitor: 403, own: 403, operator: 404 }],
      ["GET", "/v1/why?key=k&tenant=a", { nobody: 401, own: 200, client: 200, monitor: 200 }],
      ["GET", "/v1/why?key=k&tenant=b", { own: 403, client: 403, reader: 403, operator: 200 }],
      ["GET", "/v1/why?key=k&tenant_id=a", { own: 403, client: 403 }],
      ["GET", "/v1/why-miss?tenant=a", { own: 200, reader: 200, nobody: 401 }],
      ["GET", "/v1/why-miss", { own: 403, reader: 403, monitor: 200 }],
      ["GET", "/v1/stats/hits?by=tenant", { own: 403, nobody: 401, monitor: 200 }],
      ["GET", "/api/v1/jobs", { own: 403, nobody: 401, monitor: 200 }],
      ["POST", "/api/v1/drain_jobs", { nobody: 401, own: 403, monitor: 403, operator: 400 }],
      ["POST", "/api/v1/jobs/rebalance", { nobody: 401, own: 403, monitor: 403 }],
      ["PATCH", "/v1/config", { nobody: 401, own: 403, monitor: 403, operator: 400 }],
      ["GET", "/api/v1/snapshots", { nobody: 401, own: 403, operator: 409 }],
      ["POST", "/api/v1/snapshots", { nobody: 401, own: 403, monitor: 403, operator: 409 }],
      ["POST", "/api/v1/backup", { nobody: 401, own: 403, client: 403, monitor: 403 }],
      ["GET", "/v1/ha/checkpoint", { nobody: 401, own: 403 }],
      ["GET", "/get_all_segments", { nobody: 401, own: 403, monitor: 200 }],
      ["POST", "/api/v1/remove_all?tenant_id=b", { own: 403, monitor: 403, nobody: 401 }],
      ["POST", "/api/v1/remove_all?tenant_id=a", { client: 403, reader: 403, own: 200 }],
      ["POST", "/api/v1/remove_all", { own: 403, client: 403, operator: 200 }],
    ];
    for (const [method, path, statuses] of expected) {
      for (const [caller, status] of Object.entries(statuses)) {
        const answer = await callers[caller].ask(method, path);
        assert.equal(answer.status, status, `${caller}: ${method} ${path}`);
      }
    }
    const located = async (caller: string, tenant: string) => {
      const body = { tenant, keys: ["k"] };
      const { status, document } = await callers[caller].ask("POST", "/v1/route", body);
      return status === 200 ? document.keys[0].state : status;
    };
    assert.equal(await located("client", "a"), await located("monitor", "a"));
    assert.notEqual(await located("client", "a"), await located("monitor", "b"));
    for (const tenant of ["b", "", "default"]) assert.equal(await located("client", tenant), 403);
    assert.equal(await located("nobody", "a"), 401);
    const make = async (caller: string, wish: unknown) =>
      (await callers[caller].ask("POST", "/api/v1/keys", wish)).status;
    assert.equal(await make("own", { role: "client", tenant: "a" }), 200);
    for (const [role, tenant] of [["client", "b"], ["tenant-admin", "a"], ["admin", null]]) {
      assert.equal(await make("own", { role, tenant }), 403, `${role} of ${tenant}`);
    }
    for (
      const wish of [
        ...[{}, { role: "root" }, { role: "client" }, { role: "admin", tenant: "a" }, "x"],
        ...[{ role: "client", tenant: "_a" }, { role: "read-only", more: 1 }],
        { role: "read-only", expires_in_seconds: -1 },
      ]
    ) assert.equal(await make("admin", wish), 400, JSON.stringify(wish));
    const shown = (await callers.own.ask("GET", "/api/v1/keys")).document.data;
    assert(shown.every(({ tenant }: { tenant: string }) => tenant === "a"));

    const lines = (await Deno.readTextFile(`${directory}/audit.log`)).trim().split("\n");
    const entries = lines.map((line) => JSON.parse(line));
    assert(!lines.some((line) => line.includes("mk_")));
    const last = entries.findLast(({ target }) => target === "/api/v1/remove_all");
    const { role, method, status, peer } = last;
    assert.deepEqual([role, method, status, peer], ["operator", "POST", 200, "127.0.0.1"]);
    assert(entries.some(({ key, status }) => key === null && status === 401));
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a user that is disabled loses all its keys at once, and has them back when enabled", async () => {
  const directory = await Deno.makeTempDir();
  const { master, admin } = await startMaster(directory);
  let alice: { key: string; id: string };
  let next: { key: string };
  const ofAlice = "/api/v1/users?user=alice&tenant_id=a";
  {
    await using _master = master;
    await mount(master);
    for (const tenant of ["a", "b"]) {
      const path = `/api/v1/tenant_quotas?tenant_id=${tenant}`;
      await admin.ask("PUT", path, { requested_quota_bytes: MIB });
    }
    alice = await admin.make({ role: "client", tenant: "a", user: "alice" });
    const other = await admin.make({ role: "client", tenant: "b", user: "alice" });
    const bob = await admin.make({ role: "client", tenant: "a", user: "bob" });
    const own = new Operator(
      admin.url,
      (await admin.make({ role: "tenant-admin", tenant: "a", user: "carol" })).key,
    );
    const rotated = await admin.ask("POST", `/api/v1/keys/rotate?id=${alice.id}`);
    next = rotated.document.data;
    assert.equal(rotated.document.data.user, "alice");
    const codes = async () => [
      ...[await put(master, `a:${alice.key}`, "1"), await put(master, `a:${next.key}`, "2")],
      ...[await put(master, `b:${other.key}`, "3"), await put(master, `a:${bob.key}`, "4")],
    ];
    assert.deepEqual(await codes(), Array(4).fill("OK"));
    const disabled = await own.ask("PATCH", ofAlice, { disabled: true });
    assert.deepEqual([disabled.status, disabled.document.data.disabled], [200, true]);
    const later = ["UNAUTHENTICATED", "UNAUTHENTICATED", "OBJECT_ALREADY_EXISTS"];
    assert.deepEqual(await codes(), [...later, "OBJECT_ALREADY_EXISTS"]);
    const http = new Operator(admin.url, next.key);
    assert.equal((await http.ask("GET", "/query_key?key=2&tenant_id=a")).status, 401);

    const refused: [Operator, string, string, unknown, number][] = [
      [admin, "POST", "/api/v1/keys", { role: "client", tenant: "a", user: "alice" }, 409],
      [admin, "POST", "/api/v1/keys", { role: "client", tenant: "a", user: "" }, 400],
      [admin, "POST", `/api/v1/keys/rotate?id=${alice.id}`, undefined, 409],
      [admin, "PATCH", "/api/v1/users?user=alice", { disabled: true }, 404],
      [admin, "PATCH", "/api/v1/users?user=dave&tenant_id=a", { disabled: true }, 404],
      [admin, "PATCH", ofAlice, { disabled: 1 }, 400],
      [admin, "PATCH", "/api/v1/users", { disabled: true }, 400],
      [own, "PATCH", "/api/v1/users?user=alice&tenant_id=b", { disabled: true }, 404],
      [own, "PATCH", "/api/v1/users?user=carol&tenant_id=a", { disabled: true }, 404],
    ];
    for (const [caller, method, path, body, status] of refused) {
      const answer = await caller.ask(method, path, body);
      assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.document)}`);
    }
    const listed = (await admin.ask("GET", "/api/v1/users")).document.data;
    assert.deepEqual(
      listed.map((one: Record<string, unknown>) => [one.tenant, one.user, one.disabled]),
      [["a", "alice", true], ["a", "bob", false], ["a", "carol", false], ["b", "alice", false]],
    );
    const seen = (await own.ask("GET", "/api/v1/users")).document.data;
    assert.deepEqual(seen.map(({ user }: { user: string }) => user), ["alice", "bob"]);
    const boss = await admin.make({ role: "admin", user: "boss" });
    const self = new Operator(admin.url, boss.key);
    assert.equal(
      (await self.ask("PATCH", "/api/v1/users?user=boss", { disabled: true })).status,
      409,
    );
    assert.equal(
      (await admin.ask("PATCH", "/api/v1/users?user=boss", { disabled: true })).status,
      200,
    );
    assert.equal((await self.ask("GET", "/api/v1/users")).status, 401);
    const lines = (await Deno.readTextFile(`${directory}/audit.log`)).trim().split("\n");
    const entry = lines.map((line) => JSON.parse(line)).find(({ target }) => target === ofAlice);
    assert.deepEqual([entry.user, entry.role, entry.status], ["carol", "tenant-admin", 200]);
    master.process.child.kill("SIGKILL");
    await master.process.child.status;
  }
  {
    const again = await startMaster(directory);
    await using master = again.master;
    await mount(master);
    assert.equal(await put(master, `a:${next.key}`, "5"), "UNAUTHENTICATED");
    const operator = new Operator(master.adminUrl, admin.key);
    assert.equal((await operator.ask("PATCH", ofAlice, { disabled: false })).status, 200);
    assert.equal(await put(master, `a:${next.key}`, "5"), "OK");
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("tenants and keys are managed from the command line", async () => {
  const directory = await Deno.makeTempDir();
  const program = new URL("../../snowskin.ts", import.meta.url).pathname;
  const snowskin = async (key: string | null, ...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--unstable-kv", program, ...args],
      env: { NO_COLOR: "1", SNOWSKIN_ADMIN_KEY: key ?? "" },
    }).output();
    const text = new TextDecoder().decode(stdout).trim();
    return { code, text, error: new TextDecoder().decode(stderr) };
  };
  const offline = ["key", "create", "--role=admin", `--data_dir=${directory}`];
  const made = await snowskin(null, ...offline);
  assert.equal(made.code, 0, made.error);
  {
    const { master, admin } = await startMaster(directory);
    await using _master = master;
    assert.equal(admin.key, null, "there is an admin key already");
    const run = (key: string | null, ...args: string[]) =>
      snowskin(key, ...args, `--url=${master.adminUrl}`);
    const busy = await snowskin(null, ...offline);
    assert.match(busy.error, /in use by process/);
    assert.equal(busy.code, 1);
    const set = ["tenant", "set", "--tenant=a", "--quota=1MB"];
    assert.match((await run(null, ...set)).error, /401.*SNOWSKIN_ADMIN_KEY/);
    assert.equal((await run(made.text, ...set)).code, 0);
    const [shown] = (await run(made.text, "tenant", "list")).text.split("\n");
    assert.equal(JSON.parse(shown).requested_quota_bytes, MIB);
    const limit = ["tenant", "limit", "--tenant=a"];
    const limits = async () =>
      JSON.parse((await run(made.text, "tenant", "limits", "--tenant=a")).text);
    const given = ["--models=m,unknown", "--ops_per_second=100000", "--bytes_per_second=2GB"];
    assert.equal((await run(made.text, ...limit, ...given)).code, 0);
    const { models, ops_per_second, bytes_per_second } = await limits();
    assert.deepEqual([models, ops_per_second, bytes_per_second], [
      ...[["m", "unknown"], 100_000, 2 ** 31],
    ]);
    assert.equal((await run(made.text, ...limit, "--models=none")).code, 0);
    assert.equal((await limits()).models, null);
    assert.match((await run(made.text, ...limit, "--ops_per_second=x")).error, /=x: allowed: /);
    assert.equal((await run(made.text, ...limit)).code, 2);
    const create = ["key", "create", "--role=client", "--tenant=a", "--user=alice"];
    const client = await run(made.text, ...create);
    await mount(master);
    assert.equal(await put(master, `a:${client.text}`, "k"), "OK");
    const user = ["--user=alice", "--tenant=a"];
    assert.equal((await run(made.text, "user", "disable", ...user)).code, 0);
    assert.equal(await put(master, `a:${client.text}`, "j"), "UNAUTHENTICATED");
    const listed = JSON.parse((await run(made.text, "user", "list")).text);
    assert.deepEqual([listed.user, listed.tenant, listed.disabled], ["alice", "a", true]);
    assert.equal((await run(made.text, "user", "enable", ...user)).code, 0);
    const id = client.text.slice(3, 15);
    const next = await run(made.text, "key", "rotate", `--id=${id}`, "--grace_seconds=0");
    assert.equal(await put(master, `a:${next.text}`, "l"), "OK");
    assert.equal(await put(master, `a:${client.text}`, "m"), "UNAUTHENTICATED");
    const revoked = await run(made.text, "key", "revoke", `--id=${next.text.slice(3, 15)}`);
    assert.equal(revoked.code, 0, revoked.error);
    assert.equal(await put(master, `a:${next.text}`, "n"), "UNAUTHENTICATED");
    assert.equal((await run(made.text, "tenant", "remove", "--tenant=a")).code, 1);
    assert.equal((await run(made.text, "key", "dance")).code, 2);
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("our client carries the key that it is given", async () => {
  const directory = await Deno.makeTempDir();
  {
    const { master, admin } = await startMaster(directory);
    await using _master = master;
    const path = "/api/v1/tenant_quotas?tenant_id=a";
    await admin.ask("PUT", path, { requested_quota_bytes: 8 * MIB });
    const { key } = await admin.make({ role: "client", tenant: "a" });
    const settings = {
      ...{ masterServerAddress: `127.0.0.1:${master.rpcPort}`, tenantId: "a" },
      globalSegmentSize: 16 * MIB,
    };
    await using client = await StoreClient.connect({ ...settings, authKey: key });
    await client.put("k", bytesOf("value"));
    assert.deepEqual(await client.get("k"), bytesOf("value"));
    await using stranger = await StoreClient.connect({ ...settings, globalSegmentSize: 0 });
    const unauthenticated = (error: unknown) =>
      error instanceof StoreError && error.code === ErrorCode.UNAUTHENTICATED;
    await assert.rejects(stranger.put("k2", bytesOf("x")), unauthenticated);
    await assert.rejects(stranger.get("k"), unauthenticated);
    const { status } = await admin.ask("GET", "/query_key?key=k&tenant_id=a");
    assert.equal(status, 200);
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test({
  name: `the published wheel carries a key in its tenant${
    "python" in wheel ? "" : ` (skipped: ${wheel.reason})`
  }`,
  ignore: !("python" in wheel),
  async fn() {
    assert("python" in wheel);
    const directory = await Deno.makeTempDir();
    {
      const { master, admin } = await startMaster(directory);
      await using _master = master;
      const path = "/api/v1/tenant_quotas?tenant_id=a";
      await admin.ask("PUT", path, { requested_quota_bytes: 8 * MIB });
      const { key } = await admin.make({ role: "client", tenant: "a" });
      const script = new URL("../support/wheel_tenant.py", import.meta.url).pathname;
      const { stdout } = await new Deno.Command(wheel.python, {
        args: ["-B", script, `127.0.0.1:${master.rpcPort}`, `a:${key}`, "k1"],
        env: { OTHER_TENANT: "a" },
        stderr: "null",
      }).output();
      assert.deepEqual(new TextDecoder().decode(stdout).trim().split("\n"), [
        ...["put k1 0", "get k1 k1 of a tenant", "exists -1710", "put stranger -1710"],
      ]);
    }
    await Deno.remove(directory, { recursive: true });
  },
});

// Goal: keys, quotas, metadata documents and kept settings are those of the cluster: they outlive the
// leader, hold on every master, and go with a master that joins a cluster or leaves it.
// Method: masters as processes on etcd and Redis, asked as users ask them; the leader is killed.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, startMaster } from "../../examples/local_cluster.ts";
import { StoreError } from "../../proto/error.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { HaMaster, HaMasters, valueOf } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;
const FIRST_KEY = /the first admin key, shown only now: (mk_\S+)/;
/** In this many milliseconds a revoked key is no good on any master. */
const REVOKED_MS = 1000;

/** One admin call of a master; the key goes along if there is one. */
async function ask(
  adminUrl: string,
  key: string | null,
  method: string,
  path: string,
  body?: unknown,
) {
  const response = await fetch(adminUrl + path, {
    ...{ method, signal: AbortSignal.timeout(10_000) },
    headers: key === null ? {} : { authorization: `Bearer ${key}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, text, data: text.startsWith("{") ? JSON.parse(text) : null };
}

function firstKeyOf(lines: readonly string[]): string | null {
  return lines.map((line) => FIRST_KEY.exec(line)?.[1]).find((key) => key !== undefined) ?? null;
}

/** A master of a cluster whose metadata server has a port of its own. */
async function withMetadata(flags: string[]): Promise<{ flags: string[]; url: string }> {
  const port = await freePort();
  return {
    flags: [
      ...flags,
      "--http_metadata_server_host=127.0.0.1",
      `--http_metadata_server_port=${port}`,
    ],
    url: `http://127.0.0.1:${port}/metadata?key=`,
  };
}

async function document(url: string, key: string): Promise<string | null> {
  const response = await fetch(url + key);
  const text = await response.text();
  return response.status === 200 ? text : null;
}

const engines = [
  {
    ...{ name: "etcd", absent: etcdAbsent, start: () => EngineServer.etcd() },
    flags: ({ address }: EngineServer) => [`--etcd_endpoints=${address}`],
    client: ({ address }: EngineServer) => `etcd://${address}`,
  },
  {
    ...{ name: "redis", absent: redisAbsent, start: () => EngineServer.redis() },
    flags: ({ address }: EngineServer) => [
      ...["--ha_backend_type=redis", `--ha_backend_connstring=redis://${address}`],
    ],
    client: ({ address }: EngineServer) => `redis://${address}`,
  },
];

for (const { name, absent, start, flags, client } of engines) {
  testWith(absent, `${name}: keys, quotas, rules and documents outlive the leader`, async () => {
    await using engine = await start();
    await using masters = await HaMasters.start(0, []);
    const common = [...flags(engine), "--require_auth", "--enable_multi_tenants"];
    const urls = new Map<HaMaster, string>();
    const add = async () => {
      const { flags, url } = await withMetadata(common);
      const master = await masters.add(flags);
      urls.set(master, url);
      return master;
    };
    await Promise.all([add(), add()]);
    const leader = await masters.leader();
    await leader.process.line(FIRST_KEY);
    const admin = firstKeyOf(leader.process.lines)!;
    const [standby] = await masters.standbys();
    assert.equal(firstKeyOf(standby.process.lines), null, "a standby makes no key");

    // Made on the leader; good on the standby.
    const on = (
      master: HaMaster,
      key: string | null,
      method: string,
      path: string,
      body?: unknown,
    ) => ask(master.adminUrl, key, method, path, body);
    const quota = `/api/v1/tenant_quotas?tenant_id=a`;
    assert.equal(
      (await on(leader, admin, "PUT", quota, { requested_quota_bytes: 16 * MIB })).status,
      200,
    );
    const rules = "/api/v1/tenants?tenant_id=a";
    const limited = { models: ["unknown"], ops_per_second: 100_000 };
    const ruled = await on(leader, admin, "PUT", rules, limited);
    assert.equal(ruled.status, 200, ruled.text);
    const rulesOn = async (master: HaMaster) => {
      const { data } = await on(master, admin, "GET", rules);
      const { models, ops_per_second, bytes_per_second } = data.data[0];
      return { models, ops_per_second, bytes_per_second };
    };
    const make = async (label: string, user: string | null = null) => {
      const wish = { role: "client", tenant: "a", label, user };
      const { status, data } = await on(leader, admin, "POST", "/api/v1/keys", wish);
      assert.equal(status, 200);
      return data.data as { key: string; id: string };
    };
    const [good, bad, old] = [await make("good"), await make("bad"), await make("old")];
    const [laptop, server] = [await make("laptop", "alice"), await make("server", "alice")];
    const quotaOn = (master: HaMaster, key: string) => on(master, key, "GET", quota);
    await until(async () => (await quotaOn(standby, server.key)).status === 200);
    assert.equal((await quotaOn(standby, bad.key)).status, 200);
    assert.deepEqual(await rulesOn(standby), { ...limited, bytes_per_second: null });
    assert.equal((await quotaOn(standby, "mk_wrong")).status, 401);

    // A standby changes nothing and says who does.
    for (
      const [method, path, body] of [
        ["PUT", quota, { requested_quota_bytes: 1 }],
        ["PUT", rules, { ops_per_second: 1 }],
        ["PATCH", "/api/v1/users?user=alice&tenant_id=a", { disabled: true }],
        ["POST", "/api/v1/keys", { role: "admin" }],
        ["DELETE", `/api/v1/keys?id=${good.id}`, undefined],
        ["PATCH", "/v1/config?persist=true", { put_wait_ms: 7 }],
      ] as const
    ) {
      const { status, text } = await on(standby, admin, method, path, body);
      assert.equal(status, 503, `${method} ${path}: ${text}`);
      assert(text.includes(leader.address), text);
    }
    const refused = await fetch(`${urls.get(standby)}doc`, { method: "PUT", body: "{}" });
    assert.equal(refused.status, 503);
    assert((await refused.text()).includes(leader.address));

    // Revoked and rotated: no good on any master within a second.
    assert.equal((await on(leader, admin, "DELETE", `/api/v1/keys?id=${bad.id}`)).status, 200);
    const revokedMs = performance.now();
    assert.equal((await quotaOn(leader, bad.key)).status, 401);
    await until(async () => (await quotaOn(standby, bad.key)).status === 401);
    assert(performance.now() - revokedMs < REVOKED_MS);
    const rotate = `/api/v1/keys/rotate?id=${old.id}&grace_seconds=0`;
    const next = (await on(leader, admin, "POST", rotate)).data.data.key as string;
    const alice = "/api/v1/users?user=alice&tenant_id=a";
    const disabled = await on(leader, admin, "PATCH", alice, { disabled: true });
    assert.equal(disabled.status, 200, disabled.text);
    const more = await on(leader, admin, "PUT", rules, { bytes_per_second: 1 << 30 });
    assert.equal(more.status, 200, more.text);

    for (const [key, value] of [["doc", "v1"], ["gone", "v"], ["doc", "v2"]]) {
      const put = await fetch(urls.get(leader)! + key, { method: "PUT", body: value });
      assert.equal(await put.text(), "metadata updated");
      assert.equal(await document(urls.get(leader)!, key), value, "who was answered can read it");
    }
    const dropped = await fetch(`${urls.get(leader)}gone`, { method: "DELETE" });
    assert.equal(dropped.status, 200, await dropped.text());
    await until(async () => await document(urls.get(standby)!, "doc") === "v2");
    const keep = await on(leader, admin, "PATCH", "/v1/config?persist=true", { put_wait_ms: 4321 });
    assert.equal(keep.status, 200, keep.text);

    await leader.process.stop("SIGKILL");
    await masters.leader(leader);
    assert.equal((await quotaOn(standby, good.key)).data.data.requested_quota_bytes, 16 * MIB);
    assert.equal((await quotaOn(standby, next)).status, 200);
    assert.equal((await quotaOn(standby, bad.key)).status, 401);
    assert.equal((await quotaOn(standby, old.key)).status, 401);
    for (const { key } of [laptop, server]) {
      assert.equal((await quotaOn(standby, key)).status, 401, "its user is disabled");
    }
    assert.deepEqual(await rulesOn(standby), { ...limited, bytes_per_second: 1 << 30 });
    assert.equal((await on(standby, admin, "PATCH", alice, { disabled: false })).status, 200);
    assert.equal((await quotaOn(standby, laptop.key)).status, 200);
    assert.equal(await document(urls.get(standby)!, "doc"), "v2");
    assert.equal(await document(urls.get(standby)!, "gone"), null);
    const { flags: shown } = (await on(standby, admin, "GET", "/v1/config")).data;
    assert.equal(shown.put_wait_ms.value, 4321);
    assert.equal(firstKeyOf(standby.process.lines), null, "there is an admin key already");

    const connect = (authKey: string, globalSegmentSize = 0) =>
      StoreClient.connect({
        ...{ masterServerAddress: client(engine), tenantId: "a", authKey, globalSegmentSize },
        rpcConnectTimeoutMs: 1000,
      });
    await using taken = await connect(good.key, 32 * MIB);
    await until(() => taken.put("x", valueOf("x")).then(() => true, () => false));
    await using revoked = await connect(bad.key);
    await assert.rejects(
      revoked.put("y", valueOf("y")),
      (error) => error instanceof StoreError && error.code === ErrorCode.UNAUTHENTICATED,
    );
    await assert.rejects(taken.put("large", new Uint8Array(17 * MIB)), StoreError);
    // What another master was told to hold a tenant to, this one holds it to.
    const none = await on(standby, admin, "PUT", rules, { models: [] });
    assert.equal(none.status, 400, "--key_format tells no model");
    const slow = await on(standby, admin, "PUT", rules, { bytes_per_second: MIB });
    assert.equal(slow.status, 200, slow.text);
    await taken.put("burst", new Uint8Array(15 * MIB));
    await assert.rejects(
      taken.put("late", valueOf("late")),
      (error) => error instanceof StoreError && error.code === ErrorCode.RATE_LIMITED,
    );
  });
}

testWith(
  redisAbsent,
  "a leader that was frozen makes no key, whatever it was asked before another one led",
  async () => {
    await using redis = await EngineServer.redis();
    await using masters = await HaMasters.start(2, [
      ...["--ha_backend_type=redis", `--ha_backend_connstring=redis://${redis.address}`],
      "--require_auth",
    ]);
    const frozen = await masters.leader();
    await frozen.process.line(FIRST_KEY);
    const admin = firstKeyOf(frozen.process.lines)!;
    await masters.standbys();
    frozen.process.kill("SIGSTOP");
    const late = ask(frozen.adminUrl, admin, "POST", "/api/v1/keys", {
      role: "admin",
      label: "late",
    })
      .then(({ status }) => status, () => null);
    const next = await masters.leader(frozen);
    frozen.process.kill("SIGCONT");
    assert.notEqual(await late, 200);
    await frozen.process.line(/this master begins anew: /);
    const wish = { role: "admin", label: "next" };
    assert.equal((await ask(next.adminUrl, admin, "POST", "/api/v1/keys", wish)).status, 200);
    const labels = async (master: HaMaster) => {
      const { data } = await ask(master.adminUrl, admin, "GET", "/api/v1/keys");
      return data.data.map(({ label }: { label: string }) => label).sort().join();
    };
    assert.equal(await labels(next), "first key,next");
    const back = () => labels(frozen).then((found) => found === "first key,next", () => false);
    await until(back);
  },
);

testWith(
  redisAbsent,
  "a late master takes keys and documents with a checkpoint, which other people do not get",
  async () => {
    await using redis = await EngineServer.redis();
    const common = [
      ...["--ha_backend_type=redis", `--ha_backend_connstring=redis://${redis.address}`],
      ...["--require_auth", `--ha_log_bytes=${MIB}`],
    ];
    await using masters = await HaMasters.start(0, []);
    const first = await withMetadata(common);
    const leader = await masters.add(first.flags);
    await leader.process.line(FIRST_KEY);
    const admin = firstKeyOf(leader.process.lines)!;
    const value = "x".repeat(300_000);
    for (let i = 0; i < 5; i++) {
      const { status } = await fetch(`${first.url}d${i}`, { method: "PUT", body: value + i });
      assert.equal(status, 200);
    }
    await until(async () => (await leader.ready()).checkpoint_group !== null);
    const checkpoint = (key: string | null) =>
      ask(leader.adminUrl, key, "GET", "/v1/ha/checkpoint").then(({ status }) => status);
    assert.equal(await checkpoint(null), 401);
    assert.equal(await checkpoint(admin), 200);
    const reader = await ask(leader.adminUrl, admin, "POST", "/api/v1/keys", { role: "read-only" });
    assert.equal(await checkpoint(reader.data.data.key), 403);

    const second = await withMetadata(common);
    const late = await masters.add(second.flags);
    await late.process.line(/took the checkpoint of group/);
    await until(() => late.canLead());
    await until(async () => (await ask(late.adminUrl, admin, "GET", "/metrics")).status === 200);
    for (let i = 0; i < 5; i++) assert.equal(await document(second.url, `d${i}`), value + i);
  },
);

testWith(
  redisAbsent,
  "keys, quotas and documents go into a cluster with a lone master, and back out of it",
  async () => {
    await using redis = await EngineServer.redis();
    const ha = ["--ha_backend_type=redis", `--ha_backend_connstring=redis://${redis.address}`];
    const { flags, url } = await withMetadata(["--require_auth", "--enable_multi_tenants"]);
    await using master = new HaMaster(await freePort(), [...flags, ...ha], {});
    const alone = async () => {
      const started = await startMaster([...flags, `--data_dir=${master.directory}`], {
        rpcPort: master.rpcPort,
      });
      return { ...started, [Symbol.asyncDispose]: async () => void await started.process.stop() };
    };
    const quotaOf = async (adminUrl: string, key: string, tenant: string) => {
      const path = `/api/v1/tenant_quotas?tenant_id=${tenant}`;
      return (await ask(adminUrl, key, "GET", path)).data.data?.requested_quota_bytes;
    };
    const setQuota = async (adminUrl: string, key: string, tenant: string, bytes: number) => {
      const path = `/api/v1/tenant_quotas?tenant_id=${tenant}`;
      const { status } = await ask(adminUrl, key, "PUT", path, { requested_quota_bytes: bytes });
      assert.equal(status, 200);
    };
    const rules = "/api/v1/tenants?tenant_id=a";
    const setRate = async (adminUrl: string, key: string, ops: number) => {
      const { status } = await ask(adminUrl, key, "PUT", rules, { ops_per_second: ops });
      assert.equal(status, 200);
    };
    const rateOf = async (adminUrl: string, key: string) =>
      (await ask(adminUrl, key, "GET", rules)).data.data[0].ops_per_second;
    const put = async (key: string, value: string) => {
      const { status } = await fetch(url + key, { method: "PUT", body: value });
      assert.equal(status, 200);
    };
    const makeKey = async (adminUrl: string, admin: string) =>
      (await ask(adminUrl, admin, "POST", "/api/v1/keys", { role: "admin" })).data.data;

    let admin: string;
    let lone: { key: string; id: string };
    {
      await using one = await alone();
      await one.process.line(FIRST_KEY);
      admin = firstKeyOf(one.process.lines)!;
      lone = await makeKey(one.adminUrl, admin);
      await setQuota(one.adminUrl, admin, "a", MIB);
      await setQuota(one.adminUrl, admin, "b", MIB);
      await setRate(one.adminUrl, admin, 100);
      await put("alone", "1");
      await put("both", "1");
    }
    let shared: { key: string; id: string };
    await master.start();
    {
      await until(() => master.leads());
      const { adminUrl } = master;
      await until(async () => (await ask(adminUrl, admin, "GET", "/metrics")).status === 200);
      assert.equal(firstKeyOf(master.process.lines), null, "there is an admin key already");
      assert.equal(await quotaOf(adminUrl, lone.key, "a"), MIB);
      assert.equal(await rateOf(adminUrl, lone.key), 100);
      await until(async () => await document(url, "alone") === "1");
      shared = await makeKey(adminUrl, admin);
      assert.equal(
        (await ask(adminUrl, admin, "DELETE", `/api/v1/keys?id=${lone.id}`)).status,
        200,
      );
      await setQuota(adminUrl, admin, "a", 3 * MIB);
      await setRate(adminUrl, admin, 200);
      const gone = await ask(adminUrl, admin, "DELETE", "/api/v1/tenant_quotas?tenant_id=b");
      assert.equal(gone.status, 200);
      await put("both", "2");
      assert.equal((await fetch(`${url}alone`, { method: "DELETE" })).status, 200);
      await master.process.stop("SIGKILL");
    }
    {
      await using one = await alone();
      assert.equal(firstKeyOf(one.process.lines), null);
      const yaml = await Deno.readTextFile(`${master.directory}/tenants.yaml`);
      assert(yaml.includes('"a"') && !yaml.includes('"b"'), yaml);
      assert(yaml.includes("ops_per_second: 200"), yaml);
      assert.equal(await rateOf(one.adminUrl, shared.key), 200);
      assert.equal(await quotaOf(one.adminUrl, shared.key, "a"), 3 * MIB);
      assert.equal(await quotaOf(one.adminUrl, shared.key, "b"), undefined);
      assert.equal((await ask(one.adminUrl, lone.key, "GET", "/metrics")).status, 401);
      assert.equal(await document(url, "both"), "2");
      assert.equal(await document(url, "alone"), null);
      await setQuota(one.adminUrl, shared.key, "a", 4 * MIB);
    }
    {
      // What has been moved is moved once: the file says what holds now.
      await using one = await alone();
      assert.equal(await quotaOf(one.adminUrl, shared.key, "a"), 4 * MIB);
    }
    // A key for when all others are lost, made while the master is down, is good once it leads.
    const program = new URL("../../snowskin.ts", import.meta.url).pathname;
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        program,
        "key",
        "create",
        "--role=admin",
        `--data_dir=${master.directory}`,
      ],
    }).output();
    const offline = new TextDecoder().decode(stdout).trim();
    assert.match(offline, /^mk_/);
    await using again = await EngineServer.redis();
    master.flags.splice(
      0,
      Infinity,
      ...flags,
      "--ha_backend_type=redis",
      `--ha_backend_connstring=redis://${again.address}`,
    );
    await master.start();
    await until(() => master.leads());
    await until(async () =>
      (await ask(master.adminUrl, offline, "GET", "/metrics")).status === 200
    );
    assert.equal(await quotaOf(master.adminUrl, offline, "a"), 4 * MIB);
  },
);

/** Multi-tenancy: what both masters answer, the reference's and ours. */
import assert from "node:assert/strict";
import { MasterClient } from "../../client/master_client.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { freePort, LocalProcess, startMaster } from "../../examples/local_cluster.ts";
import { errorName } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, MIB, replicateConfig, segmentOf } from "../support/core_driver.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";

const QUOTAS = `version: 1
tenants:
  - name: alpha
    quota: 8MB
  - name: beta
    quota: 4MB
`;
const OFF = '{"success":false,"error_code":-1011,"error_message":"UNAVAILABLE_IN_CURRENT_MODE"}';
const MISSING = '{"success":false,"error_code":-704,"error_message":"OBJECT_NOT_FOUND"}';

interface Running {
  process: LocalProcess;
  rpcPort: number;
  adminUrl: string;
}

interface Kind {
  name: string;
  missing: string | null;
  start(flags: string[]): Promise<Running>;
}

const wheel = await findWheel();
const kinds: Kind[] = [{
  name: "our master",
  missing: null,
  async start(flags) {
    const [rpcPort, metricsPort] = [await freePort(), await freePort()];
    const { process } = await startMaster(flags, { rpcPort, metricsPort });
    return { process, rpcPort, adminUrl: `http://127.0.0.1:${metricsPort}` };
  },
}, {
  name: "the reference's master",
  missing: "python" in wheel ? null : wheel.reason,
  async start(flags) {
    assert("python" in wheel);
    const [rpcPort, metricsPort] = [await freePort(), await freePort()];
    const process = new LocalProcess("reference master", wheel.master, [
      ...[`--rpc_port=${rpcPort}`, `--metrics_port=${metricsPort}`, "--rpc_address=127.0.0.1"],
      ...flags,
    ]);
    const adminUrl = `http://127.0.0.1:${metricsPort}`;
    const isReady = () =>
      fetch(`${adminUrl}/health`).then(
        async (answer) => (await answer.json()).service_ready === true,
        () => false,
      );
    await until(isReady);
    return { process, rpcPort, adminUrl };
  },
}];

/** One client of a master that speaks for any tenant. */
class Tester implements AsyncDisposable {
  readonly #running: Running;
  readonly #rpc: RpcClient;
  readonly master: MasterClient;

  constructor(running: Running) {
    this.#running = running;
    this.#rpc = new RpcClient({
      ...{ host: "127.0.0.1", port: running.rpcPort, clock: systemClock },
      ...{ connectTimeoutMs: 5000, requestTimeoutMs: 20_000 },
    });
    this.master = new MasterClient(this.#rpc);
  }

  async mount(bytes: number): Promise<void> {
    const segment = segmentOf(1, "segment-1", bytes);
    await this.master.mountSegment({ segment, clientId: "1-1" });
    await this.master.reMountSegment({ segments: [segment], clientId: "1-1" });
  }

  async put(tenant: string, key: string, sliceLength: number): Promise<string> {
    const [clientId, tenantId] = ["1-1", bytesOf(tenant)];
    const { code } = await this.master.putStart({
      ...{ clientId, key: bytesOf(key), sliceLength, tenantId, config: replicateConfig() },
    });
    if (code !== 0) return errorName(code);
    const objectMeta = { key: bytesOf(key), objectChecksum: null };
    const ended = await this.master.putEnd({
      ...{ clientId, objectMeta, replicaType: ReplicaType.ALL, tenantId },
    });
    return errorName(ended.code);
  }

  async exists(tenant: string, ...keys: string[]): Promise<string[]> {
    const request = { keys: keys.map(bytesOf), tenantId: bytesOf(tenant) };
    const found = await this.master.batchExistKey(request);
    return found.map(({ code, value }) => code === 0 ? String(value) : errorName(code));
  }

  async admin(method: string, path: string, body?: string): Promise<[number, string]> {
    const answer = await fetch(this.#running.adminUrl + path, {
      method,
      ...(body !== undefined && { body }),
    });
    return [answer.status, await answer.text()];
  }

  /** Charged bytes of a tenant. */
  async charged(tenant: string): Promise<number> {
    const [, text] = await this.admin("GET", `/api/v1/tenant_quotas?tenant_id=${tenant}`);
    return JSON.parse(text).data.charged_bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rpc.close();
    await this.#running.process.stop();
  }
}

function testBoth(name: string, fn: (kind: Kind, quotas: string) => Promise<void>): void {
  for (const kind of kinds) {
    const why = kind.missing === null ? "" : ` (skipped: ${kind.missing})`;
    Deno.test({
      name: `${kind.name}: ${name}${why}`,
      ignore: kind.missing !== null,
      async fn() {
        const quotas = await Deno.makeTempFile({ suffix: ".yaml" });
        await Deno.writeTextFile(quotas, QUOTAS);
        await fn(kind, quotas).finally(() => Deno.remove(quotas));
      },
    });
  }
}

function quota(tenant: string, requested: number, effective: number, charged = 0): string {
  return `{"tenant_id":"${tenant}","requested_quota_bytes":${requested},` +
    `"effective_quota_bytes":${effective},"charged_bytes":${charged},"admission_closed":false,` +
    `"over_quota":${charged > effective},"has_explicit_policy":true}`;
}

const flagsFor = (quotas: string) => [
  "--enable_multi_tenants=true",
  `--tenant_quota_connector_uri=${quotas}`,
  "--default_kv_lease_ttl=300",
];

testBoth("the quota API, and the file behind it", async (kind, file) => {
  await using tester = new Tester(await kind.start(flagsFor(file)));
  const path = "/api/v1/tenant_quotas";
  const put = (tenant: string, body: string) =>
    tester.admin("PUT", `${path}?tenant_id=${tenant}`, body);
  const ok = (data: string) => [200, `{"success":true,"data":${data}}`];
  const [alpha, beta] = [quota("alpha", 8 * MIB, 0), quota("beta", 4 * MIB, 0)];
  assert.deepEqual(await tester.admin("GET", path), ok(`[${alpha},${beta}]`));
  assert.deepEqual(await tester.admin("GET", `${path}?tenant_id=`), ok(`[${alpha},${beta}]`));
  assert.deepEqual(await tester.admin("GET", `${path}?tenant_id=alpha`), ok(alpha));
  assert.deepEqual(await tester.admin("GET", `${path}?tenant_id=x`), [404, MISSING]);
  assert.deepEqual(
    await put("a%20b:c/d", '{"requested_quota_bytes":1000}'),
    ok(quota("a b:c/d", 1000, 0)),
  );
  const range = "Tenant quota must be in [1, 2^63 - 1] bytes";
  const bad = (message: string) => [
    ...[400, `{"success":false,"error_code":-600,"error_message":"${message}"}`],
  ];
  for (const bytes of ["0", "9223372036854775808"]) {
    assert.deepEqual(await put("x", `{"requested_quota_bytes":${bytes}}`), bad(range));
  }
  assert.deepEqual(await put("x", "{}"), bad(range));
  for (const body of ["x", '{"requested_quota_bytes":"5"}']) {
    const [status, text] = await put("x", body);
    assert.equal(status, 400);
    assert.match(text, /"error_code":-600,"error_message":"Invalid JSON body: /);
  }
  for (const tenant of ["", "_x", "a%00"]) {
    const answer = await put(tenant, '{"requested_quota_bytes":5}');
    assert.deepEqual(answer, bad("Missing or invalid tenant_id"));
  }
  const most = await put("beta", '{"requested_quota_bytes":9223372036854775807}');
  assert.match(most[1], /"requested_quota_bytes":9223372036854775807,/);
  assert.deepEqual(
    await Deno.readTextFile(file),
    'version: 1\n\ntenants:\n  - name: "a b:c/d"\n    quota: 1000\n' +
      '  - name: "alpha"\n    quota: 8388608\n' +
      '  - name: "beta"\n    quota: 9223372036854775807\n',
  );
  assert.deepEqual(await tester.admin("DELETE", `${path}?tenant_id=beta`), ok("null"));
  assert.deepEqual(await tester.admin("DELETE", `${path}?tenant_id=beta`), [404, MISSING]);
  assert.deepEqual(await tester.admin("DELETE", path), bad("Missing or invalid tenant_id"));
});

testBoth("who is not registered, and names that are none", async (kind, file) => {
  await using tester = new Tester(await kind.start(flagsFor(file)));
  await tester.mount(64 * MIB);
  assert.equal(await tester.put("alpha", "k", 1000), "OK");
  assert.deepEqual(await tester.exists("alpha", "k", "l"), ["true", "false"]);
  for (const tenant of ["beta", "other", "default", ""]) {
    assert.deepEqual(await tester.exists(tenant, "k"), ["false"], tenant);
  }
  for (const tenant of ["other", "default", "", "_x", "a\0b"]) {
    assert.equal(await tester.put(tenant, "k", 1), "TENANT_NOT_REGISTERED", tenant);
  }
  const { master } = tester;
  const key = bytesOf("k");
  for (const tenant of ["_x", "a\0b"]) {
    const tenantId = bytesOf(tenant);
    assert.deepEqual(await tester.exists(tenant, "k"), ["INVALID_PARAMS"]);
    const codes = await Promise.all([
      master.getReplicaList({ key, tenantId }),
      master.getReplicaListByRegex({ regex: "k", tenantId }),
      master.remove({ key, force: true, tenantId }),
      master.removeByRegex({ regex: "k", force: true, tenantId }),
    ]);
    for (const { code } of codes) assert.equal(errorName(code), "INVALID_PARAMS");
    assert.equal(await master.removeAll({ force: true, tenantId }), 0);
  }
  const task = { key, targets: ["segment-1"], tenantId: bytesOf("other") };
  assert.equal(errorName((await master.createCopyTask(task)).code), "TENANT_NOT_REGISTERED");
});

testBoth("a quota evicts within its tenant, and refuses what leases keep", async (kind, file) => {
  await using tester = new Tester(await kind.start(flagsFor(file)));
  await tester.mount(64 * MIB);
  for (let i = 0; i < 4; i++) assert.equal(await tester.put("beta", `b${i}`, MIB), "OK");
  for (let i = 0; i < 12; i++) assert.equal(await tester.put("alpha", `a${i}`, MIB), "OK");
  assert(await tester.charged("alpha") <= 8 * MIB);
  assert.equal(await tester.charged("beta"), 4 * MIB);
  assert.deepEqual(await tester.exists("beta", "b0", "b3"), ["true", "true"]);
  const removed = await tester.admin(
    "POST",
    "/api/v1/remove_all?force=true&tenant_id=beta",
    "",
  );
  assert.deepEqual(removed, [200, '{"success":true,"removed_count":4}']);
  assert.equal(await tester.put("beta", "huge", 4 * MIB + 1), "TENANT_QUOTA_EXCEEDED");
  assert.deepEqual(await tester.exists("alpha", "a11"), ["true"]);
  const path = "/api/v1/tenant_quotas?tenant_id=alpha";
  const [status, text] = await tester.admin("DELETE", path);
  assert.deepEqual([status, JSON.parse(text).error_code], [409, -1702]);
  const lowered = await tester.admin("PUT", path, '{"requested_quota_bytes":1048576}');
  assert.match(lowered[1], /"over_quota":true/);
  const [, metrics] = await tester.admin("GET", "/metrics");
  for (
    const sample of [
      'mooncake_tenant_quota_reject_total{tenant_id="beta",reason="quota_exceeded"} 1',
      'mooncake_tenant_quota_requested_bytes{tenant_id="alpha"} 1048576',
      'mooncake_tenant_quota_charged_bytes{tenant_id="beta"} 0',
      'mooncake_tenant_quota_over_quota{tenant_id="alpha"} 1',
      'mooncake_tenant_quota_explicit_policy{tenant_id="beta"} 1',
      "mooncake_tenant_quota_allocatable_capacity_bytes 67108864",
      "mooncake_tenant_quota_requested_bytes_sum 5242880",
      "mooncake_tenant_quota_effective_bytes_sum 5242880",
    ]
  ) assert(metrics.includes(`${sample}\n`), sample);
  assert.match(metrics, /mooncake_tenant_evict_bytes_total\{tenant_id="alpha"\} [1-9]\d+\n/);
  assert(await tester.charged("alpha") > 0);
});

testBoth("without the flag there is one name space and no quota", async (kind) => {
  await using tester = new Tester(await kind.start([]));
  await tester.mount(64 * MIB);
  assert.equal(await tester.put("alpha", "k", MIB), "OK");
  assert.deepEqual(await tester.exists("other", "k"), ["true"]);
  const path = "/api/v1/tenant_quotas?tenant_id=alpha";
  for (const [method, body] of [["GET"], ["PUT", '{"requested_quota_bytes":5}'], ["DELETE"]]) {
    assert.deepEqual(await tester.admin(method, path, body), [409, OFF]);
  }
  const [, metrics] = await tester.admin("GET", "/metrics");
  assert(!metrics.includes("mooncake_tenant_"));
});

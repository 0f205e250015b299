import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { ReplicaDescriptor } from "../../proto/types.ts";
import {
  backendOf,
  MemoryAdminCore,
  memoryReplica,
} from "../../tests/support/memory_admin_core.ts";
import { adminApp, type AdminAppOptions } from "./admin_app.ts";
import type { AdminBackend } from "./backend.ts";

interface Answer {
  status: number;
  type: string | null;
  text: string;
}

type Request_ = (
  method: string,
  path: string,
  options?: { peer?: string; headers?: Record<string, string> },
) => Promise<Answer>;

function serve(
  core: MemoryAdminCore,
  changes: Partial<AdminAppOptions> = {},
): Request_ {
  const app = adminApp({
    ...{ backend: backendOf(core), insecure: false, version: "1.2.3" },
    settings: null,
    onLogLevel() {},
    processInfo: () => ({ version: "1.2.3", clusterId: "c", rssBytes: 1, uptimeSeconds: 1 }),
    summary: (current, status) => `role=${status.role} keys=${current.keyCount}`,
    onFault: (error) => assert.fail(error),
    ...changes,
  });
  return async (method, path, { peer = "127.0.0.1", headers = {} } = {}) => {
    const request = new Request(`http://master:9003${path}`, { method, headers });
    const response = await app.fetch(request, { host: peer });
    const type = response.headers.get("content-type");
    return { status: response.status, type, text: await response.text() };
  };
}

function cluster(): MemoryAdminCore {
  const core = new MemoryAdminCore();
  core.segments.push({
    ...{ name: "127.0.0.1:12345", id: "1-2", clientId: "3-4", base: 0x7f00_0000_0000n },
    ...{ size: 100 << 20, teEndpoint: "127.0.0.1:12345", protocol: "tcp", status: 1 },
    ...{ allocatedBytes: 23, capacityBytes: 100 << 20 },
  });
  core.add("k1", [memoryReplica(1000, 0xffff_ffff_ffff_ffffn)]);
  core.add("a/b c,%", [memoryReplica(1, 7n)]);
  core.add(Uint8Array.of(0xff, 0, 10), [memoryReplica(2, 8n)]);
  return core;
}

const JSON_TYPE = "application/json; charset=utf-8";
const K1 = '{"size_":1000,"buffer_address_":18446744073709551615,"protocol_":"tcp",' +
  '"transport_endpoint_":"127.0.0.1:12345"}';
const MISS = '{"ok":false,"error":"OBJECT_NOT_FOUND","values":null,"disk_values":null,' +
  '"local_disk_values":null,"nof_values":null}';

Deno.test("health, role and leader are the reference's", async () => {
  const core = cluster();
  const request = serve(core);
  assert.deepEqual(await request("GET", "/health"), {
    ...{ status: 200, type: JSON_TYPE },
    text: '{"status":"ok","role":"leader","ha_state":"serving","service_ready":true,' +
      '"leader_address":null,"view_version":null}',
  });
  assert.equal((await request("GET", "/role")).text, "leader");
  assert.equal((await request("GET", "/ha_status")).text, "serving");
  assert.equal(
    (await request("GET", "/leader")).text,
    '{"present":false,"leader_address":null,"view_version":null}',
  );
  core.masterStatus = { ...core.masterStatus, leaderAddress: "h:1", viewVersion: 4 };
  assert.equal(
    (await request("GET", "/leader")).text,
    '{"present":true,"leader_address":"h:1","view_version":4}',
  );
});

Deno.test("startup stays passed once the master was ready, readiness does not", async () => {
  const core = cluster();
  const request = serve(core);
  const ready = (serviceReady: boolean) =>
    core.masterStatus = { ...core.masterStatus, serviceReady };
  const statuses = async () => {
    const paths = ["/health/live", "/health/ready", "/health/startup"];
    return (await Promise.all(paths.map((path) => request("GET", path)))).map((a) => a.status);
  };
  ready(false);
  assert.deepEqual(await statuses(), [200, 503, 503]);
  ready(true);
  assert.deepEqual(await statuses(), [200, 200, 200]);
  ready(false);
  assert.deepEqual(await statuses(), [200, 503, 200]);
});

Deno.test("query_key shows replicas in memory, takes a lease, and keys are bytes", async () => {
  const core = cluster();
  const request = serve(core);
  assert.deepEqual(await request("GET", "/query_key?key=k1"), {
    ...{ status: 200, type: JSON_TYPE, text: `{"success":true,"data":[${K1}]}` },
  });
  assert.equal((await request("GET", "/query_key?key=a%2Fb%20c%2c%25")).status, 200);
  assert.equal((await request("GET", "/query_key?key=%ff%00%0A")).status, 200);
  assert.equal(core.leased.length, 3);
  for (const path of ["/query_key?key=zz", "/query_key?key=", "/query_key"]) {
    assert.deepEqual(await request("GET", path), {
      ...{ status: 404, type: JSON_TYPE },
      text: '{"success":false,"error_code":-704,"error_message":"OBJECT_NOT_FOUND"}',
    });
  }
  assert.equal(core.leased.length, 3);
});

Deno.test("batch_query_keys takes no lease and sorts its keys by bytes", async () => {
  const core = cluster();
  const request = serve(core);
  const { text } = await request("GET", "/batch_query_keys?keys=zz,k1,10,9,k1,");
  const hit = `{"ok":true,"error":null,"values":[${K1}],"disk_values":null,` +
    '"local_disk_values":null,"nof_values":null}';
  assert.equal(
    text,
    `{"success":true,"data":{"":${MISS},"10":${MISS},"9":${MISS},"k1":${hit},"zz":${MISS}}}`,
  );
  assert.equal(core.leased.length, 0);
  assert.ok((await request("GET", "/batch_query_keys?keys=%ff%00%0a")).text.includes('"ok":true'));
});

Deno.test("batch_query_keys shows every kind of replica", async () => {
  const core = new MemoryAdminCore();
  const buffer = { size: 1, bufferAddress: 2n, protocol: "nof", transportEndpoint: "n" };
  const replicas: ReplicaDescriptor["location"][] = [
    { kind: "disk", filePath: "/d/x", objectSize: 5 },
    { kind: "local_disk", clientId: "1-2", objectSize: 6, transportEndpoint: "e" },
    { kind: "nof", buffer },
  ];
  core.add("k", replicas.map((location) => ({ id: 1, location, status: 3 })));
  const { text } = await serve(core)("GET", "/batch_query_keys?keys=k");
  assert.deepEqual(JSON.parse(text).data.k, {
    ...{ ok: true, error: null, values: [] },
    disk_values: [{ file_path: "/d/x", object_size: 5 }],
    local_disk_values: [{ client_id: "1-2", object_size: 6, transport_endpoint: "e" }],
    nof_values: [{ size_: 1, buffer_address_: 2, protocol_: "nof", transport_endpoint_: "n" }],
  });
  assert.equal((await serve(core)("GET", "/query_key?key=k")).text, '{"success":true,"data":[]}');
});

Deno.test("batch_query_keys without keys or with too many is refused", async () => {
  const request = serve(cluster());
  for (const path of ["/batch_query_keys", "/batch_query_keys?keys="]) {
    assert.deepEqual(await request("GET", path), {
      ...{ status: 400, type: JSON_TYPE },
      text: '{"success":false,"error":"No keys provided. Use ?keys=key1,key2,..."}',
    });
  }
  const many = Array.from({ length: 10_001 }, (_, i) => i).join(",");
  assert.equal((await request("GET", `/batch_query_keys?keys=${many}`)).status, 413);
});

Deno.test("all keys come as lines, page by page, and an empty pool as nothing", async () => {
  const core = new MemoryAdminCore();
  const request = serve(core);
  const text = "text/plain; version=0.0.4";
  assert.deepEqual(await request("GET", "/get_all_keys"), { status: 200, type: text, text: "" });
  for (let i = 0; i < 20_000; i++) core.add(`key-${i}`, []);
  const all = await request("GET", "/get_all_keys");
  assert.equal(all.text, Array.from({ length: 20_000 }, (_, i) => `key-${i}\n`).join(""));
  assert.ok(core.largestPage < 20_000);
});

Deno.test("empty pages in between do not end the list of keys", async () => {
  const core = new MemoryAdminCore();
  const pages = [["a"], [], [], ["b"], []];
  core.listKeys = (cursor) => ({
    bytes: new TextEncoder().encode(pages[cursor].join("")),
    ends: Uint32Array.from(pages[cursor], (key) => key.length),
    next: cursor + 1 < pages.length ? cursor + 1 : null,
  });
  assert.equal((await serve(core)("GET", "/get_all_keys")).text, "a\nb\n");
});

Deno.test("a list of keys that cannot be finished breaks off", async () => {
  const core = new MemoryAdminCore();
  const page = { bytes: new Uint8Array(1), ends: Uint32Array.of(1), next: 1 };
  core.listKeys = (cursor) => {
    if (cursor > 0) throw new StoreError(ErrorCode.RPC_TIMEOUT, "Cannot list keys");
    return page;
  };
  await assert.rejects(serve(core)("GET", "/get_all_keys"));
});

Deno.test("segments are shown as text and as documents", async () => {
  const request = serve(cluster());
  const name = "127.0.0.1:12345";
  assert.equal((await request("GET", "/get_all_segments")).text, `${name}\n`);
  assert.equal(
    (await request("GET", "/get_segments_detail")).text,
    '{"total_segments":1,"segments":[{"segment_name":"127.0.0.1:12345","segment_id":"1-2",' +
      '"client_id":"3-4","base_address":"0x7f0000000000","size_bytes":104857600,' +
      '"size_human":"0.0976562 GiB","te_endpoint":"127.0.0.1:12345","protocol":"tcp",' +
      '"status":"OK","allocator_used_bytes":23,"allocator_capacity_bytes":104857600,' +
      '"allocator_usage_percent":2.193450927734375E-5}]}',
  );
  assert.deepEqual(await request("GET", `/query_segment?segment=${name}`), {
    ...{ status: 200, type: "text/plain; version=0.0.4" },
    text: `${name}\nUsed(bytes): 23\nCapacity(bytes) : 104857600\n`,
  });
  const unknown = await request("GET", "/query_segment?segment=x");
  assert.deepEqual([unknown.status, unknown.text], [500, "Failed to query segment"]);
  const path = "/api/v1/segments/status";
  assert.equal(
    (await request("GET", `${path}?segment=127.0.0.1%3A12345`)).text,
    '{"success":true,"segment":"127.0.0.1:12345","status":1,"status_name":"OK","error_code":0,' +
      '"error_message":""}',
  );
  assert.equal((await request("GET", `${path}?segment=x`)).status, 404);
  const missing = await request("GET", path);
  assert.deepEqual([missing.status, JSON.parse(missing.text).error_message], [
    ...[400, "Missing segment query parameter"] as const,
  ]);
});

Deno.test("metrics are Prometheus text and a summary", async () => {
  const request = serve(cluster());
  const { type, text } = await request("GET", "/metrics");
  assert.equal(type, "text/plain; version=0.0.4");
  assert.match(text, /^# HELP master_allocated_bytes /);
  assert.equal((await request("GET", "/metrics/summary")).text, "role=leader keys=3");
});

Deno.test("remove_all removes, with leased objects only when forced", async () => {
  const core = cluster();
  const request = serve(core);
  await request("GET", "/query_key?key=k1");
  const removed = async (query: string) =>
    (await request("POST", `/api/v1/remove_all${query}`)).text;
  assert.equal(await removed(""), '{"success":true,"removed_count":2}');
  assert.equal(await removed("?force=false"), '{"success":true,"removed_count":0}');
  const odd = await request("POST", "/api/v1/remove_all?force=x");
  assert.equal(odd.status, 400);
  assert.match(odd.text, /force=x is not a boolean; allowed: true, false/);
  assert.equal((await request("POST", "/api/v1/remove_all?force=true&tenant_id=t")).status, 409);
  assert.equal(
    await removed("?force=true&tenant_id=default"),
    '{"success":true,"removed_count":1}',
  );
});

Deno.test("changes are taken from this machine only, unless insecure", async () => {
  const changes = [
    ["POST", "/api/v1/remove_all?force=true"],
    ["POST", "/api/v1/drain_jobs"],
    ["POST", "/api/v1/drain_jobs/cancel?job_id=1-2"],
    ["PUT", "/api/v1/tenant_quotas?tenant_id=x"],
    ["DELETE", "/api/v1/tenant_quotas?tenant_id=x"],
  ];
  const core = cluster();
  for (const [method, path] of changes) {
    const answer = await serve(core)(method, path, { peer: "10.0.0.7" });
    assert.equal(answer.status, 401, path);
    assert.equal(JSON.parse(answer.text).error_code, ErrorCode.UNAUTHENTICATED);
    for (const peer of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
      assert.notEqual((await serve(new MemoryAdminCore())(method, path, { peer })).status, 401);
    }
  }
  assert.equal(core.listKeys(0, 10).ends.length, 3);
  const open = serve(core, { insecure: true });
  const answer = await open("POST", "/api/v1/remove_all", { peer: "10.0.0.7" });
  assert.equal(answer.text, '{"success":true,"removed_count":3}');
});

Deno.test("changes from a page of another site are refused even on this machine", async () => {
  const core = cluster();
  const headers = { origin: "http://evil.example", host: "master:9003" };
  const answer = await serve(core)("POST", "/api/v1/remove_all", { headers });
  assert.equal(answer.status, 403);
  assert.equal(core.listKeys(0, 10).ends.length, 3);
});

Deno.test("tenant quotas are off, and KV events too", async () => {
  const request = serve(cluster());
  const off = '{"success":false,"error_code":-1011,' +
    '"error_message":"UNAVAILABLE_IN_CURRENT_MODE"}';
  for (const method of ["GET", "PUT", "DELETE"]) {
    const answer = await request(method, "/api/v1/tenant_quotas?tenant_id=x");
    assert.deepEqual([answer.status, answer.text], [409, off]);
  }
  assert.equal((await request("PUT", "/api/v1/tenant_quotas")).status, 400);
  assert.equal(JSON.parse((await request("GET", "/kv_events/status")).text).enabled, false);
});

Deno.test("unknown paths and methods are 404", async () => {
  const request = serve(cluster());
  for (const [method, path] of [["GET", "/"], ["GET", "/v1"], ["POST", "/metrics"]]) {
    const { status, text } = await request(method, path);
    assert.deepEqual([status, text], [404, "404 Not Found"]);
  }
});

Deno.test("a core that does not answer is 503, and a fault 500 and told", async () => {
  const silent = new Proxy({}, {
    get: () => () => Promise.reject(new StoreError(ErrorCode.RPC_TIMEOUT, "Cannot ask the core")),
  }) as AdminBackend;
  for (const path of ["/health", "/health/live", "/metrics", "/get_all_keys", "/query_key?key=a"]) {
    const answer = await serve(cluster(), { backend: silent })("GET", path);
    assert.equal(answer.status, 503, path);
    assert.equal(JSON.parse(answer.text).error_code, ErrorCode.RPC_TIMEOUT);
  }
  const faults: Error[] = [];
  const core = cluster();
  core.listSegments = () => {
    throw new TypeError("broken");
  };
  const answer = await serve(core, { onFault: (error) => faults.push(error) })(
    ...["GET", "/get_all_segments"] as const,
  );
  assert.equal(answer.status, 500);
  assert.doesNotMatch(answer.text, /broken/);
  assert.equal(faults[0].message, "broken");
});

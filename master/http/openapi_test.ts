import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { adminApiPage } from "../../tests/admin_api_docs.ts";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import {
  backendOf,
  MemoryAdminCore,
  memoryReplica,
} from "../../tests/support/memory_admin_core.ts";
import { adminApp } from "./admin_app.ts";
import type { Route } from "./route_types.ts";
import { ROUTES } from "./routes.ts";

function app() {
  return adminApp({
    ...{ backend: backendOf(new MemoryAdminCore()), insecure: false, version: "1.2.3" },
    snapshots: { places: null, timeoutMs: 1, clusterId: "c", version: "1", tablesPath: null },
    ...{ settings: null, onLogLevel() {}, summary: () => "", onFault: assert.fail },
    processInfo: () => ({ version: "1.2.3", clusterId: "c", rssBytes: 1, uptimeSeconds: 1 }),
  });
}

Deno.test("the OpenAPI document is valid and has every route of the server, and no other", async () => {
  const ask = adminCaller(new MemoryAdminCore());
  const { json } = await ask("GET", "/openapi.json");
  assert.equal(json.openapi, "3.1.0");
  const result = await new Validator().validate(structuredClone(json));
  assert.deepEqual(result.valid ? [] : result.errors, []);
  const described = Object.entries(json.paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`)
  );
  const served = app().routes.map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(described.sort(), served.sort());
});

Deno.test("a document with a mistake is found to be invalid", async () => {
  const ask = adminCaller(new MemoryAdminCore());
  const { json } = await ask("GET", "/openapi.json");
  delete json.info.title;
  assert.equal((await new Validator().validate(json)).valid, false);
});

const ajv = new Ajv2020({ strict: false });

/** Fails when an answer is not as the table says, or has a status that is not in it. */
function assertDescribed(id: string, status: number, document: unknown): void {
  const { answers }: Route = ROUTES[id as keyof typeof ROUTES];
  const answer = answers[status];
  assert(answer, `${id} answers ${status}, which is not described`);
  if (answer.type !== "application/json") return assert.equal(document, null);
  const valid = ajv.validate(answer.schema as object, document);
  assert(valid, `${id} ${status}: ${ajv.errorsText()}\n${JSON.stringify(document)}`);
}

/** Query or body with which each route is asked; the others are asked without. */
const QUESTIONS: Partial<Record<keyof typeof ROUTES, [query: string, body?: unknown][]>> = {
  queryKey: [["?key=k1"], ["?key=none"]],
  batchQueryKeys: [["?keys=k1,none"], [""]],
  querySegment: [["?segment=s"], ["?segment=none"]],
  segmentStatus: [["?segment=s"], ["?segment=none"], [""]],
  removeAll: [["?force=perhaps"], ["?tenant_id=x"], [""]],
  queryDrainJob: [["?job_id=1-2"], [""]],
  cancelDrainJob: [["?job_id=1-2"], [""]],
  setTenantQuota: [["?tenant_id=x"], [""]],
  deleteTenantQuota: [["?tenant_id=x"], [""]],
  tenants: [[""], ["?tenant_id=x"]],
  setTenant: [["?tenant_id=x", {}], [""]],
  changeConfig: [["", { put_wait_ms: 5 }], ["", { rpc_port: 1 }], ["?persist=true", {}]],
  route: [["", { keys: ["a", "b", "c"] }], ["", { seq_hashes: [] }]],
  hitStats: [[""], ["?by=tier,tenant,call,data_type,model,layer&calls=all"], ["?window=1"]],
  why: [["?key=a"], ["?key=b"], ["?key=gone"], [""]],
  whyMiss: [["?last=1h"], ["?last=1"]],
};

Deno.test("every route answers as the document says", async () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.put("a", 1000);
  driver.ok(driver.start("b", 10));
  driver.put("gone", 10);
  driver.ok(driver.remove("gone"));
  for (const key of ["a", "b", "gone", "never"]) driver.get(key);
  const core = new MemoryAdminCore(driver);
  core.add("k1", [memoryReplica(1000, 7n)]);
  core.segments.push({
    ...{ name: "s", id: "1-2", clientId: "3-4", base: 4096n, size: 100, teEndpoint: "s:1" },
    ...{ protocol: "tcp", status: 1, allocatedBytes: 23, capacityBytes: 100 },
  });
  const snapshots = { places: null, timeoutMs: 1, clusterId: "c", version: "1", tablesPath: null };
  const ask = adminCaller(core, { snapshots });
  for (const [id, { method, path, access }] of Object.entries(ROUTES) as [string, Route][]) {
    for (const [query, body] of QUESTIONS[id as keyof typeof ROUTES] ?? [[""]]) {
      const { status, json } = await ask(method.toUpperCase(), path + query, { body });
      assertDescribed(id, status, json);
    }
    const far = await ask(method.toUpperCase(), path, { peer: "10.0.0.1" });
    assert.equal(far.status === 401, access === "change", `${id} answered ${far.status}`);
    assertDescribed(id, far.status, far.json);
  }
});

Deno.test("docs/admin-api.md is what deno task docs writes", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/admin-api.md", import.meta.url));
  assert.equal(page, await adminApiPage());
});

// Goal: on a master of a cluster keys and documents change when the log holds the change, never by the
// request alone; a standby refuses with the name of the leader.
// Method: the HTTP side with a core that is a list of what was asked of it; the test plays the log.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { createKey } from "../auth/api_key.ts";
import { SmallTable, type TableChange } from "../core/small_tables.ts";
import { metadataApp } from "./metadata_app.ts";
import { MetadataStore } from "./metadata_store.ts";
import { SharedTables } from "./shared_tables.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const name = bytes("mooncake/rpc_meta/node");
const meta = (port: number) =>
  bytes(JSON.stringify({ ip_or_host_name: "10.0.0.1", rpc_port: port }));

/** The core's thread with its log: a change waits until it is kept or refused. */
class Log {
  readonly waiting: { changes: TableChange[]; settle: (error: unknown) => void }[] = [];
  readonly store = new MetadataStore(() => Promise.resolve(true));
  readonly shared = new SharedTables({
    changeTables: (changes) =>
      new Promise((resolve, reject) => {
        const settle = (error: unknown) => error === null ? resolve() : reject(error);
        this.waiting.push({ changes, settle });
      }),
  });

  constructor() {
    this.store.shareThrough(this.shared.documents);
  }

  /** Whether a change has come that nobody has answered; lets what is under way go on. */
  async next(): Promise<boolean> {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    return this.waiting.length > 0;
  }

  keep(): void {
    const { changes, settle } = this.waiting.shift()!;
    this.shared.take(changes, this.store);
    settle(null);
  }

  refuse(error: StoreError): void {
    this.waiting.shift()!.settle(error);
  }
}

Deno.test("a document is there when the log has it, and gone when the log has that", async () => {
  const log = new Log();
  const put = log.store.put(bytes("a"), bytes("1"));
  assert(await log.next());
  assert.equal(log.store.get(bytes("a")), null);
  log.keep();
  assert.equal(await put, "updated");
  assert.deepEqual(log.store.get(bytes("a")), bytes("1"));
  const deleted = log.store.delete(bytes("a"));
  assert.deepEqual(log.store.get(bytes("a")), bytes("1"));
  log.keep();
  assert.equal(await deleted, true);
  assert.deepEqual([log.store.get(bytes("a")), log.store.totalBytes], [null, 0]);
  assert.equal(await log.store.delete(bytes("a")), false);
  assert.equal(log.waiting.length, 0);
});

Deno.test("of two owners that want a name at once the second finds it taken", async () => {
  const log = new Log();
  const puts = [meta(1), meta(2)].map((value) => log.store.put(name, value));
  assert(await log.next());
  assert.equal(log.waiting.length, 1);
  log.keep();
  assert.deepEqual(await Promise.all(puts), ["updated", "name in use"]);
  assert.deepEqual(log.store.get(name), meta(1));
});

Deno.test("a put that the log refuses changes nothing, and the next one is tried", async () => {
  const log = new Log();
  const request = async (method: string) => {
    const app = metadataApp({ store: log.store });
    const body = method === "PUT" ? { body: "1" } : {};
    const response = await app.fetch(new Request("http://h/metadata?key=a", { method, ...body }));
    return [response.status, await response.text()];
  };
  const refusals: [StoreError, [number, string]][] = [
    [new StoreError(ErrorCode.RPC_TIMEOUT, "no answer"), [503, "no answer (RPC_TIMEOUT -901)"]],
    [
      new StoreError(ErrorCode.PERSISTENT_FAIL, "full"),
      [507, "the change could not be kept"],
    ],
  ];
  for (const [error, expected] of refusals) {
    const answer = request("PUT");
    while (!await log.next()) await new Promise((resolve) => setTimeout(resolve));
    log.refuse(error);
    assert.deepEqual(await answer, expected);
    assert.equal(log.store.get(bytes("a")), null);
  }
  const answer = request("PUT");
  while (!await log.next()) await new Promise((resolve) => setTimeout(resolve));
  log.keep();
  assert.deepEqual(await answer, [200, "metadata updated"]);
});

Deno.test("keys that change together are asked of the log together", async () => {
  const log = new Log();
  const wish = { role: "client", tenant: "a", label: "", user: "x", expiresMs: null } as const;
  const records = [createKey(wish, 1).record, createKey(wish, 2).record];
  const kept = log.shared.keys.setAll(records.map((one) => ({ ...one, isDisabled: true })));
  assert(await log.next());
  assert.equal(log.waiting.length, 1);
  assert.equal(log.waiting[0].changes.length, 2);
  assert.deepEqual(log.shared.keys.records, []);
  log.keep();
  await kept;
  assert.deepEqual(log.shared.keys.records, records.map((one) => ({ ...one, isDisabled: true })));
});

Deno.test("documents of a cluster are followed past the limits of this master", () => {
  const store = new MetadataStore(() => Promise.resolve(false), {
    ...{ maxKeys: 1, maxKeyBytes: 4, maxValueBytes: 8, maxTotalBytes: 4 },
  });
  store.take(bytes("a"), bytes("12345"));
  store.take(bytes("b"), bytes("1"));
  assert.deepEqual([store.size, store.totalBytes], [2, 8]);
  store.take(bytes("a"), null);
  store.take(bytes("a"), null);
  assert.deepEqual([store.size, store.totalBytes], [1, 2]);
});

Deno.test("an owner that is gone takes its documents along, once the log says so", async () => {
  const log = new Log();
  log.shared.take(
    [{ table: SmallTable.DOCUMENT, key: bytes("mooncake/ram/n"), value: bytes("1") }],
    log.store,
  );
  assert.equal(log.store.forgetSegment("n"), 1);
  assert.equal(log.store.size, 1);
  assert(await log.next());
  log.keep();
  assert.equal(log.store.size, 0);
});

Deno.test("a standby changes nothing and names the leader", async () => {
  const core = new MemoryAdminCore();
  core.masterStatus = { ...core.masterStatus, role: "standby", leaderAddress: "h:1" };
  const ask = adminCaller(core);
  for (
    const [method, path] of [
      ["POST", "/api/v1/remove_all"],
      ["PUT", "/api/v1/tenant_quotas?tenant_id=a"],
      ["PUT", "/api/v1/tenants?tenant_id=a"],
      ["POST", "/api/v1/keys"],
      ["PATCH", "/api/v1/users?user=x"],
    ]
  ) {
    const { status, json } = await ask(method, path, { body: {} });
    assert.equal(status, 503, path);
    assert.equal(json.error_message, "this master is a standby; the leader is h:1");
  }
  const here = await ask("PATCH", "/v1/config", { body: { put_wait_ms: 5 } });
  assert.equal(here.status, 200, "settings that are not kept are those of one master");
  core.masterStatus = { ...core.masterStatus, leaderAddress: null };
  const app = metadataApp({
    store: new MetadataStore(() => Promise.resolve(true)),
    changeRefusal: () => Promise.resolve("this master is a standby; no master leads at present"),
  });
  for (const method of ["PUT", "DELETE"]) {
    const response = await app.fetch(new Request("http://h/metadata?key=a", { method }));
    assert.deepEqual([response.status, await response.text()], [
      503,
      "this master is a standby; no master leads at present",
    ]);
  }
});

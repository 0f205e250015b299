import assert from "node:assert/strict";
import { backendOf, MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { SnapshotCatalog } from "../backup/catalog.ts";
import { DirectoryStore } from "../backup/directory_store.ts";
import { INDEX_HEADER, receiveIndex } from "../backup/index_stream.ts";
import { adminApp } from "./admin_app.ts";
import { DocumentTable } from "./document_table.ts";

/** The routes over an admin core of plain data, and a directory for snapshots. */
class Desk implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-routes-" });
  readonly core = new MemoryAdminCore();
  readonly place = { kind: "directory" as const, path: `${this.directory}/snapshots` };

  async ask(method: string, path: string, peer = "127.0.0.1", off = false): Promise<Response> {
    const app = adminApp({
      ...{ backend: backendOf(this.core), insecure: false, version: "1", settings: null },
      onLogLevel() {},
      processInfo: () => ({ version: "1", clusterId: "c", rssBytes: 1, uptimeSeconds: 1 }),
      summary: () => "",
      snapshots: {
        ...{ places: off ? null : [this.place], timeoutMs: 100, clusterId: "c", version: "1" },
        tablesPath: `${this.directory}/tables.kv`,
      },
      onFault: (error) => assert.fail(error),
    });
    return await app.fetch(new Request(`http://master:9003${path}`, { method }), { host: peer });
  }

  file(name: string, text: string): string {
    Deno.writeTextFileSync(`${this.directory}/${name}`, text);
    return `${this.directory}/${name}`;
  }

  /** A copy of the index of so many bytes, as the journal answers with it. */
  addCopy(bytes: number): string {
    const path = this.file("copy", "x".repeat(bytes));
    this.core.copies = [{ path, group: 7, bytes, keys: 2, segments: 1 }];
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}

Deno.test("a snapshot that is asked for answers what it is, or why there is none", async () => {
  await using desk = new Desk();
  const snapshot = {
    ...{ id: "20260102-030405-006", group: 5, keys: 3, segments: 1, bytes: 9, seconds: 0.5 },
    ...{ locations: ["/a"], problems: [] },
  };
  desk.core.snapshots = [{ snapshot }];
  const made = await desk.ask("POST", "/api/v1/snapshots");
  assert.deepEqual([made.status, await made.json()], [200, { success: true, ...snapshot }]);
  desk.core.snapshots = [{ failure: "the disk is full" }];
  const failed = await desk.ask("POST", "/api/v1/snapshots");
  assert.equal(failed.status, 500);
  assert.equal((await failed.json()).error_message, "the disk is full");
});

Deno.test("one that is never over is answered after a while", async () => {
  await using desk = new Desk();
  desk.core.beginSnapshot = () => 5;
  const answer = await desk.ask("POST", "/api/v1/snapshots");
  assert.match((await answer.json()).error_message, /^it was not over after 0.2 s$/);
});

Deno.test("the list names every place and what is wrong with a snapshot in it", async () => {
  await using desk = new Desk();
  const empty = await (await desk.ask("GET", "/api/v1/snapshots")).json();
  const { path: location } = desk.place;
  assert.deepEqual(empty, { success: true, places: [{ location, snapshots: [] }] });
  using catalog = new SnapshotCatalog(new DirectoryStore(location));
  const draft = {
    ...{ clusterId: "c", master: "1", group: 5, keys: 3, segments: 1 },
    files: { "index.snap": desk.file("index", "12345") },
  };
  const first = await catalog.publish(draft, Date.UTC(2026, 0, 1), () => {});
  const second = await catalog.publish(draft, Date.UTC(2026, 0, 1), () => {});
  Deno.writeTextFileSync(`${location}/${first.id}/manifest.json`, "{}");
  const list = await (await desk.ask("GET", "/api/v1/snapshots", "10.0.0.1")).json();
  assert.deepEqual(list.places[0].snapshots, [
    {
      ...{ id: second.id, created_at: "2026-01-01T00:00:00.001Z", cluster_id: "c" },
      ...{ group: 5, keys: 3, segments: 1, bytes: 5 },
    },
    { id: first.id, error: "the manifest is damaged" },
  ]);
  await Deno.remove(location, { recursive: true });
  desk.file("snapshots", "no directory");
  const broken = await (await desk.ask("GET", "/api/v1/snapshots")).json();
  assert.match(broken.places[0].error, /cannot be read/);
});

Deno.test("the index travels whole with the documents, and its copy goes", async () => {
  await using desk = new Desk();
  for (const withDocuments of [false, true]) {
    if (withDocuments) {
      await using table = await DocumentTable.open(`${desk.directory}/tables.kv`, () => {});
      await table.set(new Uint8Array([1]), new Uint8Array([2]));
    }
    const copy = desk.addCopy(3_000_000);
    const response = await desk.ask("POST", "/api/v1/backup");
    assert.equal(response.status, 200);
    assert.throws(() => Deno.statSync(copy), Deno.errors.NotFound);
    const directory = await Deno.makeTempDir({ dir: desk.directory });
    const { files, ...rest } = await receiveIndex(response, directory);
    assert.deepEqual(rest, { clusterId: "c", master: "1", group: 7, keys: 2, segments: 1 });
    assert.equal(Deno.statSync(files["index.snap"]).size, 3_000_000);
    assert.equal(Object.keys(files).length, withDocuments ? 2 : 1);
    if (!withDocuments) continue;
    assert.equal(Deno.readTextFileSync(files["documents.json"]), '[["AQ==","Ag=="]]');
  }
});

Deno.test("who hangs up in the middle of the index leaves nothing open", async () => {
  await using desk = new Desk();
  const copy = desk.addCopy(5_000_000);
  const response = await desk.ask("POST", "/api/v1/backup");
  const reader = response.body!.getReader();
  await reader.read();
  await reader.cancel();
  assert.throws(() => Deno.statSync(copy), Deno.errors.NotFound);
});

Deno.test("an answer that ends early, or is none, is not taken for an index", async () => {
  await using desk = new Desk();
  desk.addCopy(100);
  const whole = await desk.ask("POST", "/api/v1/backup");
  const { headers } = whole;
  await whole.body?.cancel();
  const cut = new Response(new Uint8Array(99), {
    headers: { [INDEX_HEADER]: headers.get(INDEX_HEADER)! },
  });
  await assert.rejects(
    receiveIndex(cut, desk.directory),
    /stopped 1 bytes before the end of index/,
  );
  await assert.rejects(receiveIndex(new Response("x"), desk.directory), /no index/);
  const strange = JSON.stringify({ files: [{ name: "../x", bytes: 1 }] });
  const outside = new Response("x", { headers: { [INDEX_HEADER]: strange } });
  await assert.rejects(receiveIndex(outside, desk.directory), /unknown file/);
});

Deno.test("snapshots are made and the index is handed out on this machine only", async () => {
  await using desk = new Desk();
  for (const path of ["/api/v1/snapshots", "/api/v1/backup"]) {
    assert.equal((await desk.ask("POST", path, "10.0.0.1")).status, 401);
  }
});

Deno.test("a master without snapshots, or without anything kept, says so", async () => {
  await using desk = new Desk();
  const messages = [];
  for (
    const [method, path] of [["GET", "snapshots"], ["POST", "snapshots"], [
      "POST",
      "backup",
    ]] as const
  ) {
    const answer = await desk.ask(method, `/api/v1/${path}`, "127.0.0.1", true);
    assert.equal(answer.status, 409);
    messages.push((await answer.json()).error_message);
  }
  const off = "snapshots are off; start the master with --enable_snapshot=true";
  assert.deepEqual(messages, [off, off, "nothing outlives this master: --durability=none"]);
});

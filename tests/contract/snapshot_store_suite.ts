/** What every place for snapshots does, whatever it is made of. */
import assert from "node:assert/strict";
import { SnapshotCatalog, type SnapshotDraft } from "../../master/backup/catalog.ts";
import { DOCUMENTS_NAME, INDEX_NAME } from "../../master/backup/manifest.ts";
import { type ObjectStore, ObjectStoreError } from "../../master/backup/object_store.ts";

const HOUR_MS = 3_600_000;
const NOON = Date.UTC(2026, 0, 2, 12, 0, 0, 5);

/** A place under test. */
export interface StorePlace {
  /** Opens it again; each test closes what it opens. */
  open(): Promise<ObjectStore>;
  /** Empties it. */
  clear(): Promise<void>;
  /** Changes one byte of what is under a name, behind the store's back. */
  damage(name: string): Promise<void>;
  /** Lets a writer stop in the middle of a file. */
  abandon(name: string): Promise<void>;
  /** How many unfinished writes there are. */
  unfinished(): Promise<number>;
}

/** A directory for the files of one test. */
class Desk implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-snapshots-" });

  file(name: string, bytes: number): string {
    const path = `${this.directory}/${name}`;
    Deno.writeFileSync(path, pattern(bytes));
    return path;
  }

  draft(changes: Partial<SnapshotDraft> = {}): SnapshotDraft {
    const files = {
      [INDEX_NAME]: this.file("index", 5000),
      [DOCUMENTS_NAME]: this.file("documents", 70),
    };
    const counts = { group: 12, keys: 34, segments: 5 };
    return { clusterId: "c", master: "1.2.3", ...counts, files, ...changes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}

function pattern(bytes: number): Uint8Array {
  return new Uint8Array(bytes).map((_, i) => i * 7 ^ i >>> 8);
}

const silent = () => {};

/** Registers the tests of one kind of place. `largeBytes` must need more than one request. */
export function testSnapshotStore(
  name: string,
  skip: string | null,
  start: () => Promise<StorePlace & AsyncDisposable>,
  largeBytes: number,
): void {
  const why = skip === null ? "" : ` (skipped: ${skip})`;
  let shared: Promise<StorePlace & AsyncDisposable> | null = null;
  const test = (title: string, fn: (place: StorePlace) => Promise<void>) =>
    Deno.test({
      name: `${name}: ${title}${why}`,
      ignore: skip !== null,
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => {
        const place = await (shared ??= start());
        await place.clear();
        await fn(place);
      },
    });
  addStoreTests(test, largeBytes);
  addCatalogTests(test);
  Deno.test({
    name: `${name}: the place is given back${why}`,
    ignore: skip !== null,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      assert(shared !== null);
      await (await shared)[Symbol.asyncDispose]();
    },
  });
}

type Test = (title: string, fn: (place: StorePlace) => Promise<void>) => void;

function addStoreTests(test: Test, largeBytes: number): void {
  test("what is written is listed, read and removed", async (place) => {
    const store = await place.open();
    assert.deepEqual(await store.list(), []);
    await store.write("a/one", pattern(10));
    await store.write("a/empty", new Uint8Array(0));
    await store.write("b/two", pattern(20));
    await store.write("b/two", pattern(30));
    const byName = (await store.list()).sort((a, b) => a.name < b.name ? -1 : 1);
    assert.deepEqual(byName, [
      { name: "a/empty", bytes: 0 },
      { name: "a/one", bytes: 10 },
      { name: "b/two", bytes: 30 },
    ]);
    assert.deepEqual(Array.from(await store.read("b/two", 100) ?? []), Array.from(pattern(30)));
    assert.deepEqual(Array.from(await store.read("b/two", 7) ?? []), Array.from(pattern(7)));
    assert.equal((await store.read("a/empty", 7))?.length, 0);
    assert.equal(await store.read("a/three", 7), null);
    assert.equal(await store.read("c/three", 7), null);
    await store.remove(["a/one", "a/empty", "a/three", "c/three"]);
    assert.deepEqual(await store.list(), [{ name: "b/two", bytes: 30 }]);
    store.close();
  });

  test("files come and go whole, with progress", async (place) => {
    await using desk = new Desk();
    const store = await place.open();
    for (const bytes of [0, 1, 5000, largeBytes]) {
      const source = desk.file("source", bytes);
      const copy = `${desk.directory}/copy-${bytes}`;
      const [up, down]: number[][] = [[], []];
      await store.upload("a/file", source, (done) => up.push(done));
      await store.download("a/file", copy, (done) => down.push(done));
      assert.deepEqual(await Deno.readFile(copy), pattern(bytes), `${bytes} bytes`);
      assert.deepEqual(await store.list(), [{ name: "a/file", bytes }]);
      if (bytes === 0) continue;
      assert.deepEqual([up.at(-1), down.at(-1)], [bytes, bytes]);
      if (bytes === largeBytes) assert(up.length > 1 && down.length > 1);
    }
    store.close();
  });

  test("a download of nothing, or onto a file, fails in one line", async (place) => {
    await using desk = new Desk();
    const store = await place.open();
    const isOneLine = (error: unknown) =>
      error instanceof ObjectStoreError && !error.message.includes("\n") &&
      error.message.startsWith(`${store.location}: `);
    await assert.rejects(store.download("a/nothing", `${desk.directory}/x`, silent), isOneLine);
    await store.write("a/file", pattern(5));
    const taken = desk.file("taken", 3);
    await assert.rejects(store.download("a/file", taken, silent), isOneLine);
    assert.deepEqual(await Deno.readFile(taken), pattern(3));
    store.close();
  });

  test("an upload of a file that is not there leaves nothing", async (place) => {
    const store = await place.open();
    await assert.rejects(store.upload("a/file", "/nowhere/at/all", silent), ObjectStoreError);
    assert.deepEqual(await store.list(), []);
    assert.equal(await place.unfinished(), 0);
    store.close();
  });

  test("what a writer left in the middle is not there, and goes when it is old", async (place) => {
    const store = await place.open();
    await store.write("a/whole", pattern(5));
    await place.abandon("a/half");
    assert.deepEqual(await store.list(), [{ name: "a/whole", bytes: 5 }]);
    assert.equal(await store.read("a/half", 10), null);
    await store.removeUnfinished(Date.UTC(2000, 0));
    assert.equal(await place.unfinished(), 1);
    await store.removeUnfinished(Date.now() + HOUR_MS);
    assert.equal(await place.unfinished(), 0);
    store.close();
  });
}

function addCatalogTests(test: Test): void {
  test("a snapshot is listed with its manifest and fetched with its bytes", async (place) => {
    await using desk = new Desk();
    using catalog = new SnapshotCatalog(await place.open());
    const progress: [number, number][] = [];
    const manifest = await catalog.publish(
      desk.draft(),
      NOON,
      (done, total) => progress.push([done, total]),
    );
    assert.equal(manifest.id, "20260102-120000-005");
    assert.equal(manifest.createdAt, "2026-01-02T12:00:00.005Z");
    assert.deepEqual([manifest.group, manifest.keys, manifest.segments], [12, 34, 5]);
    assert.deepEqual(progress.at(-1), [5070, 5070]);
    assert.deepEqual(await catalog.list(), [{ id: manifest.id, manifest }]);
    const path = `${desk.directory}/fetched`;
    await catalog.fetch(manifest, INDEX_NAME, path);
    assert.deepEqual(await Deno.readFile(path), pattern(5000));
  });

  test("a later snapshot is the newer one, whatever the clock says", async (place) => {
    await using desk = new Desk();
    using catalog = new SnapshotCatalog(await place.open());
    const ids = [];
    for (const timeMs of [NOON, NOON, NOON - HOUR_MS, NOON + 5000]) {
      ids.push((await catalog.publish(desk.draft(), timeMs, silent)).id);
    }
    assert.deepEqual(ids, [
      "20260102-120000-005",
      "20260102-120000-006",
      "20260102-120000-007",
      "20260102-120005-005",
    ]);
    assert.deepEqual((await catalog.list()).map(({ id }) => id), ids.toReversed());
  });

  test("only the newest stay, and nothing of the others is left", async (place) => {
    await using desk = new Desk();
    const store = await place.open();
    using catalog = new SnapshotCatalog(store);
    const ids = [];
    for (let i = 0; i < 4; i++) ids.push((await catalog.publish(desk.draft(), NOON, silent)).id);
    await store.write("readme/manifest.json", pattern(3));
    await catalog.prune(2, NOON);
    assert.deepEqual((await catalog.list()).map(({ id }) => id), [ids[3], ids[2]]);
    const folders = (await store.list()).map(({ name }) => name.split("/")[0]);
    assert.deepEqual(new Set(folders), new Set(["readme", ids[2], ids[3]]));
    await store.remove(["readme/manifest.json"]);
  });

  test("a snapshot that was not finished is not there; old ones stay, litter goes", async (place) => {
    await using desk = new Desk();
    const store = await place.open();
    using catalog = new SnapshotCatalog(store);
    const { id } = await catalog.publish(desk.draft(), NOON, silent);
    const unfinished = "20260102-130000-000";
    await store.write(`${unfinished}/${INDEX_NAME}`, pattern(100));
    assert.deepEqual((await catalog.list()).map((listed) => listed.id), [id]);
    await catalog.prune(1, NOON + HOUR_MS);
    assert.equal((await store.list()).length, 4, "its writer may be at work");
    const next = await catalog.publish(desk.draft(), NOON, silent);
    assert(next.id > unfinished);
    await catalog.prune(2, NOON + 3 * HOUR_MS);
    assert.deepEqual((await catalog.list()).map((listed) => listed.id), [next.id, id]);
    assert.equal((await store.list()).length, 6);
  });

  test("a file that cannot be read ends the snapshot without a trace", async (place) => {
    await using desk = new Desk();
    const store = await place.open();
    using catalog = new SnapshotCatalog(store);
    const files = { ...desk.draft().files, [DOCUMENTS_NAME]: desk.directory };
    await assert.rejects(catalog.publish(desk.draft({ files }), NOON, silent));
    assert.deepEqual(await store.list(), []);
  });

  test("damage is found: in the manifest by the list, in a file when it is fetched", async (place) => {
    await using desk = new Desk();
    using catalog = new SnapshotCatalog(await place.open());
    const first = await catalog.publish(desk.draft(), NOON, silent);
    const second = await catalog.publish(desk.draft(), NOON, silent);
    await place.damage(`${first.id}/${INDEX_NAME}`);
    await place.damage(`${second.id}/manifest.json`);
    const listed = await catalog.list();
    assert.deepEqual(listed[0], { id: second.id, trouble: "the manifest is damaged" });
    assert.deepEqual(listed[1], { id: first.id, manifest: first });
    const path = `${desk.directory}/fetched`;
    await assert.rejects(catalog.fetch(first, INDEX_NAME, path), /index\.snap is damaged/);
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
    await catalog.fetch(first, DOCUMENTS_NAME, path);
  });
}

// Goal: an empty directory gets the newest snapshot that is whole, one that holds something is left
// alone, and whatever is passed over is told. Method: snapshots of a real index in directories.
import assert from "node:assert/strict";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { MasterCore } from "../core/core.ts";
import { SeededRng } from "../core/rng.ts";
import { DocumentTable } from "../http/document_table.ts";
import { writeCheckpoint } from "../journal/checkpoint.ts";
import { crc32c } from "../../proto/crc32c.ts";
import { DataDirectory } from "../journal/data_directory.ts";
import { FactBuffer } from "../journal/fact_buffer.ts";
import { FileJournal } from "../journal/file_journal.ts";
import { checkpointPath, listFiles } from "../journal/files.ts";
import { FILE_HEADER_BYTES, fileHeader, FileKind } from "../journal/group_format.ts";
import { recover } from "../journal/recovery.ts";
import { SnapshotCatalog, type SnapshotDraft } from "./catalog.ts";
import { DirectoryStore } from "./directory_store.ts";
import { writeDocuments } from "./documents_file.ts";
import { DOCUMENTS_NAME, INDEX_NAME, type Manifest } from "./manifest.ts";
import { holdsIndex, restoreAtStart, RestoreError, restoreSnapshot } from "./restore.ts";

const NOON = Date.UTC(2026, 0, 2, 12);

/** An index, places with snapshots of it, and the directory of a master. */
class Desk implements AsyncDisposable {
  readonly path = Deno.makeTempDirSync({ prefix: "snowskin-restore-" });
  readonly driver = new CoreDriver();
  readonly data = DataDirectory.open(`${this.path}/data`, { pid: 1, host: "h", since: "now" });
  readonly warnings: string[] = [];
  readonly infos: string[] = [];

  constructor() {
    this.driver.mount(1, 64 * MIB);
  }

  place(name: string) {
    return { kind: "directory" as const, path: `${this.path}/${name}` };
  }

  /** A snapshot of the index as it is now, in a place. */
  async publish(place: string, changes: Partial<SnapshotDraft> = {}): Promise<Manifest> {
    const { core } = this.driver;
    const group = core.keyCount;
    const { keys } = writeCheckpoint(this.path, group, core);
    using catalog = new SnapshotCatalog(new DirectoryStore(this.place(place).path));
    return await catalog.publish(
      {
        ...{ clusterId: "c", master: "1", group, keys, segments: 1 },
        files: { [INDEX_NAME]: checkpointPath(this.path, group) },
        ...changes,
      },
      NOON,
      () => {},
    );
  }

  put(count: number): void {
    for (let i = 0; i < count; i++) {
      this.driver.put(`key-${this.driver.core.keyCount}`, 100);
    }
  }

  restore(...places: string[]) {
    return restoreSnapshot({
      places: places.map((name) => this.place(name)),
      directory: this.data,
      verify: true,
      warn: (line) => this.warnings.push(line),
    });
  }

  atStart(...places: string[]) {
    return restoreAtStart({ places: places.map((name) => this.place(name)) }, this.data, {
      info: (line) => this.infos.push(line),
      warn: (line) => this.warnings.push(line),
    });
  }

  /** What a master finds in its directory. */
  found(): MasterCore {
    const core = new MasterCore(this.driver.core.state.config, new SeededRng(2));
    assert.deepEqual(recover(this.data.journalPath, core).losses, []);
    return core;
  }

  /** The names in the journal's directory. */
  get files(): string[] {
    return Array.from(Deno.readDirSync(this.data.journalPath), ({ name }) => name).sort();
  }

  damage(place: string, id: string, file: string): void {
    const path = `${this.place(place).path}/${id}/${file}`;
    const bytes = Deno.readFileSync(path);
    bytes[bytes.length >> 1] ^= 4;
    Deno.writeFileSync(path, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.data[Symbol.dispose]();
    await Deno.remove(this.path, { recursive: true });
  }
}

Deno.test("the newest snapshot comes back whole, and its number goes on", async () => {
  await using desk = new Desk();
  desk.put(5);
  await desk.publish("a");
  desk.put(5);
  const manifest = await desk.publish("a");
  assert.deepEqual(await desk.restore("a"), { manifest, location: desk.place("a").path });
  assert.equal(desk.found().digest(), desk.driver.core.digest());
  assert.deepEqual(desk.files, [checkpointPath("", 10).slice(1)]);
  assert.equal(listFiles(desk.data.journalPath).checkpoints[0].sequence, 10);
  assert.deepEqual(desk.warnings, []);
});

Deno.test("a damaged or unfinished snapshot is passed over for the one before it, and told", async () => {
  for (const file of [INDEX_NAME, "manifest.json"]) {
    await using desk = new Desk();
    desk.put(5);
    const older = await desk.publish("a");
    const digest = desk.driver.core.digest();
    desk.put(5);
    const { id } = await desk.publish("a");
    desk.damage("a", id, file);
    const unfinished = `${desk.place("a").path}/20270101-000000-000`;
    await Deno.mkdir(unfinished);
    await Deno.writeTextFile(`${unfinished}/${INDEX_NAME}`, "half");
    const restored = await desk.restore("a");
    assert.deepEqual(restored?.manifest, older);
    assert.equal(desk.found().digest(), digest);
    assert.equal(desk.warnings.length, 1);
    assert.match(desk.warnings[0], new RegExp(`^snapshot ${id} in .* is passed over: .*damaged$`));
    assert.equal(desk.files.length, 1);
  }
});

Deno.test("an index that does not hold what the manifest says is passed over", async () => {
  await using desk = new Desk();
  desk.put(5);
  const { id } = await desk.publish("a", { keys: 6 });
  await assert.rejects(desk.restore("a"), /no snapshot in .* is whole/);
  assert.deepEqual(desk.files, []);
  assert.match(desk.warnings[0], new RegExp(`${id}.*holds 5 keys and 1 segments instead of 6 and`));
});

Deno.test("an index of a later format is passed over, not installed", async () => {
  await using desk = new Desk();
  const header = fileHeader(FileKind.CHECKPOINT, 1);
  header[8] = 99;
  new DataView(header.buffer).setUint32(24, crc32c(header, 0, 24), true);
  const path = `${desk.path}/later`;
  await Deno.writeFile(path, header);
  await desk.publish("a", { files: { [INDEX_NAME]: path } });
  await assert.rejects(desk.restore("a"), RestoreError);
  assert.match(desk.warnings[0], /is passed over: was written in format 99; this master reads \d+/);
  assert.deepEqual(desk.files, []);
});

Deno.test("of two places the newer snapshot counts, and one that cannot be read is told", async () => {
  await using desk = new Desk();
  desk.put(5);
  await desk.publish("a");
  desk.put(5);
  const newer = await desk.publish("b");
  const more = await desk.publish("b");
  assert.deepEqual((await desk.restore("a", "b"))?.manifest, more);
  await using other = new Desk();
  await Deno.writeTextFile(other.place("broken").path, "no directory");
  await other.publish("b");
  assert.equal((await other.restore("broken", "b"))?.location, other.place("b").path);
  assert.match(other.warnings[0], /broken: cannot be read: /);
  await assert.rejects(other.restore("broken"), /broken: cannot be read: /);
  assert(newer.id < more.id);
});

Deno.test("one snapshot can be asked for, and a wrong id names those that are there", async () => {
  await using desk = new Desk();
  desk.put(5);
  const first = await desk.publish("a");
  desk.put(5);
  const second = await desk.publish("a");
  const ask = (id: string) =>
    restoreSnapshot({ places: [desk.place("a")], directory: desk.data, id, warn: () => {} });
  await assert.rejects(
    ask("20200101-000000-000"),
    new RegExp(`no snapshot 20200101-000000-000; there are: ${second.id}, ${first.id}`),
  );
  assert.deepEqual((await ask(first.id))?.manifest, first);
});

Deno.test("metadata documents come back, unless there are some already", async () => {
  await using desk = new Desk();
  desk.put(1);
  const bytes = (text: string) => new TextEncoder().encode(text);
  const source = `${desk.path}/source.kv`;
  const big = bytes("x".repeat(200_000));
  {
    await using table = await DocumentTable.open(source, () => {});
    await table.set(bytes("a"), bytes("1"));
    await table.set(bytes("big"), big);
    await table.set(bytes("gone"), bytes("2"));
    await table.delete(bytes("gone"));
    await table.set(bytes("empty"), bytes(""));
    assert(await writeDocuments(source, `${desk.path}/documents`), "while it is open");
  }
  const path = checkpointPath(desk.path, 1);
  writeCheckpoint(desk.path, 1, desk.driver.core);
  const files = { [INDEX_NAME]: path, [DOCUMENTS_NAME]: `${desk.path}/documents` };
  await desk.publish("a", { files });
  assert.notEqual(await desk.restore("a"), null);
  const read = async () => {
    const found: Record<string, string> = {};
    const note = (key: Uint8Array, value: Uint8Array) =>
      void (found[new TextDecoder().decode(key)] = new TextDecoder().decode(value));
    await using _table = await DocumentTable.open(desk.data.tablesPath, note);
    return found;
  };
  const expected = { a: "1", big: "x".repeat(200_000), empty: "" };
  assert.deepEqual(await read(), expected);
  {
    await using table = await DocumentTable.open(desk.data.tablesPath, () => {});
    await table.set(bytes("a"), bytes("newer"));
  }
  Deno.removeSync(checkpointPath(desk.data.journalPath, 1));
  await desk.restore("a");
  assert.deepEqual(await read(), { ...expected, a: "newer" });
  assert.equal(await writeDocuments(`${desk.path}/none.kv`, `${desk.path}/none`), false);
});

Deno.test("a directory holds an index from its first group on", async () => {
  await using desk = new Desk();
  const { journalPath } = desk.data;
  assert.equal(holdsIndex(journalPath), false);
  const journal = new FileJournal({ directory: journalPath, nextSequence: 1 });
  assert.equal(holdsIndex(journalPath), false, "a file that was just begun");
  const facts = new FactBuffer();
  facts.append(new Uint8Array(8), 0, 8);
  journal.append(facts.group);
  journal.close();
  assert.equal(holdsIndex(journalPath), true);
  const [{ path }] = listFiles(journalPath).tails;
  Deno.truncateSync(path, FILE_HEADER_BYTES + 3);
  assert.equal(holdsIndex(journalPath), true, "what is left of something");
  Deno.removeSync(path);
  writeCheckpoint(journalPath, 0, desk.driver.core);
  assert.equal(holdsIndex(journalPath), true);
});

Deno.test("at its start a master restores into nothing, says so, and never goes back", async () => {
  await using desk = new Desk();
  await desk.atStart("a");
  assert.deepEqual(desk.infos.splice(0), ["nothing is restored: there is no snapshot yet"]);
  desk.put(3);
  const { id } = await desk.publish("a");
  await desk.atStart("a");
  assert.deepEqual(desk.infos.splice(0), [
    `restored snapshot ${id} with 3 keys from ${desk.place("a").path}`,
  ]);
  assert.match(desk.warnings.splice(0).join(), /^the index is that of 2026-01-02T12:00:00.000Z: /);
  const before = desk.files;
  desk.put(3);
  await desk.publish("a");
  await desk.atStart("a");
  assert.match(
    desk.infos.join(),
    /^nothing is restored: \S+ holds an index, .* another --data_dir$/,
  );
  assert.deepEqual(desk.files, before);
});

Deno.test("a start with snapshots of which none is whole is refused", async () => {
  await using desk = new Desk();
  desk.put(3);
  const { id } = await desk.publish("a");
  desk.damage("a", id, INDEX_NAME);
  await assert.rejects(desk.atStart("a"), (error) => {
    assert(error instanceof RestoreError);
    assert.match(
      error.message,
      /^--enable_snapshot_restore=true: no snapshot in \S+ is whole; .*_restore=false$/,
    );
    return true;
  });
  assert.equal(holdsIndex(desk.data.journalPath), false);
});

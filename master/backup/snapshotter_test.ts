import assert from "node:assert/strict";
import { until } from "../../tests/support/until.ts";
import type { CopyOutcome } from "../journal/master_journal.ts";
import { DirectoryStore } from "./directory_store.ts";
import { type SnapshotOutcome, type SnapshotPolicy, Snapshotter } from "./snapshotter.ts";

/** A snapshotter whose journal and clock a test moves by hand. */
class Desk implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-snapshotter-" });
  readonly lines: string[] = [];
  readonly warnings: string[] = [];
  readonly copies: ((outcome: CopyOutcome) => void)[] = [];
  readonly snapshotter: Snapshotter;
  nowMs = 1000;
  sequence = 5;
  #next = 0;

  constructor(changes: Partial<SnapshotPolicy> = {}) {
    const sequence = () => this.sequence;
    this.snapshotter = new Snapshotter({
      journal: {
        copy: (listener) => void this.copies.push(listener),
        get sequence() {
          return sequence();
        },
      },
      policy: {
        ...{ intervalMs: 60_000, timeoutMs: 30_000, retention: 2 },
        places: [this.place("snapshots")],
        ...changes,
      },
      ...{ clusterId: "c", master: "1.2.3", tablesPath: `${this.directory}/tables.kv` },
      clock: () => this.nowMs,
      info: (line) => this.lines.push(line),
      warn: (line) => this.warnings.push(line),
    });
  }

  place(name: string) {
    return { kind: "directory" as const, path: `${this.directory}/${name}` };
  }

  /** Lets the journal answer with a copy of so many bytes. */
  answer(bytes = 100): string {
    const path = `${this.directory}/copy-${this.#next++}`;
    Deno.writeFileSync(path, new Uint8Array(bytes));
    this.copies.shift()!({ path, group: this.sequence, bytes, keys: 3, segments: 1 });
    return path;
  }

  async outcome(ticket: number): Promise<SnapshotOutcome> {
    await until(() => this.snapshotter.outcome(ticket) !== null, 30_000);
    return this.snapshotter.outcome(ticket)!;
  }

  async ids(name = "snapshots"): Promise<string[]> {
    const objects = await new DirectoryStore(`${this.directory}/${name}`).list();
    return Array.from(new Set(objects.map((object) => object.name.split("/")[0])));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.snapshotter.stop();
    await Deno.remove(this.directory, { recursive: true });
  }
}

Deno.test("a snapshot that was asked for is made, told and counted, and its copy goes", async () => {
  await using desk = new Desk();
  const ticket = desk.snapshotter.begin();
  assert(desk.snapshotter.isBusy);
  desk.snapshotter.tick(desk.nowMs);
  assert.equal(desk.snapshotter.outcome(ticket), null);
  const copy = desk.answer();
  desk.nowMs += 1500;
  const outcome = await desk.outcome(ticket);
  assert("snapshot" in outcome);
  const { id, ...rest } = outcome.snapshot;
  assert.deepEqual(await desk.ids(), [id]);
  assert.deepEqual(rest, {
    ...{ group: 5, keys: 3, segments: 1, bytes: 100, seconds: 1.5, problems: [] },
    locations: [`${desk.directory}/snapshots`],
  });
  assert.deepEqual(desk.lines, [
    `snapshot ${id}: 3 keys, 100 bytes, in 1.5 s to ${desk.directory}/snapshots`,
  ]);
  const { made, failed, newestSeconds, isBusy } = desk.snapshotter;
  assert.deepEqual([made, failed, isBusy], [1, 0, false]);
  assert(Math.abs(newestSeconds - Date.now() / 1000) < 60);
  assert.throws(() => Deno.statSync(copy), Deno.errors.NotFound);
});

Deno.test("snapshots come periodically, not when nothing has changed, and old ones go", async () => {
  await using desk = new Desk();
  desk.snapshotter.tick(60_999);
  assert.equal(desk.copies.length, 0);
  for (let round = 1; round <= 3; round++) {
    desk.nowMs = 1000 + 60_000 * round;
    desk.sequence++;
    desk.snapshotter.tick(desk.nowMs);
    desk.answer();
    await until(() => desk.snapshotter.made === round, 30_000);
  }
  assert.equal((await desk.ids()).length, 2);
  desk.snapshotter.tick(1000 + 60_000 * 4);
  assert.equal(desk.copies.length, 0, "nothing has changed");
  desk.sequence++;
  desk.snapshotter.tick(1000 + 60_000 * 5);
  assert.equal(desk.copies.length, 1);
});

Deno.test("who asks while a snapshot is being made gets the next one", async () => {
  await using desk = new Desk({ intervalMs: null });
  const first = desk.snapshotter.begin();
  desk.snapshotter.tick(desk.nowMs);
  const [second, third] = [desk.snapshotter.begin(), desk.snapshotter.begin()];
  desk.snapshotter.tick(desk.nowMs);
  desk.answer();
  const one = await desk.outcome(first);
  assert.equal(desk.snapshotter.outcome(second), null);
  desk.snapshotter.tick(desk.nowMs);
  desk.answer();
  const two = await desk.outcome(second);
  assert.deepEqual(await desk.outcome(third), two);
  assert("snapshot" in one && "snapshot" in two);
  assert.deepEqual(await desk.ids(), [one.snapshot.id, two.snapshot.id].sort());
});

Deno.test("a snapshot that takes too long is given up, and a copy that comes late goes", async () => {
  await using desk = new Desk();
  const ticket = desk.snapshotter.begin();
  desk.snapshotter.tick(desk.nowMs);
  desk.snapshotter.tick(desk.nowMs + 29_999);
  assert.equal(desk.snapshotter.outcome(ticket), null);
  desk.snapshotter.tick(desk.nowMs + 30_000);
  assert.deepEqual(desk.snapshotter.outcome(ticket), { failure: "it was not over after 30 s" });
  assert.deepEqual(desk.warnings, ["no snapshot: it was not over after 30 s"]);
  assert.equal(desk.snapshotter.failed, 1);
  const copy = desk.answer();
  assert.throws(() => Deno.statSync(copy), Deno.errors.NotFound);
  assert.deepEqual(await desk.ids(), []);
});

Deno.test("a failure is one line: no checkpoint, or a place that cannot be written", async () => {
  await using desk = new Desk({ places: [{ kind: "directory", path: "/dev/null/x" }] });
  const first = desk.snapshotter.begin();
  desk.snapshotter.tick(desk.nowMs);
  desk.copies.shift()!({ failure: "the disk is full" });
  assert.deepEqual(await desk.outcome(first), { failure: "the disk is full" });
  const second = desk.snapshotter.begin();
  desk.snapshotter.tick(desk.nowMs);
  const copy = desk.answer();
  const outcome = await desk.outcome(second);
  assert("failure" in outcome);
  assert.match(outcome.failure, /^\/dev\/null\/x: [^\n]*Not a directory/);
  assert.throws(() => Deno.statSync(copy), Deno.errors.NotFound);
});

Deno.test("a second place gets every snapshot, and what one lacks is told", async () => {
  await using desk = new Desk();
  const broken = { kind: "directory" as const, path: "/dev/null/x" };
  for (const places of [[desk.place("a"), desk.place("b")], [broken, desk.place("b")]]) {
    await using other = new Desk({ places });
    const ticket = other.snapshotter.begin();
    other.snapshotter.tick(other.nowMs);
    other.answer();
    const outcome = await other.outcome(ticket);
    assert("snapshot" in outcome);
    const { locations, problems } = outcome.snapshot;
    const whole = !places.includes(broken);
    assert.deepEqual(locations, places.filter((place) => place !== broken).map(({ path }) => path));
    assert.equal(problems.length, whole ? 0 : 1);
    assert.equal(other.warnings.length, whole ? 0 : 1);
  }
  assert.equal((await desk.ids("a")).length, 1);
  assert.equal((await desk.ids("b")).length, 2);
});

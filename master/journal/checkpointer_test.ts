import assert from "node:assert/strict";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { until } from "../../tests/support/until.ts";
import { MasterCore } from "../core/core.ts";
import { SeededRng } from "../core/rng.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { CheckpointReport } from "./checkpoint_worker.ts";
import { Checkpointer } from "./checkpointer.ts";
import { FactBuffer } from "./fact_buffer.ts";
import { FileJournal } from "./file_journal.ts";
import { listFiles, tailPath } from "./files.ts";
import { recover } from "./recovery.ts";

/** A core, its journal and the checkpoints that are made of it. */
class Desk implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-checkpoint-" });
  readonly driver = new CoreDriver();
  readonly journal = new FileJournal({
    ...{ directory: this.directory, nextSequence: 1, segmentBytes: 4000 },
  });
  readonly done: Checkpoint[] = [];
  readonly faults: string[] = [];
  readonly checkpointer = new Checkpointer({
    ...{ journal: this.journal, directory: this.directory, checkpointBytes: 0 },
    core: this.driver.core,
    config: this.driver.core.state.config,
    onDone: (checkpoint) => this.done.push(checkpoint),
    onFault: (why) => this.faults.push(why),
    leastTailBytes: 10_000,
  });
  readonly #facts = new FactBuffer();
  #next = 0;

  constructor() {
    this.driver.core.attachFacts(this.#facts);
    this.driver.mount(1, 64 * MIB);
  }

  put(): void {
    this.driver.put(`key-${this.#next++}`, 100);
    this.journal.append(this.#facts.group);
    this.#facts.clear();
  }

  recovered(): MasterCore {
    const core = new MasterCore(this.driver.core.state.config, new SeededRng(3));
    assert.deepEqual(recover(this.directory, core).losses, []);
    return core;
  }

  [Symbol.dispose](): void {
    this.checkpointer.stop();
    this.journal.close();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("a Worker folds the tail while the journal goes on, again and again", async () => {
  using desk = new Desk();
  for (let i = 0; i < 20; i++) desk.put();
  desk.checkpointer.consider(0);
  assert(desk.journal.tailBytes < 10_000);
  for (let round = 1; round <= 3; round++) {
    while (desk.journal.tailBytes < 20_000) desk.put();
    // A slow Worker lets the tail grow so much that the next one has begun already.
    const begun = desk.checkpointer.isBusy ? 0 : desk.journal.sequence;
    desk.checkpointer.consider(0);
    await until(() => {
      desk.put();
      desk.checkpointer.consider(0);
      return desk.done.length >= round;
    });
    assert(desk.done[round - 1].sequence >= begun);
    assert.equal(desk.recovered().digest(), desk.driver.core.digest());
  }
  assert.deepEqual(desk.faults, []);
  assert.equal(listFiles(desk.directory).checkpoints.length, 1);
});

Deno.test("a checkpoint of damaged files is refused, deletes nothing and is tried again later", async () => {
  using desk = new Desk();
  while (desk.journal.tailBytes < 20_000) desk.put();
  const { path } = listFiles(desk.directory).tails[1];
  const whole = Deno.readFileSync(path);
  Deno.writeFileSync(path, whole.toReversed());
  const before = listFiles(desk.directory).tails.length;
  desk.checkpointer.consider(0);
  await until(() => !desk.checkpointer.consider(1) && desk.faults.length === 1);
  assert.match(desk.faults[0], /Cannot fold the journal up to group \d+: .*/);
  assert.equal(listFiles(desk.directory).tails.length, before + 1);
  assert.equal(listFiles(desk.directory).checkpoints.length, 0);
  Deno.writeFileSync(path, whole);
  desk.checkpointer.consider(9_000);
  desk.checkpointer.consider(10_000);
  await until(() => !desk.checkpointer.consider(10_000) && desk.done.length === 1);
  assert.equal(desk.recovered().digest(), desk.driver.core.digest());
});

Deno.test("a checkpoint that somebody asks for holds the order of eviction, reads included", async () => {
  using desk = new Desk();
  for (let i = 0; i < 3000; i++) desk.put();
  for (let i = 0; i < 3000; i += 3) {
    desk.driver.nowMs++;
    assert.equal(desk.driver.exist(`key-${i}`), 1);
  }
  const reports: CheckpointReport[] = [];
  const copies = ["a", "b"].map((name) => `${desk.directory}/${name}`);
  for (const copy of copies) desk.checkpointer.ask(copy, (report) => reports.push(report));
  assert(desk.checkpointer.consider(desk.driver.nowMs), "the order goes in slices");
  desk.driver.nowMs += 60_000;
  await until(() => !desk.checkpointer.consider(desk.driver.nowMs) && reports.length > 0);
  assert.equal(desk.done.length, 1, "both get the same one");
  const [checkpoint] = desk.done;
  assert.deepEqual(reports, [{ checkpoint }, { checkpoint }]);
  assert.deepEqual([checkpoint.keys, checkpoint.segments], [3000, 1]);
  for (const copy of copies) {
    assert.deepEqual(Deno.readFileSync(copy), Deno.readFileSync(checkpoint.path));
  }
  const core = desk.recovered();
  core.finishReplay(desk.driver.nowMs);
  const { bytes, ends } = core.inspection.leastRecentlyUsed(1e6);
  const expected = desk.driver.core.inspection.leastRecentlyUsed(1e6);
  assert.equal(ends.length, 3000);
  assert.deepEqual(bytes, expected.bytes);
});

Deno.test("a disk that fails to sync stops the journal until a checkpoint holds everything", () => {
  const directory = Deno.makeTempDirSync({ prefix: "snowskin-checkpoint-" });
  try {
    const disk = new BrokenDisk(directory);
    const { journal } = disk;
    assert.throws(() => journal.sync(), /cannot bring the journal to the disk/);
    assert(journal.needsCheckpoint);
    assert.throws(() => disk.append(), /cannot bring the journal to the disk/);
    const through = journal.seal();
    journal.noteCheckpoint(through - 1, 0);
    assert(journal.needsCheckpoint, "a checkpoint that holds less is not enough");
    journal.noteCheckpoint(through, 0);
    assert.equal(journal.needsCheckpoint, false);
    disk.append();
    journal.sync();
    assert.equal(journal.syncedSequence, through + 1);
    journal.close();
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

/** A journal whose first file takes everything and can never be synced. */
class BrokenDisk {
  readonly journal: FileJournal;

  constructor(directory: string) {
    Deno.symlinkSync("/dev/null", tailPath(directory, 1));
    this.journal = new FileJournal({ directory, nextSequence: 1 });
    this.append();
  }

  append(): void {
    const facts = new FactBuffer();
    facts.append(new Uint8Array(8), 0, 8);
    this.journal.append(facts.group);
  }
}

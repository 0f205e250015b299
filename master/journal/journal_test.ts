// One suite for every journal.
import assert from "node:assert/strict";
import { until } from "../../tests/support/until.ts";
import { type Library, openLibrary } from "../../ffi/library.ts";
import { diskSync } from "../disk.ts";
import { FactBuffer } from "./fact_buffer.ts";
import type { BackgroundSync, SyncedFile } from "./background_sync.ts";
import { FileJournal } from "./file_journal.ts";
import { listFiles } from "./files.ts";
import { GROUP_HEADER_BYTES } from "./group_format.ts";
import { type Journal, JournalError } from "./journal.ts";
import { MemoryJournal } from "./memory_journal.ts";

const loaded = openLibrary();
const library = "unavailable" in loaded ? null : loaded;

function group(...facts: string[]): Uint8Array {
  const buffer = new FactBuffer();
  for (const fact of facts) {
    const bytes = new TextEncoder().encode(fact);
    buffer.append(bytes, 0, bytes.length);
  }
  return buffer.group;
}

/** A journal and what belongs to it, gone at the end of the test. */
interface Opened extends Disposable {
  journal: Journal;
}

const kinds: { name: string; open: () => Opened }[] = [
  {
    name: "memory",
    open: () => ({ journal: new MemoryJournal(), [Symbol.dispose]() {} }),
  },
  {
    name: "files",
    open: () => openFiles(null),
  },
];
if (library !== null) {
  kinds.push({ name: "files synced by the shim", open: () => openFiles(library) });
}

function openFiles(library: Library | null): Opened {
  const directory = Deno.makeTempDirSync({ prefix: "snowskin-journal-" });
  const sync = diskSync(library);
  const journal = new FileJournal({ directory, nextSequence: 1, segmentBytes: 200, sync });
  return {
    journal,
    [Symbol.dispose]() {
      journal.close();
      sync[Symbol.dispose]();
      Deno.removeSync(directory, { recursive: true });
    },
  };
}

for (const { name, open } of kinds) {
  Deno.test(`${name}: groups are numbered, and synced up to the one that was last`, async () => {
    using opened = open();
    const { journal } = opened;
    assert.deepEqual([journal.sequence, journal.syncedSequence], [0, 0]);
    for (let i = 1; i <= 20; i++) {
      journal.append(group(`fact ${i}`));
      assert.equal(journal.sequence, i);
    }
    journal.sync();
    assert.equal(journal.syncedSequence, 20);
    journal.append(group("one more"));
    journal.beginSync();
    await until(() => journal.syncedSequence === 21);
    assert.equal(journal.needsCheckpoint, false);
  });

  Deno.test(`${name}: a checkpoint takes what it holds off the tail`, () => {
    using opened = open();
    const { journal } = opened;
    for (let i = 0; i < 10; i++) journal.append(group("a fact of some length"));
    const before = journal.tailBytes;
    assert.equal(journal.seal(), 10);
    assert.equal(journal.seal(), 10);
    journal.append(group("another"));
    journal.noteCheckpoint(10, 1000);
    assert(journal.tailBytes > 0 && journal.tailBytes < before, `${journal.tailBytes}`);
    assert.equal(journal.sequence, 11);
  });
}

function fileTest(
  name: string,
  fn: (directory: string) => void | Promise<void>,
): void {
  Deno.test(name, async () => {
    const directory = Deno.makeTempDirSync({ prefix: "snowskin-journal-" });
    try {
      await fn(directory);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  });
}

fileTest(
  "a new file is begun when one is long enough, and syncs reach all of them",
  (directory) => {
    const journal = new FileJournal({ directory, nextSequence: 5, segmentBytes: 100 });
    for (let i = 0; i < 6; i++) journal.append(group("x".repeat(60)));
    journal.close();
    const sequences = listFiles(directory).tails.map(({ sequence }) => sequence);
    assert.deepEqual(sequences, [5, 6, 7, 8, 9, 10]);
  },
);

fileTest("what waits for the disk is bounded", (directory) => {
  const journal = new FileJournal({ directory, nextSequence: 1, unsyncedLimit: 1000 });
  for (let i = 0; i < 100; i++) {
    journal.append(group("x".repeat(100)));
    assert(journal.sequence - journal.syncedSequence < 10);
  }
  journal.close();
});

fileTest("a tail that no checkpoint shortens is refused more", (directory) => {
  const options = { directory, nextSequence: 1, tailLimit: 1000 };
  const journal = new FileJournal(options);
  const fill = () => {
    for (let i = 0; i < 100; i++) journal.append(group("x".repeat(100)));
  };
  assert.throws(
    fill,
    (error: Error) => error instanceof JournalError && /without a checkpoint/.test(error.message),
  );
  const { sequence } = journal;
  assert(sequence > 3 && sequence < 10);
  journal.noteCheckpoint(journal.seal(), 0);
  journal.append(group("again"));
  assert.equal(journal.sequence, sequence + 1);
  journal.close();
});

Deno.test("a full buffer hands its group on between two facts", () => {
  const sizes: number[] = [];
  const buffer = new FactBuffer(() => {
    sizes.push(buffer.group.length);
    buffer.clear();
  });
  const fact = new Uint8Array(100_000);
  for (let i = 0; i < 50; i++) buffer.append(fact, 0, fact.length);
  assert.equal(sizes.length, 4);
  assert(sizes.every((size) => size > 1 << 20 && size < (1 << 20) + 200_000));
  assert.equal(buffer.told, 50);
  buffer.clear();
  assert.equal(buffer.group.length, GROUP_HEADER_BYTES);
  assert(buffer.isEmpty);
});

/** Rounds that end when the test says so. */
class HeldSync implements BackgroundSync {
  readonly needsTurns = false;
  readonly rounds: number[] = [];
  result: Error | null | undefined = null;

  open(): SyncedFile {
    return { close() {} };
  }
  begin(files: readonly SyncedFile[]): void {
    this.rounds.push(files.length);
    this.result = undefined;
  }
  outcome(): Error | null | undefined {
    return this.result;
  }
  wait(): void {}
}

Deno.test({
  name: `files of the shim and of the runtime are the same bytes${
    library === null ? " (skipped: no C shim)" : ""
  }`,
  ignore: library === null,
  fn() {
    const files = [null, library].map((library) => {
      const directory = Deno.makeTempDirSync({ prefix: "snowskin-journal-" });
      try {
        using sync = diskSync(library);
        const journal = new FileJournal({ directory, nextSequence: 5, segmentBytes: 1000, sync });
        for (let i = 0; i < 30; i++) journal.append(group(`fact ${i}`, "x".repeat(i * 9)));
        journal.close();
        return Array.from(Deno.readDirSync(directory), ({ name }) => name).sort()
          .map((name) => [name, Deno.readFileSync(`${directory}/${name}`)]);
      } finally {
        Deno.removeSync(directory, { recursive: true });
      }
    });
    assert(files[0].length > 3);
    assert.deepEqual(files[0], files[1]);
  },
});

fileTest(
  "a round covers what was appended before it, in files of a bounded number",
  (directory) => {
    const sync = new HeldSync();
    const journal = new FileJournal({ directory, nextSequence: 1, segmentBytes: 100, sync });
    for (let i = 0; i < 12; i++) journal.append(group("x".repeat(60)));
    journal.beginSync();
    journal.append(group("later"));
    journal.beginSync();
    assert.equal(journal.syncedSequence, 0);
    sync.result = null;
    assert.equal(journal.syncedSequence, 8);
    journal.beginSync();
    sync.result = null;
    assert.equal(journal.syncedSequence, 13);
    assert.deepEqual(sync.rounds, [8, 5]);
    journal.close();
  },
);

fileTest("after a round that failed nothing is taken before a checkpoint", (directory) => {
  const sync = new HeldSync();
  const journal = new FileJournal({ directory, nextSequence: 1, sync });
  journal.append(group("one"));
  journal.beginSync();
  sync.result = new Error("the disk is broken");
  assert.throws(() => journal.append(group("two")), /the disk is broken/);
  assert(journal.needsCheckpoint);
  sync.result = null;
  journal.noteCheckpoint(1, 100);
  journal.append(group("two"));
  assert.equal(journal.sequence, 2);
  journal.close();
});

// Goal: a journal that is read while its master goes on is read whole. Method: files are removed, and
// groups appended, between the opening of a walk and its reading.
import assert from "node:assert/strict";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { foldCheckpoint } from "./checkpoint.ts";
import { FactBuffer } from "./fact_buffer.ts";
import { FileJournal } from "./file_journal.ts";
import { JournalWalk } from "./walk.ts";

function withJournal(
  fn: (directory: string, journal: FileJournal, put: (key: string) => void, d: CoreDriver) => void,
): () => void {
  return () => {
    const directory = Deno.makeTempDirSync({ prefix: "snowskin-walk-" });
    const driver = new CoreDriver();
    const facts = new FactBuffer();
    driver.core.attachFacts(facts);
    const journal = new FileJournal({ directory, nextSequence: 1, segmentBytes: 300 });
    const keep = () => {
      journal.append(facts.group);
      facts.clear();
    };
    driver.mount(1, MIB);
    keep();
    const put = (key: string) => {
      driver.put(key, 100);
      keep();
    };
    try {
      for (let i = 0; i < 6; i++) put(`key-${i}`);
      fn(directory, journal, put, driver);
    } finally {
      journal.close();
      Deno.removeSync(directory, { recursive: true });
    }
  };
}

Deno.test(
  "files that a checkpoint makes superfluous meanwhile are still read",
  withJournal((directory, journal, put, driver) => {
    using walk = new JournalWalk(directory);
    assert(walk.paths.length >= 3);
    const before = walk.paths.length;
    foldCheckpoint(directory, journal.seal(), driver.core.state.config);
    put("later");
    const sequences = Array.from(walk.groups(), ({ sequence }) => sequence);
    assert.deepEqual(sequences, [1, 2, 3, 4, 5, 6, 7]);
    assert.equal(walk.end, null);
    assert.equal(walk.paths.length, before);

    using anew = new JournalWalk(directory);
    assert.equal(anew.checkpointSequence, 7);
    const groups = Array.from(anew.groups(), ({ sequence, kind }) => [sequence, kind]);
    assert.deepEqual(groups.at(-1), [8, 1]);
    assert(groups.slice(0, -1).every(([sequence, kind]) => sequence === 7 && kind === 2));
  }),
);

Deno.test(
  "a walk ends at the group that it was asked for",
  withJournal((directory) => {
    using walk = new JournalWalk(directory, 4);
    assert.deepEqual(Array.from(walk.groups(), ({ sequence }) => sequence), [1, 2, 3, 4]);
    assert.equal(walk.sequence, 4);
    assert.equal(walk.end, null);
  }),
);

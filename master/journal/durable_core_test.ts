import assert from "node:assert/strict";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { assertCode } from "../../tests/support/core_driver.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { DurableCore } from "./durable_core.ts";
import type { Durability } from "./journal.ts";
import { MemoryJournal } from "./memory_journal.ts";

class Desk {
  readonly driver = new CoreDriver();
  readonly journal = new MemoryJournal();
  readonly said: string[] = [];
  readonly durable: DurableCore;

  constructor(durability: Exclude<Durability, "none"> = "batch") {
    this.durable = new DurableCore({
      ...{ core: this.driver.core, journal: this.journal, durability },
      clock: () => this.driver.nowMs,
      onTrouble: (why) => this.said.push(why),
      onRelief: () => this.said.push("relief"),
    });
    this.driver.mount(1, MIB);
    assert(this.durable.commit());
  }
}

Deno.test("the facts of a batch are one group, and a batch without facts is none", () => {
  const { driver, durable, journal } = new Desk();
  const { sequence } = journal;
  driver.put("a", 100);
  driver.put("b", 100);
  assert(durable.commit());
  driver.get("a");
  assert(durable.commit());
  assert.equal(journal.sequence, sequence + 1);
});

Deno.test("a request that changes something is told from one that does not", () => {
  const { driver, durable } = new Desk();
  driver.put("a", 100);
  const before = durable.told;
  driver.get("a");
  driver.exist("a");
  assert.equal(durable.told, before);
  driver.remove("a", true);
  assert(durable.told > before);
});

Deno.test("with fsync a commit is on the disk, with batch some milliseconds later", () => {
  const fsync = new Desk("fsync");
  assert.equal(fsync.journal.syncedSequence, fsync.journal.sequence);
  const { driver, durable, journal } = new Desk();
  driver.put("a", 100);
  durable.commit();
  assert.equal(durable.isSyncing, true);
  driver.nowMs += 10;
  durable.commit();
  assert.equal(journal.syncedSequence, journal.sequence);
  assert.equal(durable.isSyncing, false);
});

Deno.test("a journal that fails stops changes until it works again, and loses nothing", () => {
  const { driver, durable, journal, said } = new Desk();
  driver.put("kept", 100);
  assert(durable.commit());
  journal.broken = "cannot write: no space";
  driver.put("a", 100);
  assert.equal(durable.commit(), false);
  assert.deepEqual(said, ["cannot write: no space"]);
  assertCode(driver.start("b", 100), ErrorCode.PERSISTENT_FAIL);
  assert.deepEqual([driver.exist("kept"), driver.exist("a")], [1, 0], "it may be taken back");
  driver.nowMs += 1000;
  assert.equal(durable.commit(), false);
  assert.equal(said.length, 1, "the same trouble is told once");
  journal.broken = null;
  assert.equal(durable.commit(), false, "not tried again at once");
  driver.nowMs += 200;
  assert.equal(durable.commit(), true);
  assert.deepEqual(said, ["cannot write: no space", "relief"]);
  assert.equal(driver.exist("a"), 1);
  driver.put("b", 100);
  assert(durable.commit());

  const next = new CoreDriver();
  for (const group of journal.groups) {
    const view = new DataView(group.buffer);
    for (let at = 20; at < group.length;) {
      const length = view.getUint32(at, true);
      next.core.replay(group, at + 4, at + 4 + length);
      at += 4 + length;
    }
  }
  assert.equal(next.core.digest(), driver.core.digest());
});

Deno.test("closing keeps what no batch has kept", () => {
  const { driver, durable, journal } = new Desk();
  const { sequence } = journal;
  driver.put("a", 100);
  durable.close();
  assert.equal(journal.sequence, sequence + 1);
});

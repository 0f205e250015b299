// Goal: whatever a crash or a fault leaves in the files, a recovery finds everything up to the last
// whole group, never less, and says what it dropped. Method: the facts of random calls in small
// files; files cut and damaged; checkpoints folded while facts go on; digests compared.
import assert from "node:assert/strict";
import { Chaos } from "../../tests/support/core_chaos.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { MasterCore } from "../core/core.ts";
import { durableState } from "../core/digest.ts";
import { SeededRng } from "../core/rng.ts";
import { foldCheckpoint } from "./checkpoint.ts";
import { crc32c } from "../../proto/crc32c.ts";
import { FactBuffer } from "./fact_buffer.ts";
import { MAX_READ_HOLD_MS } from "../core/holds.ts";
import { FileJournal } from "./file_journal.ts";
import { listFiles } from "./files.ts";
import { GroupReader } from "./group_reader.ts";
import { FileKind } from "./group_format.ts";
import { recover, type Recovered } from "./recovery.ts";

function withDirectory(fn: (directory: string) => void): () => void {
  return () => {
    const directory = Deno.makeTempDirSync({ prefix: "snowskin-recovery-" });
    try {
      fn(directory);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  };
}

/** A core that knows what is in the directory, with the settings of another. */
function recovered(
  directory: string,
  config: ConstructorParameters<typeof MasterCore>[0],
): { core: MasterCore; found: Recovered } {
  const core = new MasterCore(config, new SeededRng(9));
  const found = recover(directory, core, { repair: true });
  checkCore(core.state);
  return { core, found };
}

/** A journal with one group for each put of `count` objects; the digest after each group. */
function writePuts(directory: string, count: number, segmentBytes = 1 << 20) {
  const driver = new CoreDriver();
  const facts = new FactBuffer();
  driver.core.attachFacts(facts);
  const journal = new FileJournal({ directory, nextSequence: 1, segmentBytes });
  const digests = [driver.core.digest()];
  const note = () => {
    journal.append(facts.group);
    facts.clear();
    digests.push(driver.core.digest());
  };
  driver.mount(1, MIB);
  note();
  for (let i = 0; i < count; i++) {
    driver.put(`key-${i}`, 100 + i);
    note();
  }
  journal.close();
  return { driver, digests };
}

Deno.test("the checksum is CRC-32C", () => {
  const digits = new TextEncoder().encode("123456789");
  assert.equal(crc32c(digits, 0, 9), 0xe3069283);
  assert.equal(crc32c(digits, 4, 9, crc32c(digits, 0, 4)), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32), 0, 32), 0x8a9136aa);
});

Deno.test(
  "a tail that is cut at any byte of its last group counts up to the group before",
  withDirectory((directory) => {
    const { driver, digests } = writePuts(directory, 3);
    const [{ path }] = listFiles(directory).tails;
    const whole = Deno.readFileSync(path);
    let lastStart = 0;
    {
      using reader = new GroupReader(path, FileKind.TAIL);
      for (let group = reader.next(); group !== null; group = reader.next()) {
        lastStart = group.offset;
      }
    }
    for (let length = lastStart; length <= whole.length; length++) {
      Deno.writeFileSync(path, whole.subarray(0, length));
      const { core, found } = recovered(directory, driver.core.state.config);
      const groups = length === whole.length ? 4 : 3;
      assert.equal(found.sequence, groups);
      assert.equal(core.digest(), digests[groups]);
      const silent = length === lastStart || length === whole.length;
      assert.equal(found.losses.length, silent ? 0 : 1, `${length}: ${found.losses}`);
    }
  }),
);

Deno.test(
  "room that was taken ahead ends a tail well, anything else in it does not",
  withDirectory((directory) => {
    const { driver, digests } = writePuts(directory, 3);
    const [{ path }] = listFiles(directory).tails;
    const whole = Deno.readFileSync(path);
    for (const zeros of [1, 19, 20, 300_000]) {
      const room = new Uint8Array(whole.length + zeros);
      room.set(whole);
      Deno.writeFileSync(path, room);
      const { core, found } = recovered(directory, driver.core.state.config);
      assert.equal(core.digest(), digests[4]);
      assert.deepEqual(found.losses, []);
      room[room.length - 1] = 1;
      Deno.writeFileSync(path, room);
      const last = recovered(directory, driver.core.state.config);
      assert.equal(last.core.digest(), digests[4]);
      assert.match(last.found.losses.join(), /the journal ends after group 4:/);
    }
  }),
);

Deno.test(
  "damage anywhere in the tail is found, and nothing behind it is trusted",
  withDirectory((directory) => {
    const { driver, digests } = writePuts(directory, 6);
    const [{ path }] = listFiles(directory).tails;
    const whole = Deno.readFileSync(path);
    const starts: number[] = [];
    {
      using reader = new GroupReader(path, FileKind.TAIL);
      for (let group = reader.next(); group !== null; group = reader.next()) {
        starts.push(group.offset);
      }
    }
    for (let at = starts[2]; at < starts[4]; at++) {
      const damaged = whole.slice();
      damaged[at] ^= 1 << at % 8;
      Deno.writeFileSync(path, damaged);
      const { core, found } = recovered(directory, driver.core.state.config);
      const groups = at < starts[3] ? 2 : 3;
      assert.equal(core.digest(), digests[groups], `byte ${at}`);
      assert.match(found.losses.join(), new RegExp(`the journal ends after group ${groups}:`));
    }
  }),
);

Deno.test(
  "a journal goes on in a new file after a torn one, and what was dropped stays dropped",
  withDirectory((directory) => {
    const { driver } = writePuts(directory, 6, 200);
    const { tails } = listFiles(directory);
    assert(tails.length >= 4);
    Deno.truncateSync(tails[1].path, Deno.statSync(tails[1].path).size - 3);
    const { config } = driver.core.state;
    const first = recovered(directory, config);
    assert.match(first.found.losses.join(), /dropped the rest of .* later files.*\.dropped/);
    const next = new FileJournal({ directory, nextSequence: first.found.sequence + 1 });
    const facts = new FactBuffer();
    first.core.attachFacts(facts);
    first.core.finishReplay(0);
    first.core.scans.removal(0, null, true).step({ left: Infinity }, MAX_READ_HOLD_MS);
    next.append(facts.group);
    next.close();
    const second = recovered(directory, config);
    assert.deepEqual(second.found.losses, []);
    assert.equal(second.core.digest(), first.core.digest());
    assert.equal(second.core.keyCount, 0);
  }),
);

Deno.test(
  "a missing file ends the journal, and an empty or cut off one does not",
  withDirectory((directory) => {
    const { driver, digests } = writePuts(directory, 6, 200);
    const { config } = driver.core.state;
    const { tails } = listFiles(directory);
    const last = tails.at(-1)!;
    Deno.writeFileSync(`${directory}/tail-0000000000000008.log`, new Uint8Array(7));
    assert.equal(recovered(directory, config).core.digest(), digests[7]);
    Deno.removeSync(tails[2].path);
    const { core, found } = recovered(directory, config);
    assert.equal(core.digest(), digests[tails[2].sequence - 1]);
    assert.match(found.losses.join(), /are missing; dropped/);
    assert.deepEqual(
      Array.from(Deno.readDirSync(directory), ({ name }) => name).filter((name) =>
        name === last.path.split("/").at(-1)
      ),
      [],
    );
  }),
);

Deno.test(
  "files of a later version are refused, not dropped",
  withDirectory((directory) => {
    const { driver } = writePuts(directory, 2);
    const [{ path }] = listFiles(directory).tails;
    const file = Deno.readFileSync(path);
    const view = new DataView(file.buffer);
    view.setUint32(8, 4, true);
    view.setUint32(24, crc32c(file, 0, 24), true);
    Deno.writeFileSync(path, file);
    assert.throws(
      () => recovered(directory, driver.core.state.config),
      /was written in format 4; this master reads 2 to 3/,
    );
    assert.deepEqual(Deno.readFileSync(path), file);
  }),
);

Deno.test(
  "a damaged part of a checkpoint costs that part only, and a fact that does not fit only itself",
  withDirectory((directory) => {
    const driver = new CoreDriver();
    const facts = new FactBuffer();
    driver.core.attachFacts(facts);
    const journal = new FileJournal({ directory, nextSequence: 1 });
    driver.mount(1, 64 * MIB);
    for (let i = 0; i < 30_000; i++) driver.put(`key-${i}`, 100);
    journal.append(facts.group);
    journal.close();
    const { config } = driver.core.state;
    const { bytes } = foldCheckpoint(directory, 1, config);
    const [{ path }] = listFiles(directory).checkpoints;
    const file = Deno.readFileSync(path);
    assert.equal(file.length, bytes);
    for (const at of [60, file.length >> 1]) {
      const damaged = file.slice();
      damaged[at] ^= 255;
      Deno.writeFileSync(path, damaged);
      const { core, found } = recovered(directory, config);
      const lost = 30_000 - core.keyCount;
      assert(at === 60 ? lost === 0 : lost > 0 && lost < 1500, `${lost}`);
      assert.match(found.losses.join(), /^1 parts of .* are damaged/);
    }
    assert.throws(
      () => foldCheckpoint(directory, 1, config),
      /damaged/,
      "a checkpoint is never made from damage",
    );
  }),
);

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(
    `random calls, with checkpoints folded in between, are recovered: seed ${seed}`,
    withDirectory((directory) => {
      const chaos = new Chaos(seed);
      const { core } = chaos.driver;
      const journal = new FileJournal({ directory, nextSequence: 1, segmentBytes: 20_000 });
      const facts = new FactBuffer();
      core.attachFacts(facts);
      const { config } = core.state;
      for (let i = 1; i <= 3000; i++) {
        chaos.step();
        if (facts.isEmpty) continue;
        journal.append(facts.group);
        facts.clear();
        if (i % 700 !== 0) continue;
        const { sequence, bytes } = foldCheckpoint(directory, journal.seal(), config);
        journal.noteCheckpoint(sequence, bytes);
        const { checkpoints, tails } = listFiles(directory);
        assert.equal(checkpoints.length, 1);
        assert.equal(tails.length, 1);
      }
      const { segments, state } = core;
      while (segments.dead.length + state.disks.dead.length > 0) core.tick(chaos.driver.nowMs);
      if (!facts.isEmpty) journal.append(facts.group);
      core.attachFacts(null);
      journal.close();
      const again = recovered(directory, config);
      assert.deepEqual(again.found.losses, []);
      assert.equal(again.found.sequence, journal.sequence);
      const lines = (each: MasterCore) => Array.from(durableState(each.state)).sort();
      assert.deepEqual(lines(again.core), lines(core));
    }),
  );
}

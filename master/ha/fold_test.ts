// Goal: the digests of two masters' checkpoints of one group are equal exactly when the masters hold
// the same. Method: random facts; one directory is folded once, the other many times on the way.
import assert from "node:assert/strict";
import { Chaos } from "../../tests/support/core_chaos.ts";
import { FactBuffer } from "../journal/fact_buffer.ts";
import { FileJournal } from "../journal/file_journal.ts";
import { doFold } from "./fold.ts";

Deno.test("digests do not depend on the checkpoints a master has made before", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const chaos = new Chaos(seed);
    const { config } = chaos.driver.core.state;
    const directories = [0, 1].map(() => Deno.makeTempDirSync());
    const journals = directories.map((directory) =>
      new FileJournal({ directory, nextSequence: 1 })
    );
    const facts = new FactBuffer();
    chaos.driver.core.attachFacts(facts);
    const fold = (at: number, offsetMs: number) => {
      const sequence = journals[at].seal();
      const own = { ...config, epochOffsetMs: offsetMs };
      return doFold({ kind: "fold", directory: directories[at], sequence, config: own });
    };
    try {
      for (let step = 0; step < 600; step++) {
        chaos.step();
        if (facts.isEmpty) continue;
        for (const journal of journals) journal.append(facts.group.slice());
        facts.clear();
        if (step % 100 === 99) fold(1, 1e12 + seed * 0.37);
      }
      const [once, often] = [fold(0, 0), fold(1, 1e12 + 0.123)];
      assert.deepEqual(once, { ...often, bytes: once.bytes }, `seed ${seed}`);
      const again = { kind: "read", directory: directories[1], sequence: once.sequence } as const;
      assert.equal(doFold({ ...again, config }).digest, once.digest);
    } finally {
      for (const journal of journals) journal.close();
      for (const directory of directories) Deno.removeSync(directory, { recursive: true });
    }
  }
});

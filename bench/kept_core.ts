import { DurableCore } from "../master/journal/durable_core.ts";
import { FileJournal } from "../master/journal/file_journal.ts";
import type { Durability } from "../master/journal/journal.ts";
import { CoreDriver } from "../tests/support/core_driver.ts";

const KEY_PADDING = "x".repeat(50);

/** A core with one large segment, that keeps what it tells in a directory of its own. */
export class KeptCore implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-bench-" });
  readonly driver = new CoreDriver();
  readonly journal = new FileJournal({ directory: this.directory, nextSequence: 1 });
  readonly durable: DurableCore | null;
  #next = 0;

  constructor(durability: Durability) {
    this.durable = durability === "none" ? null : new DurableCore({
      ...{ core: this.driver.core, journal: this.journal, durability },
      clock: () => performance.now(),
      onTrouble: (why) => console.error(why),
      onRelief: () => {},
    });
    this.driver.mount(1, 2 ** 40);
  }

  /** Puts so many new keys, 64 bytes long, and keeps them. */
  batch(puts: number): void {
    for (let i = 0; i < puts; i++) {
      const key = `key/${String(this.#next++).padStart(9, "0")}/${KEY_PADDING}`;
      this.driver.put(key, 4096);
    }
    this.durable?.commit();
  }

  [Symbol.dispose](): void {
    this.durable?.close();
    if (this.durable === null) this.journal.close();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

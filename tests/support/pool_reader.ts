import assert from "node:assert/strict";
import type { StoreClient } from "../../client/store_client.ts";
import { StoreError } from "../../proto/error.ts";

/** Reads the keys of a table in turn, and checks every byte, until it is told to stop. */
export class PoolReader {
  reads = 0;
  /** Reads that failed or found nothing, unless they were excused. */
  readonly failures: string[] = [];
  #stopped = false;
  readonly #done: Promise<void>;

  /** With `mayMiss` a read may fail while it is so before or after it. */
  constructor(
    client: StoreClient,
    values: ReadonlyMap<string, Uint8Array>,
    mayMiss: () => boolean = () => false,
  ) {
    this.#done = this.#run(client, Array.from(values), mayMiss);
  }

  async #run(client: StoreClient, values: [string, Uint8Array][], mayMiss: () => boolean) {
    for (let i = 0; !this.#stopped; i = (i + 7) % values.length) {
      const missing = mayMiss();
      const [key, expected] = values[i];
      let value: Uint8Array | null;
      try {
        value = await client.get(key);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (!missing && !mayMiss()) this.failures.push(`${key}: ${error.message}`);
        continue;
      }
      if (value !== null) assert.deepEqual(value, expected);
      else if (!missing && !mayMiss()) this.failures.push(`${key} is missing`);
      this.reads++;
    }
  }

  /** Waits for the read that is under way. */
  stop(): Promise<void> {
    this.#stopped = true;
    return this.#done;
  }
}

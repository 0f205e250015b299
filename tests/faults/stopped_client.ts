/**
 * A client as a process, to be stopped at any instruction (SIGSTOP) and continued: it reads, writes
 * and removes until it is asked to end (SIGTERM), and prints what came of it.
 *
 *     deno run -A tests/faults/stopped_client.ts '{"options": {...}, "first": 16777216, ...}'
 */
import { StoreClient } from "../../client/store_client.ts";
import type { StoreOptions } from "../../client/setup.ts";
import { StoreError } from "../../proto/error.ts";
import { Random } from "../support/random.ts";
import { Ledger, STAMP_BYTES, stamped } from "./stamps.ts";

export interface StoppedClientTask {
  readonly options: StoreOptions;
  /** Versions begin behind it. */
  readonly first: number;
  readonly keys: number;
  /** Bytes of values. */
  readonly smallest: number;
  readonly largest: number;
  /** A heartbeat that is so late means that the process stood still. */
  readonly stopMs: number;
  /** What each lane rests after a call. */
  readonly restMs: number;
}

/** What is printed behind `result `. */
export interface StoppedClientResult {
  /** Reads and writes that were under way when the process was stopped. */
  stoppedReads: number;
  stoppedWrites: number;
  right: number;
  missing: number;
  errors: number;
  wrong: number;
  ended: number;
  failed: number;
  mismatches: number;
  complaints: readonly string[];
  failures: Readonly<Record<string, number>>;
}

const LANES = 6;
/** Heartbeats in the time that makes one late. */
const BEATS = 6;

if (import.meta.main) {
  const task: StoppedClientTask = JSON.parse(Deno.args[0]);
  const { options, first, keys, smallest, largest, stopMs, restMs } = task;
  const client = await StoreClient.connect(options);
  const random = new Random(first);
  const ledger = new Ledger(first);
  const underWay = { reads: 0, writes: 0 };
  let [stoppedReads, stoppedWrites] = [0, 0];
  let running = true;
  let beatMs = performance.now();
  const beat = setInterval(() => {
    const now = performance.now();
    if (now - beatMs > stopMs) {
      stoppedReads += underWay.reads;
      stoppedWrites += underWay.writes;
    }
    beatMs = now;
  }, stopMs / BEATS);
  Deno.addSignalListener("SIGTERM", () => running = false);

  const lane = async () => {
    while (running) {
      const key = random.below(keys);
      const name = `rounds/${key}`;
      if (random.oneIn(2)) {
        underWay.reads++;
        await ledger.read(key, () => client.get(name));
        underWay.reads--;
      } else if (random.oneIn(5)) {
        await client.remove(name, { force: true }).catch((error) => {
          if (!(error instanceof StoreError)) throw error;
        });
      } else {
        const stamps = (smallest + random.below(largest - smallest)) / STAMP_BYTES | 0;
        underWay.writes++;
        await ledger.write((version) =>
          client.upsert(name, stamped(key, version, stamps * STAMP_BYTES))
        );
        underWay.writes--;
      }
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    }
  };
  console.log("running");
  await Promise.all(Array.from({ length: LANES }, lane));
  clearInterval(beat);
  const { right, missing, errors, wrong, ended, failed, complaints, failures } = ledger;
  const result: StoppedClientResult = {
    ...{ stoppedReads, stoppedWrites, right, missing, errors, wrong, ended, failed, complaints },
    ...{ mismatches: client.checksumMismatches, failures },
  };
  await client.close();
  console.log(`result ${JSON.stringify(result)}`);
  Deno.exit(0);
}

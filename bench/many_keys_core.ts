/** A filled core that measures one kind of call after the other, as it is asked on stdin. */
import process from "node:process";
import { createInterface } from "node:readline";
import type { MasterCore } from "../master/core/core.ts";
import { randomBelow, SeededRng } from "../master/core/rng.ts";
import { emptyCore, KEY_BYTES, nameKey, putKeys, sink } from "./filled_core.ts";
import { residentBytes } from "./process_stat.ts";
import { median } from "./table.ts";

/** What can be measured, in this order: the last one drops keys that the others look for. */
export const KINDS = [
  "exist",
  "exist of 128",
  "exist of 128, missing",
  "get",
  "get of 128",
  "put and end",
  "put and end of 128",
  "put and end, full pool",
] as const;
type Kind = (typeof KINDS)[number];

const BATCH = 128;
/** New keys that there is room for. */
const SPARE = 64 * BATCH;
/** Calls before the measured ones: they bring the tables of few keys into the caches. */
const WARM_MS = 200;
const MEASURED_MS = 300;

/** Fills a core, says so, and answers each order with what its calls cost. */
export function serveOrders(keys: number): void {
  const cost = new Costs(keys);
  console.log(JSON.stringify(cost.filled()));
  createInterface({ input: process.stdin }).on("line", (line) => {
    console.log(JSON.stringify({ ns: cost.measure(JSON.parse(line).kind) }));
  });
}

class Costs {
  readonly #keys: number;
  readonly #filled;
  readonly #core: MasterCore;
  readonly #random = new SeededRng(3);
  readonly #bytes = new Uint8Array(BATCH * KEY_BYTES).fill(0x61);
  readonly #list = { count: BATCH, starts: new Uint32Array(BATCH), ends: new Uint32Array(BATCH) };
  readonly #rssBefore: number;
  #nowMs = 1;
  /** Numbers of new keys begin here. */
  #next: number;

  constructor(keys: number) {
    this.#keys = keys;
    this.#next = keys;
    this.#filled = emptyCore(keys + SPARE, { clientTtlMs: Infinity, slowStartMs: 0 });
    this.#core = this.#filled.core;
    for (let i = 0; i < BATCH; i++) {
      this.#list.starts[i] = i * KEY_BYTES;
      this.#list.ends[i] = (i + 1) * KEY_BYTES;
    }
    this.#rssBefore = residentBytes(Deno.pid);
    for (let n = 0; n < keys; n++) {
      nameKey(this.#bytes, 0, n);
      this.#put(0, 1);
      if (n % BATCH === 0) this.#core.tick(this.#nowMs++);
    }
  }

  /** What the tables occupy. */
  filled(): { bytesPerKey: number; hugeMiB: number } {
    if (this.#core.keyCount !== this.#keys) throw new Error(`only ${this.#core.keyCount} keys`);
    const smaps = Deno.readTextFileSync("/proc/self/smaps_rollup");
    const huge = /AnonHugePages:\s+(\d+) kB/.exec(smaps);
    return {
      bytesPerKey: (residentBytes(Deno.pid) - this.#rssBefore) / this.#keys,
      hugeMiB: Number(huge?.[1] ?? 0) / 1024,
    };
  }

  /** Nanoseconds a key, the median over batches. */
  measure(kind: Kind): number {
    if (kind === "put and end, full pool") this.#putUntilFull();
    this.#run(kind, WARM_MS);
    return median(this.#run(kind, MEASURED_MS)) / BATCH * 1e6;
  }

  #run(kind: Kind, forMs: number): number[] {
    const times: number[] = [];
    const endMs = performance.now() + forMs;
    for (let startMs = 0; startMs < endMs;) {
      const from = this.#nameKeys(kind);
      startMs = performance.now();
      this.#calls(kind);
      times.push(performance.now() - startMs);
      if (kind.startsWith("put and end") && !kind.endsWith("full pool")) this.#removeNew(from);
      this.#core.tick(this.#nowMs++);
    }
    return times;
  }

  #nameKeys(kind: Kind): number {
    const from = this.#next;
    const fresh = kind.startsWith("put") || kind.endsWith("missing");
    for (let i = 0; i < BATCH; i++) {
      const n = fresh ? this.#next++ : randomBelow(this.#random, this.#keys);
      nameKey(this.#bytes, i * KEY_BYTES, n);
    }
    return from;
  }

  #calls(kind: Kind): void {
    switch (kind) {
      case "exist":
        return this.#each((from, to) => this.#core.existKey(0, this.#bytes, from, to, this.#nowMs));
      case "exist of 128":
      case "exist of 128, missing":
        this.#core.locate(0, this.#bytes, this.#list, false);
        for (let i = 0; i < BATCH; i++) this.#core.existAt(i, this.#nowMs);
        return;
      case "get":
        return this.#each((from, to) =>
          this.#core.getReplicaList(0, this.#bytes, from, to, this.#nowMs, sink)
        );
      case "get of 128":
        this.#core.locate(0, this.#bytes, this.#list, true);
        for (let i = 0; i < BATCH; i++) this.#core.getReplicaListAt(i, this.#nowMs, sink);
        return;
      case "put and end":
      case "put and end, full pool":
        for (let i = 0; i < BATCH; i++) this.#put(i, i + 1);
        return;
      case "put and end of 128":
        return this.#put(0, BATCH);
    }
  }

  #each(call: (from: number, to: number) => void): void {
    for (let i = 0; i < BATCH; i++) call(i * KEY_BYTES, (i + 1) * KEY_BYTES);
  }

  /** The starts of some keys, then their ends. */
  #put(first: number, end: number): void {
    const range = [first * KEY_BYTES, end * KEY_BYTES] as const;
    putKeys(this.#filled, this.#bytes, range, this.#nowMs);
  }

  #removeNew(from: number): void {
    this.#each((at, to) => this.#core.remove(0, this.#bytes, at, to, true, this.#nowMs));
    this.#next = from + BATCH;
  }

  #putUntilFull(): void {
    for (let i = 0; i < SPARE; i++) {
      nameKey(this.#bytes, 0, this.#next++);
      this.#put(0, 1);
    }
    this.#nowMs += 1000;
  }
}

/** Writers that never stop, and the memory of what they were told. */
import { StoreClient } from "../../client/store_client.ts";
import { StoreError } from "../../proto/error.ts";

const VALUE_BYTES = 1024;
/** Puts under way in each client, unless said otherwise. */
const CONCURRENCY = 2;
/** A writer that is refused pauses, so that a dead master is not flooded. */
const PAUSE_MS = 5;
const KEYS_PER_CHECK = 256;

export interface LoadCounts {
  acknowledged: number;
  /** Puts per second while the master answered. */
  rate: number;
  /** Keys read back, those that were gone though acknowledged, those with other bytes. */
  checked: number;
  lost: number;
  wrong: number;
}

/** The one value of a key. */
export function valueOf(key: string): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES);
  let state = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) {
    state = Math.imul(state ^ key.charCodeAt(i), 0x01000193);
  }
  for (let i = 0; i < value.length; i++) {
    state = Math.imul(state ^ i, 0x01000193);
    value[i] = state >>> 13;
  }
  return value;
}

/** Puts new keys through several clients until it is stopped. */
export class Load implements AsyncDisposable {
  /** Keys whose put was answered with success. */
  readonly acknowledged: string[] = [];
  /** Keys whose put was not answered, or refused: they may be there or not. */
  readonly open: string[] = [];
  /** When a put was last acknowledged. */
  lastMs = 0;
  readonly #clients: StoreClient[];
  readonly #writers: Promise<void>[] = [];
  #running = false;
  #next = 0;
  #busyMs = 0;
  #busyPuts = 0;
  #checked = 0;
  #lost = 0;
  #wrong = 0;

  private constructor(clients: StoreClient[], readonly concurrency: number) {
    this.#clients = clients;
  }

  static async start(
    address: string,
    clients: number,
    concurrency = CONCURRENCY,
  ): Promise<Load> {
    const connect = () =>
      StoreClient.connect({
        masterServerAddress: address,
        globalSegmentSize: 0,
        rpcConnectTimeoutMs: 300,
        rpcTimeoutMs: 3000,
      });
    const connected = await Promise.all(Array.from({ length: clients }, connect));
    const load = new Load(connected, concurrency);
    load.begin();
    return load;
  }

  get counts(): LoadCounts {
    const acknowledged = this.acknowledged.length;
    return {
      acknowledged,
      rate: this.#busyPuts / Math.max(1, this.#busyMs) * 1000,
      checked: this.#checked,
      lost: this.#lost,
      wrong: this.#wrong,
    };
  }

  begin(): void {
    if (this.#running) return;
    this.#running = true;
    for (const client of this.#clients) {
      for (let i = 0; i < this.concurrency; i++) this.#writers.push(this.#write(client));
    }
  }

  async pause(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#writers.splice(0));
  }

  /** Counts what was put from `sinceMs` on, beyond `from` puts, as put while the master answered. */
  wasBusy(sinceMs: number, from: number): void {
    this.#busyMs += performance.now() - sinceMs;
    this.#busyPuts += this.acknowledged.length - from;
  }

  /**
   * Reads keys back: of those that were acknowledged the ones from `from` on, and all about which
   * nothing is known since then. Only bytes are judged when `mayBeLost` is set.
   */
  async check(from: number, mayBeLost = false): Promise<void> {
    const keys = this.acknowledged.slice(from);
    await this.#readBack(keys, !mayBeLost);
    await this.#readBack(this.open.splice(0), false);
  }

  /** Whether every one of some acknowledged keys can be read. */
  async areAllThere(sample: number): Promise<boolean> {
    const keys = this.acknowledged.filter((_, i) => i % sample === 0);
    for (let at = 0; at < keys.length; at += KEYS_PER_CHECK) {
      const found = await this.#clients[0].batchIsExist(keys.slice(at, at + KEYS_PER_CHECK));
      if (!found.every(({ value }) => value === true)) return false;
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pause();
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #write(client: StoreClient): Promise<void> {
    while (this.#running) {
      const key = `load/${this.#next++}`;
      try {
        await client.put(key, valueOf(key));
        this.acknowledged.push(key);
        this.lastMs = performance.now();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.open.push(key);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  async #readBack(keys: readonly string[], mustBeThere: boolean): Promise<void> {
    for (let at = 0; at < keys.length; at += KEYS_PER_CHECK) {
      const part = keys.slice(at, at + KEYS_PER_CHECK);
      const values = await this.#clients[at / KEYS_PER_CHECK % this.#clients.length].batchGet(part);
      for (const [i, { value }] of values.entries()) {
        this.#checked++;
        if (value === null) this.#lost += mustBeThere ? 1 : 0;
        else if (!isEqual(value, valueOf(part[i]))) this.#wrong++;
      }
    }
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

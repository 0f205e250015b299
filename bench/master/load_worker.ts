/** One thread of the load: clients on connections of their own, calls as fast as answered or on time. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { MasterClient } from "../../client/master_client.ts";
import { defaultConfig } from "../../client/put_options.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import type { Operation } from "./options.ts";

/** What a thread is to do. */
export interface LoadOrder {
  host: string;
  port: number;
  clientId: string;
  thread: number;
  operation: Operation;
  clients: number;
  batch: number;
  valueBytes: number;
  /** Existing keys are drawn from `key-0` to `key-(keys - 1)`. */
  keys: number;
  seconds: number;
  /** Calls a second of this thread; 0 = closed loop. */
  rate: number;
  /** Puts exactly these keys, in batches, and ends. */
  fill?: { from: number; to: number };
}

export interface LoadResult {
  calls: number;
  keys: number;
  failed: number;
  seconds: number;
  /** Microseconds, at {@linkcode PERCENTILES}. */
  percentiles: number[];
  maxUs: number;
}

export const PERCENTILES = [50, 75, 90, 95, 99, 99.9] as const;

const encoder = new TextEncoder();
const tenantId = encoder.encode("default");
const config = defaultConfig("");

/** The name of an existing object, 62 bytes as in the figures of this project. */
export function keyName(n: number): Uint8Array {
  return encoder.encode(`model/layer-0/${String(n).padStart(48, "0")}`);
}

class Load {
  readonly #order: LoadOrder;
  readonly #masters: { rpc: RpcClient; client: MasterClient }[];
  readonly #latencies: RecordableHistogram = createHistogram();
  #calls = 0;
  #keys = 0;
  #failed = 0;
  #new = 0;
  #random = 1;

  constructor(order: LoadOrder) {
    this.#order = order;
    this.#random = order.thread * 7919 + 1;
    this.#masters = Array.from({ length: order.clients }, () => {
      const rpc = new RpcClient({ host: order.host, port: order.port, clock: systemClock });
      return { rpc, client: new MasterClient(rpc) };
    });
  }

  async run(): Promise<LoadResult> {
    const { seconds, rate, fill } = this.#order;
    await Promise.all(this.#masters.map(({ client }) => client.checkVersion()));
    const began = performance.now();
    if (fill !== undefined) await this.#fill(fill.from, fill.to);
    else if (rate > 0) await this.#onTime(began + seconds * 1000, rate);
    else await this.#closedLoop(began + seconds * 1000);
    const took = (performance.now() - began) / 1000;
    await Promise.all(this.#masters.map(({ rpc }) => rpc.close()));
    return {
      calls: this.#calls,
      keys: this.#keys,
      failed: this.#failed,
      seconds: took,
      percentiles: PERCENTILES.map((at) => this.#latencies.percentile(at)),
      maxUs: this.#latencies.max,
    };
  }

  async #closedLoop(endMs: number): Promise<void> {
    await Promise.all(this.#masters.map(async ({ client }) => {
      while (performance.now() < endMs) await this.#timed(client, performance.now());
    }));
  }

  /** Begins calls at even distances; a late one counts from when it should have begun. */
  async #onTime(endMs: number, rate: number): Promise<void> {
    const began = performance.now();
    const open = new Set<Promise<void>>();
    for (let begun = 0;;) {
      const now = performance.now();
      if (now >= endMs) break;
      const due = Math.floor((now - began) * rate / 1000);
      for (; begun < due; begun++) {
        const { client } = this.#masters[begun % this.#masters.length];
        const call = this.#timed(client, began + begun * 1000 / rate);
        open.add(call);
        void call.finally(() => open.delete(call));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(open);
  }

  async #timed(client: MasterClient, sinceMs: number): Promise<void> {
    const keys = await this.#call(client);
    this.#latencies.record(Math.max(1, Math.round((performance.now() - sinceMs) * 1000)));
    this.#calls++;
    this.#keys += keys;
  }

  #call(client: MasterClient): Promise<number> {
    const { operation, batch } = this.#order;
    const count = operation.startsWith("batch_") ? batch : 1;
    switch (operation) {
      case "put":
      case "batch_put":
        return this.#put(client, Array.from({ length: count }, () => this.#newKey()));
      case "get":
        return this.#one(client.getReplicaList({ key: this.#oldKey(), tenantId }));
      case "exist":
        return this.#one(client.existKey({ key: this.#oldKey(), tenantId }));
      case "batch_get":
        return this.#many(client.batchGetReplicaList({ keys: this.#oldKeys(count), tenantId }));
      case "batch_exist":
        return this.#many(client.batchExistKey({ keys: this.#oldKeys(count), tenantId }));
    }
  }

  async #fill(from: number, to: number): Promise<void> {
    const { batch } = this.#order;
    for (let at = from; at < to; at += batch) {
      const count = Math.min(batch, to - at);
      const keys = Array.from({ length: count }, (_, i) => keyName(at + i));
      await this.#put(this.#masters[0].client, keys);
    }
  }

  /** A start and an end: as the call of an engine, without the bytes between them. */
  async #put(client: MasterClient, keys: Uint8Array[]): Promise<number> {
    const { clientId, valueBytes } = this.#order;
    if (this.#order.operation === "put" && keys.length === 1) {
      const [key] = keys;
      const start = { clientId, key, sliceLength: valueBytes, config, tenantId };
      const { code } = await client.putStart(start);
      if (code === ErrorCode.OK) {
        const objectMeta = { key, objectChecksum: null };
        await client.putEnd({ clientId, objectMeta, replicaType: ReplicaType.ALL, tenantId });
      } else this.#failed++;
      return 1;
    }
    const sliceLengths = keys.map(() => valueBytes);
    const started = await client.batchPutStart({ clientId, keys, sliceLengths, config, tenantId });
    const placed = keys.filter((_, i) => started[i].code === ErrorCode.OK);
    this.#failed += keys.length - placed.length;
    const objectMetas = placed.map((key) => ({ key, objectChecksum: null }));
    await client.batchPutEnd({ clientId, objectMetas, replicaType: ReplicaType.ALL, tenantId });
    return keys.length;
  }

  async #one(call: Promise<{ code: number; value: unknown }>): Promise<number> {
    const { code, value } = await call;
    if (code !== ErrorCode.OK || value === false) this.#failed++;
    return 1;
  }

  async #many(call: Promise<{ code: number; value: unknown }[]>): Promise<number> {
    const answers = await call;
    for (const { code, value } of answers) {
      if (code !== ErrorCode.OK || value === false) this.#failed++;
    }
    return answers.length;
  }

  #oldKey(): Uint8Array {
    this.#random = Math.imul(this.#random, 1664525) + 1013904223 >>> 0;
    return keyName(Math.floor(this.#random / 2 ** 32 * this.#order.keys));
  }

  #oldKeys(count: number): Uint8Array[] {
    return Array.from({ length: count }, () => this.#oldKey());
  }

  #newKey(): Uint8Array {
    const { thread, operation } = this.#order;
    return encoder.encode(`new/${operation}/${thread}/${String(this.#new++).padStart(40, "0")}`);
  }
}

self.onmessage = async ({ data }: MessageEvent<LoadOrder>) => {
  self.postMessage(await new Load(data).run());
};

/** A client of ours whose transfers can be held up: before, in the middle of, and after the bytes. */
import { AsyncLocalStorage } from "node:async_hooks";
import { readObject } from "../../client/read.ts";
import { removeObject } from "../../client/remove.ts";
import {
  type ClientParts,
  closeClient,
  openClient,
  type StoreOptions,
} from "../../client/setup.ts";
import type { EndpointOperation } from "../../client/transfer/endpoint.ts";
import { Opcode, TransferCode } from "../../client/transfer/engine.ts";
import { sumOf } from "../../client/transfer/sums.ts";
import { writeObject } from "../../client/write.ts";
import { STAMP_BYTES } from "./stamps.ts";

export const holdPoints = ["before", "middle", "after"] as const;
export type HoldPoint = (typeof holdPoints)[number];

/** Holds up the first transfer of an operation, and sees what came of it. */
export interface Hold {
  readonly point: HoldPoint;
  readonly ms: number;
  /**
   * Called when the transfer is over: its codes, what was read or written, and whether memory that
   * is read was given to a write meanwhile.
   */
  done(codes: Int32Array, ops: readonly EndpointOperation[], isReused: boolean): void;
}

/** Memory that held reads are about: it sees when a write is given some of it. */
export class HeldMemory {
  readonly #held = new Set<{ ops: readonly EndpointOperation[]; isReused: boolean }>();

  /** Notes reads that stand still; the function that ends it tells whether their memory was reused. */
  hold(ops: readonly EndpointOperation[]): () => boolean {
    const held = { ops, isReused: false };
    this.#held.add(held);
    return () => {
      this.#held.delete(held);
      return held.isReused;
    };
  }

  /** Notes that writes are about to begin, which is when the master has given memory to them. */
  give(writes: readonly EndpointOperation[]): void {
    for (const held of this.#held) {
      held.isReused ||= held.ops.some((op) => writes.some((write) => overlap(op, write)));
    }
  }
}

function overlap(a: EndpointOperation, b: EndpointOperation): boolean {
  return a.endpoint === b.endpoint && a.remoteAddress < b.remoteAddress + BigInt(b.length) &&
    b.remoteAddress < a.remoteAddress + BigInt(a.length);
}

const holds = new AsyncLocalStorage<{ hold: Hold | null }>();

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The operations cut in two, at a stamp; the second halves of short ones are empty. */
function halves(ops: readonly EndpointOperation[]): [EndpointOperation[], EndpointOperation[]] {
  const first: EndpointOperation[] = [], second: EndpointOperation[] = [];
  for (const op of ops) {
    const half = Math.floor(op.length / 2 / STAMP_BYTES) * STAMP_BYTES;
    if (half > 0) first.push({ ...op, length: half });
    second.push({
      ...op,
      length: op.length - half,
      localOffset: op.localOffset + half,
      remoteAddress: op.remoteAddress + BigInt(half),
    });
  }
  return [first, second];
}

/** Gives operations the sums of their halves. */
function joinSums(
  ops: readonly EndpointOperation[],
  first: readonly EndpointOperation[],
  second: readonly EndpointOperation[],
): void {
  const unused = [...first];
  for (const [i, op] of ops.entries()) {
    const half = unused[0]?.remoteAddress === op.remoteAddress ? unused.shift() : undefined;
    const sum = sumOf(half === undefined ? [second[i]] : [half, second[i]]);
    if (op.sums === true && sum >= 0) op.crc32c = sum;
  }
}

/** Calls of `StoreClient` on its own parts, so that the test stands between them and the engine. */
export class HeldClient implements AsyncDisposable {
  readonly #parts: ClientParts;

  private constructor(parts: ClientParts, memory: HeldMemory) {
    this.#parts = parts;
    const { endpoint } = parts;
    const transfer = endpoint.transfer.bind(endpoint);
    endpoint.transfer = async (ops, timeoutMs, traffic) => {
      if (ops[0]?.opcode === Opcode.WRITE) memory.give(ops);
      const held = holds.getStore();
      const hold = held?.hold;
      if (!held || !hold) return await transfer(ops, timeoutMs, traffic);
      held.hold = null;
      const end = ops[0].opcode === Opcode.READ ? memory.hold(ops) : () => false;
      let codes: Int32Array;
      if (hold.point === "middle") {
        const [first, second] = halves(ops);
        const early = await transfer(first, timeoutMs);
        await pause(hold.ms);
        codes = await transfer(second, timeoutMs);
        if (early.some((code) => code !== TransferCode.OK)) codes.set(early);
        joinSums(ops, first, second);
      } else {
        if (hold.point === "before") await pause(hold.ms);
        codes = await transfer(ops, timeoutMs);
        if (hold.point === "after") await pause(hold.ms);
      }
      hold.done(codes, ops, end());
      return codes;
    };
    const begin = endpoint.begin.bind(endpoint);
    endpoint.begin = (op, timeoutMs, traffic, done, failed) => {
      if (!holds.getStore()?.hold) {
        if (op.opcode === Opcode.WRITE) memory.give([op]);
        return begin(op, timeoutMs, traffic, done, failed);
      }
      endpoint.transfer([op], timeoutMs).then(([code]) => done(code as TransferCode), failed);
    };
  }

  static async connect(options: StoreOptions, memory: HeldMemory): Promise<HeldClient> {
    return new HeldClient(await openClient(options), memory);
  }

  /** Replicas so far whose bytes were not those that were written. */
  get mismatches(): number {
    return this.#parts.store.checks.mismatches;
  }

  /** As `StoreClient.get`. */
  async get(key: string, hold: Hold | null = null): Promise<Uint8Array | null> {
    let value = new Uint8Array(0);
    const found = await holds.run(
      { hold },
      () =>
        readObject(this.#parts.store, new TextEncoder().encode(key), (size) => {
          value = new Uint8Array(size);
          return [{ offset: 0, length: size, local: value, localOffset: 0 }];
        }),
    );
    return found ? value : null;
  }

  /** As `StoreClient.upsert`. */
  async upsert(key: string, local: Uint8Array, hold: Hold | null = null): Promise<void> {
    const { store } = this.#parts;
    const slices = [{ local, localOffset: 0, length: local.length }];
    const bytes = new TextEncoder().encode(key);
    await holds.run(
      { hold },
      () => writeObject(store, "upsert", bytes, slices, store.defaultConfig),
    );
  }

  /** As `StoreClient.remove`. */
  async remove(key: string, force: boolean): Promise<void> {
    await removeObject(this.#parts.store, new TextEncoder().encode(key), force);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return closeClient(this.#parts);
  }
}

/** The bytes that a read has brought, before anybody judges them. */
export function bytesRead(ops: readonly EndpointOperation[]): Uint8Array | null {
  const [op] = ops;
  return op.opcode === Opcode.READ && op.local instanceof Uint8Array ? op.local : null;
}

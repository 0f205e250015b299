/** Somebody who uses a store through a client, and tells the history what came of it. */
import { existBatch, exists } from "../../client/lookup.ts";
import { readBatch } from "../../client/batch_read.ts";
import { writeBatch } from "../../client/batch_write.ts";
import type { StoreContext } from "../../client/context.ts";
import { readObject } from "../../client/read.ts";
import { removeBatch, removeByRegex, removeObject } from "../../client/remove.ts";
import { pause } from "../../client/transfer/clock.ts";
import { type WriteKind, writeObject, type WriteOutcome } from "../../client/write.ts";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { type ReplicateConfig, SoftPinAction } from "../../proto/types.ts";
import type { Random } from "../support/random.ts";
import type { History, WriteRecord } from "./history.ts";
import { Command, type Profile } from "./profile.ts";
import type { Scheduler } from "./scheduler.ts";

const encoder = new TextEncoder();
/** Values of as many bytes, times something, are put without options: clients reserve for those. */
const ROUND = 16;

/** Reads an object of unknown size; `null` = there is none. */
export type Reader = (store: StoreContext, key: Uint8Array) => Promise<Uint8Array | null>;

/** Reads as the client does. */
export const readWhole: Reader = async (store, key) => {
  let bytes = new Uint8Array(0);
  const found = await readObject(store, key, (size) => {
    bytes = new Uint8Array(size);
    return [{ offset: 0, length: size, local: bytes, localOffset: 0 }];
  });
  return found ? bytes : null;
};

export interface UserOptions {
  scheduler: Scheduler;
  random: Random;
  profile: Profile;
  history: History;
  store: StoreContext;
  /** Names of the segments of all nodes. */
  segmentNames: readonly string[];
  read: Reader;
  log: (line: string) => void;
}

/** Gives one command after the other. */
export class User {
  /** A command is going on. */
  busy: Command | null = null;
  readonly #options: UserOptions;
  #stopped = false;

  constructor(options: UserOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
  }

  async work(): Promise<void> {
    const { profile: { commands, thinkMs }, random, store } = this.#options;
    while (!this.#stopped) {
      this.busy = random.pick(commands);
      try {
        await this.#give(this.busy);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
      this.busy = null;
      await pause(store.clock, random.below(2 * thinkMs + 1));
    }
  }

  async #give(command: Command): Promise<void> {
    const { store, random, history, scheduler, segmentNames } = this.#options;
    const startMs = scheduler.nowMs;
    const key = this.#key();
    const bytes = encoder.encode(key);
    switch (command) {
      case Command.PUT:
        return await this.#write("put", key);
      case Command.UPSERT:
        return await this.#write("upsert", key);
      case Command.PUT_BATCH:
        return await this.#writeBatch("put");
      case Command.UPSERT_BATCH:
        return await this.#writeBatch("upsert");
      case Command.GET: {
        const value = await this.#options.read(store, bytes);
        if (value === null) history.misses++;
        else history.checkRead(key, value, startMs, scheduler.nowMs);
        return;
      }
      case Command.GET_BATCH:
        return await this.#readBatch();
      case Command.EXISTS:
        return void await exists(store, bytes);
      case Command.EXISTS_BATCH:
        return void await existBatch(store, this.#keys().map((one) => encoder.encode(one)));
      case Command.REMOVE:
      case Command.REMOVE_FORCED:
        await removeObject(store, bytes, command === Command.REMOVE_FORCED);
        return history.removed(key, startMs, scheduler.nowMs);
      case Command.REMOVE_BATCH: {
        const keys = this.#keys();
        const packed = keys.map((one) => encoder.encode(one));
        const results = await removeBatch(store, packed, random.oneIn(2));
        for (const [i, { code }] of results.entries()) {
          if (code === ErrorCode.OK) history.removed(keys[i], startMs, scheduler.nowMs);
        }
        return;
      }
      case Command.REMOVE_BY_REGEX:
        return void await removeByRegex(store, `${random.below(10)}$`, random.oneIn(2));
      case Command.REGEX_LIST: {
        const { master, tenantId } = store;
        const regex = `${random.below(10)}$`;
        return void await master.getReplicaListByRegex({ regex, tenantId });
      }
      case Command.COPY: {
        const { master, tenantId } = store;
        const targets = [random.pick(segmentNames)];
        return void await master.createCopyTask({ key: bytes, tenantId, targets });
      }
      case Command.MOVE: {
        const { master, tenantId } = store;
        const source = random.pick(segmentNames);
        const target = random.pick(segmentNames);
        return void await master.createMoveTask({ key: bytes, tenantId, source, target });
      }
      case Command.CLEAR: {
        const { master, clientId } = store;
        const segmentName = random.oneIn(2) ? "" : random.pick(segmentNames);
        return void await master.batchReplicaClear({ objectKeys: [bytes], clientId, segmentName });
      }
    }
  }

  #key(): string {
    return `key-${this.#options.random.below(this.#options.profile.keys)}`;
  }

  /** A few keys, each once. */
  #keys(): string[] {
    const count = 1 + this.#options.random.below(5);
    return Array.from(new Set(Array.from({ length: count }, () => this.#key())));
  }

  #size(): number {
    const { random, profile: { leastValue, mostValue, reservesPuts } } = this.#options;
    const more = random.below(mostValue - leastValue + 1);
    if (!reservesPuts || more % 2 === 0) return leastValue + more;
    // Half of all values have one of a few sizes, so that memory is reserved for them.
    return leastValue + Math.floor(3 * more / mostValue) * ROUND;
  }

  #config(keys: number): ReplicateConfig {
    const { store, random, profile: { withPins, withGroups, mostReplicas }, segmentNames } =
      this.#options;
    const pinned = withPins && random.oneIn(4);
    return {
      ...store.defaultConfig,
      replicaNum: 1 + random.below(mostReplicas),
      softPinAction: pinned ? SoftPinAction.ENABLE : SoftPinAction.PRESERVE,
      softPinTtlMs: pinned ? random.below(3000) : null,
      withHardPin: withPins && random.oneIn(30),
      preferredSegment: random.oneIn(4) ? random.pick(segmentNames) : "",
      groupIds: withGroups && random.oneIn(3)
        ? Array.from({ length: keys }, () => encoder.encode(`group-${random.below(3)}`))
        : null,
    };
  }

  async #write(kind: WriteKind, key: string): Promise<void> {
    const { store, history, scheduler, profile } = this.#options;
    const record = history.beginWrite(key, this.#size(), scheduler.nowMs);
    const slices = this.#slices(record);
    const config = this.#config(1);
    const isPlain = profile.reservesPuts && kind === "put" && record.size % ROUND === 0;
    try {
      const outcome = await writeObject(
        store,
        kind,
        encoder.encode(key),
        slices,
        isPlain ? store.defaultConfig : config,
      );
      this.#settle(record, ErrorCode.OK, outcome);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#settle(record, error.code, null);
    }
  }

  async #writeBatch(kind: WriteKind): Promise<void> {
    const { store, history, scheduler } = this.#options;
    const keys = this.#keys();
    const records = keys.map((key) => history.beginWrite(key, this.#size(), scheduler.nowMs));
    const items = records.map((record) => ({
      key: encoder.encode(record.key),
      slices: this.#slices(record),
    }));
    const results = await writeBatch(store, kind, items, this.#config(items.length));
    for (const [i, { code, value }] of results.entries()) this.#settle(records[i], code, value);
  }

  /** The value in one piece, or in two. */
  #slices(record: WriteRecord) {
    const local = this.#options.history.bytesOf(record);
    const cut = this.#options.random.oneIn(3) ? local.length >> 1 : 0;
    return [[0, cut], [cut, local.length]].filter(([from, to]) => to > from).map(([from, to]) => ({
      ...{ local, localOffset: from, length: to - from },
    }));
  }

  #settle(record: WriteRecord, code: number, outcome: WriteOutcome | null): void {
    const { history, scheduler, log } = this.#options;
    const lost = code === ErrorCode.RPC_FAIL || code === ErrorCode.RPC_TIMEOUT;
    const result = lost ? "unknown" : code === ErrorCode.OK ? outcome ?? "failed" : "failed";
    history.endWrite(record, result, scheduler.nowMs);
    log(`value ${record.id} of ${record.key}: ${result} ${code === 0 ? "" : errorName(code)}`);
  }

  async #readBatch(): Promise<void> {
    const { store, history, scheduler } = this.#options;
    const startMs = scheduler.nowMs;
    const keys = this.#keys();
    const values: Uint8Array[] = [];
    const codes = await readBatch(store, keys.map((key) => encoder.encode(key)), (i, size) => {
      values[i] = new Uint8Array(size);
      return [{ offset: 0, length: size, local: values[i], localOffset: 0 }];
    });
    for (const [i, code] of codes.entries()) {
      if (code === ErrorCode.OK) {
        history.checkRead(keys[i], values[i], startMs, scheduler.nowMs);
      } else history.misses++;
    }
  }
}

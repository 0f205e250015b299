import { ErrorCode } from "../proto/error_code.ts";
import type { Expected } from "../proto/messages.ts";
import type { ReplicaList } from "../proto/types.ts";
import { attemptReads, type ReadAttempt } from "./attempt_reads.ts";
import { MAX_VALUE_BYTES } from "./batch.ts";
import type { StoreContext } from "./context.ts";
import { type EarlyRead, earlyReadOf, EarlyReads } from "./early_reads.ts";
import { isAt, type Place, type PlaceName } from "./known_places.ts";
import type { ReadPiece } from "./read_piece.ts";
import { elsewhere, isMissing } from "./replica_reads.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";

/** One object of a batch that is read early. */
interface EarlyItem extends EarlyRead {
  readonly place: Place;
  confirmed: boolean;
}

/** Early reads with one peer that end together; all of them can be read elsewhere, too, or none. */
export class EarlyGroup {
  readonly #store: StoreContext;
  readonly #items: readonly EarlyItem[];
  readonly #reads: EarlyReads;

  constructor(store: StoreContext, items: readonly EarlyItem[], askedAt: number) {
    this.#store = store;
    this.#items = items;
    const ops = items.map(({ op }) => op);
    this.#reads = new EarlyReads(store, ops, askedAt, items[0].buffers.length > 1);
  }

  /** See {@linkcode EarlyReads.isShort}. */
  get isShort(): boolean {
    return this.#reads.isShort;
  }

  /** The operations that the master has confirmed. */
  get confirmed(): EndpointOperation[] {
    return this.#items.filter(({ confirmed }) => confirmed).map(({ op }) => op);
  }

  /** Drops all of them. */
  drop(): Promise<void> {
    return this.#reads.drop();
  }

  /** Waits for those that were confirmed for at most `timeoutMs`, above 0, and drops the others. */
  async finish(timeoutMs: number): Promise<ReadAttempt> {
    const items = this.#items;
    const which = Array.from(items.keys()).filter((i) => items[i].confirmed);
    const reads = this.#reads;
    const pick = (codes: Int32Array) => Int32Array.from(which, (i) => codes[i]);
    const begun = {
      ...{ begunAtMs: reads.begunAtMs, isShort: reads.isShort },
      get endedAtMs() {
        return reads.endedAtMs;
      },
      get codes() {
        return reads.codes && pick(reads.codes);
      },
      stop: () => reads.stop(),
      finish: async (ms: number) => pick(await reads.finish(ms)),
    };
    const ops = which.map((i) => items[i].op);
    const another = (at: number) => elsewhere(ops[at], items[which[at]].buffers);
    const read = await attemptReads(this.#store, ops, timeoutMs, another, begun);
    await reads.drop(items.filter(({ confirmed }) => !confirmed).map(({ op }) => op));
    return read;
  }
}

/** The early reads of one run of a batch. */
export class EarlyBatch {
  readonly groups: readonly EarlyGroup[];
  readonly #store: StoreContext;
  readonly #names: readonly PlaceName[];
  readonly #places: readonly (Place | undefined)[];
  /** By position in the run. */
  readonly #items = new Map<number, EarlyItem>();

  /**
   * Begins to read those of the objects whose place is known, unless only the places are asked for;
   * `plan` tells the pieces of the one at a position, or a code when its size does not do.
   */
  constructor(
    store: StoreContext,
    names: readonly PlaceName[],
    plan: (at: number, size: number) => readonly ReadPiece[] | number,
    askedAt: number,
    begins: boolean,
  ) {
    const { places } = store;
    this.#store = store;
    this.#names = names;
    this.#places = names.map((name) => places.find(name));
    const groups = new Map<string, EarlyItem[]>();
    let bytes = 0;
    for (
      const [at, place] of begins && places.mayRead && places.isSlow ? this.#places.entries() : []
    ) {
      if (place === undefined || bytes + place.size > MAX_VALUE_BYTES) continue;
      const read = earlyReadOf(store, place, (size) => {
        const pieces = plan(at, size);
        return typeof pieces === "number" ? null : pieces;
      });
      if (read === null) continue;
      bytes += place.size;
      const item = { ...read, place, confirmed: false };
      const name = `${read.buffers.length > 1} ${read.op.endpoint}`;
      if (!groups.get(name)?.push(item)) groups.set(name, [item]);
      this.#items.set(at, item);
    }
    this.groups = Array.from(groups.values(), (items) => new EarlyGroup(store, items, askedAt));
  }

  /** Whether the object at a position is being read. */
  reads(at: number): boolean {
    return this.#items.has(at);
  }

  /** Takes the answer about it: the read that it confirms. */
  take(at: number, { code, value }: Expected<ReplicaList>): EarlyRead | null {
    const { places } = this.#store;
    const list = code === ErrorCode.OK ? value : null;
    if (list === null && !isMissing(code)) return null;
    const item = this.#items.get(at);
    if (item !== undefined) {
      item.confirmed = list !== null && isAt(item.place, list.replicas, list.objectChecksum);
      places.note(item.confirmed);
      if (item.confirmed) return item;
    }
    const name = this.#names[at];
    if (list === null) places.forget(name);
    else places.learn(name, list.replicas, list.objectChecksum, this.#places[at]);
    return null;
  }
}

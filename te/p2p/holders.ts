import type { Clock } from "../../client/transfer/clock.ts";
import { errorText } from "../../client/transfer/error_text.ts";
import { EngineCode } from "../engine_code.ts";
import type { Segment } from "../segment.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { HolderDocument } from "./holder_document.ts";
import type { NameRegistry } from "./name_registry.ts";
import type { Source } from "./piece_choice.ts";
import { ShownPieces } from "./piece_set.ts";

/** Milliseconds for reading which pieces a holder has. */
const LOOK_TIMEOUT_MS = 2000;
const FIRST_REST_MS = 250;
const LONGEST_REST_MS = 8000;
/** Wrong pieces after which a holder is not used any more. */
const MAX_WRONG = 3;

/** Another process that has pieces. */
export class Holder implements Source {
  readonly shown: ShownPieces;
  isWhole = false;
  load = 0;
  /** Whether its pieces are being read. */
  isLookedAt = false;
  /** Bytes of right pieces that came from it. */
  receivedBytes = 0;
  /** Pieces from it whose checksum was wrong. */
  wrong = 0;
  #restMs = 0;
  /** When it may be used again. */
  #restsUntil = -Infinity;
  /** When its document was last seen to change. */
  beatAt: number;

  constructor(
    public document: HolderDocument,
    readonly segment: Segment,
    readonly count: number,
    now: number,
  ) {
    this.shown = new ShownPieces(count);
    this.beatAt = now;
  }

  /** Whether it may be asked now. */
  isUsable(now: number): boolean {
    return now >= this.#restsUntil && this.wrong < MAX_WRONG;
  }

  /** It did not do what it was asked for: it is left alone, the longer the more often. */
  fail(now: number): void {
    this.#restMs = Math.min(LONGEST_REST_MS, Math.max(FIRST_REST_MS, this.#restMs * 2));
    this.#restsUntil = now + this.#restMs;
  }

  /** It did. */
  succeed(): void {
    this.#restMs = 0;
  }
}

/** What {@linkcode Holders} needs. */
export interface HoldersOptions {
  readonly name: string;
  readonly digest: string;
  readonly count: number;
  readonly engine: TransferEngine;
  readonly registry: NameRegistry;
  readonly clock: Clock;
  /** Milliseconds without a sign of life after which the document of a dead one is removed. */
  readonly deadAfterMs: number;
  /** Called when there may be something new. */
  readonly onNews: () => void;
}

/** Those that have pieces of a name, beside this process. */
export class Holders {
  readonly #options: HoldersOptions;
  readonly #known = new Map<string, Holder>();
  /** Since when a holder that is not known cannot be opened, with the beat at that time. */
  readonly #silent = new Map<string, { beat: number; since: number }>();
  #refreshing = false;
  #trouble: string | null = null;
  #closed = false;

  constructor(options: HoldersOptions) {
    this.#options = options;
  }

  /** Every one, also those that rest. */
  get all(): readonly Holder[] {
    return [...this.#known.values()];
  }

  /** Those that may be asked now. */
  usable(): Holder[] {
    const now = this.#options.clock.now();
    return this.all.filter((holder) => holder.isUsable(now));
  }

  /** Why the service could not be asked the last time; `null` when it could. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Begins to look who is there, unless that is under way: one that hangs takes its time. */
  refresh(): void {
    if (this.#refreshing) return;
    this.#refreshing = true;
    this.#refresh().then(
      () => this.#trouble = null,
      (error) => this.#trouble = errorText(error),
    ).finally(() => {
      this.#refreshing = false;
      this.#options.onNews();
    });
  }

  /** Begins to read which pieces the others have now; of those that have all, that does not change. */
  look(): void {
    for (const holder of this.usable()) {
      if (!holder.isWhole && !holder.isLookedAt) void this.#lookAt(holder);
    }
  }

  async #refresh(): Promise<void> {
    const { registry, name, engine, clock } = this.#options;
    const there = (await registry.segments(name)).filter((one) => one !== engine.localName);
    if (this.#closed) return;
    for (const [segment, holder] of this.#known) {
      if (there.includes(segment) || holder.load > 0) continue;
      engine.closeSegment(holder.segment);
      this.#known.delete(segment);
    }
    await Promise.all(there.map(async (segment) => {
      const holder = this.#known.get(segment);
      if (holder === undefined || !holder.isUsable(clock.now())) await this.#meet(segment);
    }));
  }

  /** Ends the connections. */
  close(): void {
    this.#closed = true;
    for (const { segment } of this.#known.values()) this.#options.engine.closeSegment(segment);
    this.#known.clear();
  }

  /** Takes a new one in, or looks whether one that failed lives. */
  async #meet(segment: string): Promise<void> {
    const { registry, name, digest, count, engine, clock } = this.#options;
    const document = await registry.holder(name, segment);
    if (document === null || document.digest !== digest || document.segment !== segment) return;
    const known = this.#known.get(segment);
    if (known?.document.piecesAddress === document.piecesAddress) {
      if (known.document.beat !== document.beat) known.beatAt = clock.now();
      known.document = document;
      return await this.#bury(segment, known.beatAt);
    }
    try {
      const opened = await engine.openSegment(segment);
      if (this.#closed) return engine.closeSegment(opened);
      const fresh = new Holder(document, opened, count, clock.now());
      if (known !== undefined) engine.closeSegment(known.segment);
      this.#known.set(segment, fresh);
      this.#silent.delete(segment);
      await this.#lookAt(fresh);
    } catch {
      const silent = this.#silent.get(segment);
      const since = silent?.beat === document.beat ? silent.since : clock.now();
      this.#silent.set(segment, { beat: document.beat, since });
      await this.#bury(segment, since);
    }
  }

  /** Removes the document of one that neither answers nor has given a sign of life for a while. */
  async #bury(segment: string, since: number): Promise<void> {
    const { clock, deadAfterMs, engine, registry, name } = this.#options;
    if (clock.now() - since < deadAfterMs || await engine.probe(segment) || this.#closed) return;
    await registry.remove(name, segment);
  }

  /** Never rejects. */
  async #lookAt(holder: Holder): Promise<void> {
    const { engine, clock, onNews } = this.#options;
    const { segment, document, shown } = holder;
    const local = new Uint8Array(shown.bytes.length);
    const remoteAddress = document.piecesAddress;
    holder.isLookedAt = true;
    try {
      const [code] = await engine.transferSync(
        [{ opcode: "read", segment, remoteAddress, local }],
        { timeoutMs: LOOK_TIMEOUT_MS },
      );
      if (code !== EngineCode.OK) return holder.fail(clock.now());
      shown.bytes.set(local);
      holder.isWhole = shown.countHave() === holder.count;
    } catch {
      holder.fail(clock.now()); // It was closed meanwhile.
    } finally {
      holder.isLookedAt = false;
      onNews();
    }
  }
}

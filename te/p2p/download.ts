import { type Clock, within } from "../../client/transfer/clock.ts";
import { deferred } from "../deferred.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { Content } from "./content.ts";
import type { Holder, Holders } from "./holders.ts";
import { isRight, type Manifest, type Piece, piecesOf } from "./manifest.ts";
import { choosePiece, shuffled } from "./piece_choice.ts";
import type { OwnPieces } from "./piece_set.ts";

/** How often others are asked which pieces they have. */
const LOOK_MS = 30;
/** How often new holders are looked for. */
const REFRESH_MS = 500;
/** How long pieces that others are fetching are waited for before they are fetched twice. */
const PATIENCE_MS = 1000;
/** Pieces fetched at the same time from a holder that has all of them, and from one that has not. */
const MAX_LOAD = { whole: 2, partial: 4 };
/** Pieces from before that are looked at at the same time. */
const CHECKS_AT_ONCE = 4;
const FIRST_TIMEOUT_MS = 10_000;
const LEAST_TIMEOUT_MS = 1000;
const LONGEST_TIMEOUT_MS = 60_000;
/** A piece takes at most so many times what pieces took lately, or is asked for elsewhere. */
const SLOW_FACTOR = 20;

/** How far a download is. */
export interface P2pProgress {
  /** Bytes that are there and right. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Processes that have pieces and can be asked. */
  readonly holders: number;
}

/** What a download needs. */
export interface DownloadOptions {
  readonly name: string;
  readonly manifest: Manifest;
  readonly engine: TransferEngine;
  readonly content: Content;
  readonly own: OwnPieces;
  readonly holders: Holders;
  readonly clock: Clock;
  readonly random: () => number;
  /** Pieces fetched at the same time. */
  readonly parallel: number;
  /** Milliseconds without a new piece after which it fails. */
  readonly stallTimeoutMs: number;
  readonly onProgress: (progress: P2pProgress) => void;
  readonly signal: AbortSignal;
}

/** Brings the pieces that are missing from whoever has them, each checked before it is stored. */
export class Download {
  readonly #options: DownloadOptions;
  readonly #pieces: readonly Piece[];
  readonly #missing: number[] = [];
  readonly #buffers: Uint8Array<ArrayBuffer>[] = [];
  readonly #running = new Set<Promise<void>>();
  #doneBytes = 0;
  /** When the last piece came that was right. */
  #progressAt: number;
  /** Milliseconds that pieces took lately, each of full length. */
  #pieceMs: number | null = null;
  #wrongPieces = 0;
  #failure: unknown = null;
  #changed = deferred<void>();
  /** Since when there has been nothing to fetch but what others are fetching; `null` = there is. */
  #idleSince: number | null = null;

  constructor(options: DownloadOptions) {
    this.#options = options;
    this.#pieces = piecesOf(options.manifest.files, options.manifest.pieceLength);
    this.#progressAt = options.clock.now();
  }

  /** Looks again what can be done; something has changed. */
  wake(): void {
    this.#changed.resolve();
  }

  /** Pieces that came with a wrong checksum. */
  get wrongPieces(): number {
    return this.#wrongPieces;
  }

  /**
   * Resolves when every piece is there. Rejects with `EngineError`: `TIMEOUT` when no piece comes for
   * too long, with who was asked; `CANCELLED`; `INVALID_ARGUMENT` when a piece cannot be stored.
   */
  async run(): Promise<void> {
    const { own, manifest, random } = this.#options;
    for (const index of shuffled(this.#pieces.length, random)) {
      if (own.have.has(index)) this.#doneBytes += this.#pieces[index].length;
      else this.#missing.push(index);
    }
    for (let i = 0; i < this.#options.parallel; i++) {
      this.#buffers.push(new Uint8Array(manifest.pieceLength));
    }
    try {
      await this.#fetchAll();
    } finally {
      await Promise.all(this.#running);
    }
  }

  async #fetchAll(): Promise<void> {
    const { clock, holders, signal } = this.#options;
    let [refreshedAt, lookedAt] = [-Infinity, -Infinity];
    while (this.#missing.length > 0 || this.#running.size > 0) {
      if (signal.aborted) throw cancelled(this.#options.name);
      if (this.#failure !== null) throw this.#failure;
      const now = clock.now();
      if (now - refreshedAt >= REFRESH_MS) {
        refreshedAt = now;
        holders.refresh();
        this.#report();
      }
      if (now - lookedAt >= LOOK_MS) {
        lookedAt = now;
        holders.look();
      }
      this.#startSome();
      this.#checkStall();
      await within(clock, LOOK_MS, this.#changed.promise, signal);
      this.#changed = deferred();
    }
    if (this.#failure !== null) throw this.#failure;
    this.#report();
  }

  #startSome(): void {
    const { clock, holders, random, own } = this.#options;
    const usable = holders.usable();
    const rules = { maxLoad: MAX_LOAD, random };
    while (this.#buffers.length > 0 && this.#missing.length > 0) {
      let choice = choosePiece(this.#missing, usable, { ...rules, takeTwice: false });
      if (choice !== null) this.#idleSince = null;
      else {
        const idleMs = clock.now() - (this.#idleSince ??= clock.now());
        if (idleMs < PATIENCE_MS) return;
        choice = choosePiece(this.#missing, usable, { ...rules, takeTwice: true });
        if (choice === null) return;
      }
      own.taking.add(choice.index);
      const { index, source } = choice;
      const running = this.#fetch(this.#pieces[index], source).finally(() => {
        own.taking.delete(index);
        this.#running.delete(running);
        this.#changed.resolve();
      });
      this.#running.add(running);
    }
  }

  /** Fetches one piece, or puts it back. Never rejects. */
  async #fetch(piece: Piece, holder: Holder): Promise<void> {
    const { manifest, content, own, engine, clock } = this.#options;
    const buffer = this.#buffers.pop()!;
    const bytes = buffer.subarray(0, piece.length);
    holder.load++;
    let stored = false;
    try {
      const code = await this.#read(piece, holder, bytes);
      if (code !== EngineCode.OK) holder.fail(clock.now());
      else if (!await isRight(manifest, piece.index, bytes, engine)) {
        this.#wrongPieces++;
        holder.wrong++;
        holder.fail(clock.now());
      } else {
        await content.write(piece, bytes);
        own.have.add(piece.index);
        holder.succeed();
        holder.receivedBytes += piece.length;
        this.#doneBytes += piece.length;
        this.#progressAt = clock.now();
        stored = true;
      }
    } catch (error) {
      this.#failure ??= error;
    } finally {
      holder.load--;
      this.#buffers.push(buffer);
      if (!stored) this.#missing.push(piece.index);
    }
  }

  async #read(piece: Piece, holder: Holder, local: Uint8Array): Promise<EngineCode> {
    const { engine, clock, manifest, signal } = this.#options;
    const base = holder.document.addresses[lentIndex(manifest, piece.file)];
    if (base === undefined) return EngineCode.ADDRESS_NOT_REGISTERED;
    const { segment } = holder;
    const remoteAddress = base + BigInt(piece.offset);
    const startedAt = clock.now();
    const timeoutMs = this.#timeoutMs();
    const [code] = await engine.transferSync(
      [{ opcode: "read", segment, remoteAddress, local }],
      { timeoutMs, signal },
    );
    const tookMs = clock.now() - startedAt;
    // A piece that timed out took longer than that: pieces may take longer from now on.
    if (code === EngineCode.OK || code === EngineCode.TIMEOUT) {
      this.#pieceMs = this.#pieceMs === null ? tookMs : this.#pieceMs * 0.8 + tookMs * 0.2;
    }
    return code;
  }

  #timeoutMs(): number {
    if (this.#pieceMs === null) return FIRST_TIMEOUT_MS;
    const wanted = Math.ceil(this.#pieceMs * SLOW_FACTOR);
    return Math.min(LONGEST_TIMEOUT_MS, Math.max(LEAST_TIMEOUT_MS, wanted));
  }

  #checkStall(): void {
    const { clock, stallTimeoutMs, name, holders } = this.#options;
    if (clock.now() - this.#progressAt < stallTimeoutMs || this.#running.size > 0) return;
    const asked = holders.all.map(({ segment, wrong, shown }) =>
      `${segment.name} (${shown.countHave()} pieces${wrong > 0 ? `, ${wrong} sent wrong` : ""})`
    );
    throw new EngineError(
      EngineCode.TIMEOUT,
      `No piece of ${JSON.stringify(name)} came for ${stallTimeoutMs} ms; missing: ` +
        `${this.#missing.length} of ${this.#pieces.length}, as piece ${this.#missing[0]}; asked: ` +
        (asked.join(", ") || "nobody, there is no holder") +
        (holders.trouble === null ? "" : `; ${holders.trouble}`),
    );
  }

  #report(): void {
    const { manifest, holders, onProgress } = this.#options;
    const totalBytes = manifest.files.reduce((sum, { length }) => sum + length, 0);
    onProgress({ doneBytes: this.#doneBytes, totalBytes, holders: holders.usable().length });
  }
}

/** Index of a file among those that have bytes. */
function lentIndex({ files }: Manifest, file: number): number {
  let index = 0;
  for (let i = 0; i < file; i++) if (files[i].length > 0) index++;
  return index;
}

function cancelled(name: string): EngineError {
  return new EngineError(
    EngineCode.CANCELLED,
    `The download of ${JSON.stringify(name)} was stopped`,
  );
}

/** Reads what may be there from before and marks the pieces that are right; how many are. */
export async function checkPieces(
  manifest: Manifest,
  content: Content,
  own: OwnPieces,
  engine: TransferEngine,
  signal: AbortSignal,
): Promise<number> {
  const pieces = piecesOf(manifest.files, manifest.pieceLength)
    .filter(({ file }) => content.mayHave(file));
  let [next, right] = [0, 0];
  await Promise.all(Array.from({ length: Math.min(CHECKS_AT_ONCE, pieces.length) }, async () => {
    const buffer = new Uint8Array(manifest.pieceLength);
    while (next < pieces.length && !signal.aborted) {
      const piece = pieces[next++];
      await content.read(piece, buffer);
      if (!await isRight(manifest, piece.index, buffer.subarray(0, piece.length), engine)) continue;
      own.have.add(piece.index);
      right++;
    }
  }));
  return right;
}

import type { MasterCore } from "../core/core.ts";
import { FactBuffer } from "../journal/fact_buffer.ts";
import { GROUP_HEADER_BYTES, sealGroup } from "../journal/group_format.ts";
import type { PackedReplies, Replies } from "../rpc/replies.ts";
import type { ReplyGate } from "../rpc/reply_gate.ts";
import type { LogGroup } from "./fact_log.ts";

/** Groups on their way at a time; meanwhile what is told collects for the next one. */
const WINDOW = 4;
/** A group is not made longer than this; one fact may be. */
const GROUP_BYTES = 256 << 10;

export interface ReplicatedCoreOptions {
  core: MasterCore;
  replies: Replies;
  /** Milliseconds, monotonic; the clock of the leader's lease. */
  clock: () => number;
  /** Takes a group to the log; it takes the bytes over. */
  send: (group: LogGroup) => void;
  /** Turns the replies that tell of a change into errors. */
  refuseChanges: (why: string) => void;
  /** Told that the log holds more, before whoever waits for that goes on. */
  onAcknowledged?: () => void;
  /** Told why changes begin to be refused, and `null` when they are taken again. */
  onRefusal: (why: string | null) => void;
}

/** Replies that wait until the log holds every group up to `position`. */
interface Held {
  readonly position: number;
  readonly packed: PackedReplies;
}

/**
 * The core of a leader: what it tells goes to the shared log in groups, and a reply leaves when the log
 * holds everything that was told before it, and this master is still the leader then. That goes for
 * reads, too: they may have seen what is not in the log yet.
 *
 * When the log refuses a group, changes are refused and reads go on, but for those of what the log does
 * not hold: the next leader may not know it.
 */
export class ReplicatedCore implements ReplyGate {
  readonly #options: ReplicatedCoreOptions;
  readonly #facts: FactBuffer;
  readonly #held: Held[] = [];
  /** Facts of the groups that the log is not known to hold. */
  #unacknowledged: { sequence: number; facts: Uint8Array }[] = [];
  #waiters: { position: number; settle: (kept: boolean) => void }[] = [];
  #sent = 0;
  #acknowledged = 0;
  #validUntilMs = -Infinity;
  #refusal: string | null = null;
  #over = false;

  constructor(options: ReplicatedCoreOptions) {
    this.#options = options;
    this.#facts = new FactBuffer(() => this.#flush(), GROUP_BYTES);
  }

  /** Facts told so far; a request that raises it has changed something durable. */
  get told(): number {
    return this.#facts.told;
  }

  /** The member's thread says when the log has a group: nothing is polled for. */
  readonly isSyncing = false;

  /** Nothing here needs the event loop but the callers of {@linkcode kept}. */
  get needsTurns(): boolean {
    return this.#waiters.length > 0;
  }

  /** Why changes are refused at present, or `null`. */
  get refusal(): string | null {
    return this.#refusal;
  }

  /** The group in which the last change is, or will be. */
  get position(): number {
    return this.#facts.isEmpty ? this.#sent : this.#sent + 1;
  }

  /** The last group that the log is known to hold. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Begins to lead behind group `sequence`. */
  begin(sequence: number, validUntilMs: number): void {
    this.#sent = this.#acknowledged = sequence;
    this.#unacknowledged = [];
    this.#validUntilMs = Math.max(this.#validUntilMs, validUntilMs);
    this.#options.core.attachFacts(this.#facts);
  }

  /** The lease is good until then. */
  extend(untilMs: number): void {
    this.#validUntilMs = Math.max(this.#validUntilMs, untilMs);
  }

  /** The log holds every group up to `sequence`. */
  acknowledge(sequence: number): void {
    this.#acknowledged = sequence;
    this.#unacknowledged = this.#unacknowledged.filter((group) => group.sequence > sequence);
    this.#options.onAcknowledged?.();
    this.#wakeWaiters();
  }

  /** The log refuses what it is given; `null` = it has taken everything. */
  refuse(why: string | null): void {
    if (this.#refusal === why) return;
    this.#refusal = why;
    this.#options.core.readOnly = why !== null;
    this.#options.core.doubt(why === null ? [] : this.#notKept());
    this.#options.onRefusal(why);
    this.#wakeWaiters();
  }

  /** The epoch is over: nothing is answered any more. */
  end(): void {
    this.#over = true;
    this.#options.core.attachFacts(null);
    this.#held.length = 0;
    this.#wakeWaiters();
  }

  /** Sends what was told, takes out the replies that have to wait and adds those that need not. */
  settle(): void {
    const { replies, clock } = this.#options;
    if (this.#over) return replies.clear();
    if (this.#sent - this.#acknowledged < WINDOW && this.#refusal === null) this.#flush();
    const { position } = this;
    const leads = clock() < this.#validUntilMs;
    if (leads && this.#refusal !== null) return this.#settleRefused(this.#refusal);
    if (this.#held.length === 0 && leads && position <= this.#acknowledged) return;
    if (replies.length > 0) this.#held.push({ position, packed: replies.take() });
    if (leads) this.#release();
  }

  /**
   * Resolves with `true` when everything told so far is in the log, with `false` if it may not be. After
   * the end of the epoch that is so of everything: the core tells nobody then.
   */
  kept(): Promise<boolean> {
    const { position } = this;
    return new Promise((settle) => {
      this.#waiters.push({ position, settle });
      this.#wakeWaiters();
    });
  }

  #flush(): void {
    if (this.#facts.isEmpty || this.#over) return;
    const bytes = this.#facts.group.slice();
    this.#facts.clear();
    sealGroup(bytes, ++this.#sent);
    this.#unacknowledged.push({ sequence: this.#sent, facts: bytes.slice(GROUP_HEADER_BYTES) });
    this.#options.send({ sequence: this.#sent, bytes });
  }

  #release(): void {
    let count = 0;
    while (this.#held[count]?.position <= this.#acknowledged) {
      this.#options.replies.put(this.#held[count++].packed);
    }
    if (count > 0) this.#held.splice(0, count);
  }

  /** The facts that may be taken back. */
  #notKept(): Uint8Array[] {
    const told = this.#facts.group.slice(GROUP_HEADER_BYTES);
    return [...this.#unacknowledged.map(({ facts }) => facts), told];
  }

  /**
   * Changes that the log does not hold get an error, and so do reads that were answered behind them and
   * may have seen them; they may or may not come to be.
   */
  #settleRefused(why: string): void {
    const { replies, refuseChanges } = this.#options;
    const later = this.#held.filter(({ position }) => position > this.#acknowledged);
    if (later.length > 0) {
      const now = replies.take();
      for (const { packed } of later) replies.put(packed);
      replies.doubtReads();
      replies.put(now);
    }
    refuseChanges(`the change could not be kept: ${why}`);
    this.#held.length -= later.length;
    this.#release();
  }

  #wakeWaiters(): void {
    const open = this.#over || this.#refusal !== null;
    this.#waiters = this.#waiters.filter(({ position, settle }) => {
      const kept = !this.#over && position <= this.#acknowledged;
      if (!kept && !open) return true;
      settle(kept);
      return false;
    });
  }
}

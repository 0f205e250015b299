import type { MasterCore } from "../core/core.ts";
import { FramedReplay } from "../core/replay.ts";
import { GROUP_HEADER_BYTES } from "../journal/group_format.ts";
import type { LogGroup } from "./fact_log.ts";
import { type MemberStatus, startingStatus } from "./member_status.ts";
import type { ReplicatedCore } from "./replicated_core.ts";
import type { FromMember, ToMember } from "./worker_protocol.ts";

/** Groups that did not fit, told one by one. */
const TOLD_REFUSALS = 5;

/** Why a master stopped being what it was. */
export type SeatOutcome = "promoted" | "stopped" | "over";

export interface CoreSeatOptions {
  core: MasterCore;
  /** Last group that the core has recovered from this master's files. */
  sequence: number;
  /** Milliseconds, monotonic; the clock of the core. */
  clock: () => number;
  /** Takes a message to the member; the bytes of a group may go with it. */
  send: (message: ToMember, transfer?: Transferable[]) => void;
  warn: (line: string) => void;
}

/**
 * What the thread that owns the core knows of its master's part in the cluster, made of the member's
 * messages: it applies what the log brings and, once promoted, takes the core's facts there. Reads no
 * clock and has no timers of its own.
 */
export class CoreSeat {
  readonly #options: CoreSeatOptions;
  readonly #replay: FramedReplay;
  #leading: ReplicatedCore | null = null;
  #promotion: { epoch: number; sequence: number; validUntilMs: number } | null = null;
  #validUntilMs = -Infinity;
  #outcome: SeatOutcome | null = null;
  #fatal: string | null = null;
  #left = false;
  #refusedFacts = 0;
  /** Last group that the core has, or that it has told and the log holds. */
  #applied: number;
  #status = startingStatus;
  /** Called when this master is not the leader any more, or must stop. */
  onEnd: () => void = () => {};

  constructor(options: CoreSeatOptions) {
    this.#options = options;
    this.#applied = options.sequence;
    this.#replay = new FramedReplay(options.core.state);
  }

  /**
   * What has become of this master, `null` while it stands by or leads: it is to lead now, begin anew,
   * or stop. Throws an `Error` with one line when it must not go on at all.
   */
  get standing(): SeatOutcome | null {
    if (this.#fatal !== null) throw new Error(this.#fatal);
    if (this.#outcome !== null) return this.#outcome;
    return (this.#promotion?.sequence ?? Infinity) <= this.#applied ? "promoted" : null;
  }

  /** Why this master ended, `null` before {@linkcode onEnd} is called. */
  get outcome(): SeatOutcome | null {
    return this.#outcome;
  }

  /** The epoch in which this master is to lead, or leads. */
  get epoch(): number | null {
    return this.#promotion?.epoch ?? null;
  }

  /** The member has left the cluster, or is gone. */
  get left(): boolean {
    return this.#left;
  }

  /** This master's part in the cluster, as it knows it. */
  get status(): MemberStatus {
    const logSequence = Math.max(this.#status.logSequence, this.#applied);
    const status = { ...this.#status, sequence: this.#applied, logSequence };
    // Elected but not there yet, or over already: what the core changed now would be told to nobody.
    const leads = this.#leading !== null && this.#outcome === null;
    if (leads || status.role !== "leader") return status;
    return { ...status, role: "standby", state: "standby" };
  }

  /** Lets the core decide from now on; what it tells goes to the log through `leading`. */
  lead(leading: ReplicatedCore): void {
    const { core, clock } = this.#options;
    const { sequence, validUntilMs } = this.#promotion!;
    core.finishReplay(clock());
    this.#leading = leading;
    leading.begin(sequence, Math.max(validUntilMs, this.#validUntilMs));
  }

  /** Takes a group of the core's facts to the log. */
  append(group: LogGroup): void {
    this.#options.send({ type: "append", group }, [group.bytes.buffer as ArrayBuffer]);
  }

  /** Takes a message of the member. */
  take(message: FromMember): void {
    switch (message.type) {
      case "up":
        return this.#options.send({ type: "clock", nowMs: this.#options.clock() });
      case "promoted":
        this.#promotion = message;
        return;
      case "valid":
        this.#validUntilMs = message.untilMs;
        return this.#leading?.extend(message.untilMs);
      case "acknowledged":
        this.#applied = message.sequence;
        return this.#leading?.acknowledge(message.sequence);
      case "refused":
        return this.#leading?.refuse(message.why);
      case "over":
        this.#options.warn(`this master begins anew: ${message.why}`);
        return this.#end("over");
      case "fatal":
        this.#fatal = message.why;
        return this.#end("over");
      case "status":
        this.#status = message.status;
        return;
      case "stopped":
        this.#left = true;
    }
  }

  /** Applies groups of the log that follow what the core has. */
  apply(groups: readonly LogGroup[]): void {
    if (this.#leading !== null || this.#outcome !== null) return;
    for (const { sequence, bytes } of groups) {
      this.#applied = sequence;
      this.#replay.apply(bytes, GROUP_HEADER_BYTES, bytes.length, (why) => {
        if (this.#refusedFacts++ < TOLD_REFUSALS) {
          this.#options.warn(`passed over a change of group ${sequence}: ${why}`);
        }
      });
    }
  }

  /** The member is gone without a word: this master has to begin anew. */
  memberFailed(): void {
    this.#left = true;
    this.#end("over");
  }

  stop(): void {
    this.#end("stopped");
  }

  /** Answers nothing any more, and has the member leave the cluster. */
  leave(): void {
    this.#leading?.end();
    if (!this.#left) this.#options.send({ type: "stop" });
  }

  #end(outcome: SeatOutcome): void {
    if (this.#outcome !== null) return;
    this.#outcome = outcome;
    if (outcome === "over") this.#leading?.end();
    this.onEnd();
  }
}

import type { Elector } from "./elector.ts";
import type { FactLog, LogGroup } from "./fact_log.ts";
import type { Copy } from "./local_copy.ts";
import { type CoreSide, Member, type MemberOptions } from "./member.ts";
import type { Timers } from "./timers.ts";
import type { FromMember, MemberOrder, ToMember } from "./worker_protocol.ts";

/** A copy that may have a checkpoint from before, of which nothing is known yet. */
export interface OpenedCopy extends Copy {
  /** Reads that checkpoint, for its digest. */
  readCheckpoint(): Promise<void>;
}

/** What a member is made of, once an order has come. */
export type MemberParts =
  & { elector: Elector; log: FactLog }
  & Pick<MemberOptions, "logId" | "keepLogId" | "newId" | "fetch" | "info" | "warn">
  & {
    /** Opens this master's files, when the engines are there. */
    openCopy: () => OpenedCopy;
    /** How this master names itself among the others. */
    id: string;
  };

export interface MemberThreadOptions {
  timers: Timers;
  /** Opens the engines; nothing is asked of them yet. */
  open: (order: MemberOrder) => Promise<MemberParts>;
  /** Tells the core's thread something, on the first of two ways. */
  post: (message: FromMember) => void;
  /** Hands the core's thread groups to apply, on the second one. */
  postGroups: (groups: LogGroup[]) => void;
  /** Makes what wakes a thread that waits for a descriptor. */
  wakerOf: (fd: number) => () => void;
}

/** The thread that a {@linkcode Member} lives in, as the core's thread sees it: messages and times. */
export class MemberThread {
  readonly #options: MemberThreadOptions;
  #member: Member | null = null;
  #wake = () => {};
  /** What to add to this thread's clock for a time of the core's that is not too late. */
  readonly #clock = Promise.withResolvers<number>();

  constructor(options: MemberThreadOptions) {
    this.#options = options;
  }

  take(message: ToMember): void {
    switch (message.type) {
      case "start":
        this.#start(message.order)
          .catch((error) => this.#post({ type: "fatal", why: String(error.message) }));
        break;
      case "clock":
        this.#clock.resolve(message.nowMs - this.#options.timers.now());
        break;
      case "wake":
        this.#wake = this.#options.wakerOf(message.fd);
        break;
      case "append":
        this.#member?.append(message.group);
        break;
      case "stop":
        // The descriptor is about to be closed, and its number may become another's.
        this.#wake = () => {};
        void Promise.resolve(this.#member?.stop()).then(() => this.#post({ type: "stopped" }));
    }
  }

  #post(message: FromMember): void {
    this.#options.post(message);
    this.#wake();
  }

  async #start(order: MemberOrder): Promise<void> {
    const { ha, dataPath, rpc, admin, checkpointToken } = order;
    const { timers, open, postGroups } = this.#options;
    const { openCopy, id, ...parts } = await open(order);
    this.#post({ type: "up" });
    const offsetMs = await this.#clock.promise;
    const copy = openCopy();
    const core: CoreSide = {
      groups: postGroups,
      promoted: (epoch, sequence, untilMs) =>
        this.#post({ type: "promoted", epoch, sequence, validUntilMs: untilMs + offsetMs }),
      valid: (untilMs) => this.#post({ type: "valid", untilMs: untilMs + offsetMs }),
      acknowledged: (sequence) => this.#post({ type: "acknowledged", sequence }),
      refused: (why) => this.#post({ type: "refused", why }),
      over: (why) => this.#post({ type: "over", why }),
      fatal: (why) => this.#post({ type: "fatal", why: `--data_dir=${dataPath}: ${why}` }),
      status: (status) => this.#post({ type: "status", status }),
    };
    this.#member = new Member({
      ...parts,
      ...{ copy, core, timers, self: { id, rpc, admin, checkpointToken } },
      ...{ leaseMs: ha.leaseMs, logBytes: ha.logBytes },
    });
    copy.readCheckpoint().catch((error) =>
      parts.warn(`the checkpoint cannot be read: ${error.message}`)
    );
    this.#member.start();
  }
}

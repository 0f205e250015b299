import { isGroup } from "../journal/group_format.ts";
import { Appender } from "./appender.ts";
import type { Elector } from "./elector.ts";
import {
  EngineError,
  type FactLog,
  FencedError,
  type LogGroup,
  type LogHead,
  LogRefusal,
  type MemberRecord,
} from "./fact_log.ts";
import { LeaseKeeper } from "./lease_keeper.ts";
import type { Copy } from "./local_copy.ts";
import { type MemberStatus, startingStatus } from "./member_status.ts";
import type { Timers } from "./timers.ts";

/** Between two looks at the election, the others and the files. */
const CAMPAIGN_MS = 250;
const TICK_MS = 1000;
const RETRY_MS = 200;
/** A master that has announced nothing for so long is gone. */
const ANNOUNCED_MS = 5000;
/** Time that the last groups get when a leader ends. */
const LAST_GROUPS_MS = 1000;
/** A standby that is behind holds the log until it is so many times as long as it should be. */
const TRIM_HOLD = 4;

/** The thread that owns the core, as a {@linkcode Member} sees it. */
export interface CoreSide {
  /** Groups to apply; only while this master does not lead. */
  groups(groups: LogGroup[]): void;
  /** This master leads, and its core has every group up to `sequence`. */
  promoted(epoch: number, sequence: number, validUntilMs: number): void;
  valid(untilMs: number): void;
  acknowledged(sequence: number): void;
  /** Why nothing can be kept at present; `null` = it can. */
  refused(why: string | null): void;
  /** What this master knows may be out of date: it has to begin anew from its files. */
  over(why: string): void;
  /** The directory belongs to another cluster: this master must not go on. */
  fatal(why: string): void;
  status(status: MemberStatus): void;
}

export interface MemberOptions {
  elector: Elector;
  log: FactLog;
  copy: Copy;
  core: CoreSide;
  timers: Timers;
  /** This master, as the others and the clients find it. */
  self: Pick<MemberRecord, "id" | "rpc" | "admin" | "checkpointToken">;
  /** The log that the files are a copy of, `null` = not known yet. */
  logId: string | null;
  /** Keeps the id of the log beside the files. */
  keepLogId: (id: string) => void;
  newId: () => string;
  leaseMs: number;
  /** Bytes of facts after which a checkpoint is made and the log let go of. */
  logBytes: number;
  /** Brings a checkpoint of at least `base` from one of `members` into the files. */
  fetch: (members: readonly MemberRecord[], logId: string, base: number) => Promise<void>;
  info: (line: string) => void;
  warn: (line: string) => void;
}

/**
 * The life of one master in a cluster: it follows the log, keeps a copy in its files, leads when it is
 * elected, and ends when it must not know anything any more: a master that has led begins anew from
 * its files, so that nothing survives in it that the log does not hold.
 */
export class Member {
  readonly #options: MemberOptions;
  #logId: string | null;
  #sequence: number;
  #logSequence: number;
  #epoch: number | null = null;
  #leader: string | null = null;
  #leaderEpoch: number | null = null;
  #promoted = false;
  #campaigning = false;
  #ended = false;
  /** The log is known and this master follows it, or may create it. */
  #joined = false;
  #following = false;
  #late = false;
  #obstacle: string | null = startingStatus.obstacles[0];
  #followTrouble: string | null = null;
  #checked: MemberStatus["checked"] = null;
  #folding = false;
  #unfollow = () => {};
  #appender: Appender | null = null;
  #keeper: LeaseKeeper | null = null;
  readonly #cancels = new Map<string, () => void>();
  #drained: (() => void) | null = null;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#logId = options.logId;
    this.#sequence = this.#logSequence = options.copy.sequence;
  }

  get status(): MemberStatus {
    const { copy } = this.#options;
    const leads = this.#promoted;
    const own = [this.#obstacle, this.#followTrouble].filter((why) => why !== null);
    return {
      role: leads ? "leader" : "standby",
      state: leads ? "serving" : this.#late ? "catching_up" : this.#joined ? "standby" : "starting",
      leaderAddress: leads ? this.#options.self.rpc : this.#leader,
      epoch: leads ? this.#epoch : this.#leaderEpoch,
      sequence: this.#sequence,
      logSequence: Math.max(this.#logSequence, this.#sequence),
      obstacles: leads ? [] : own,
      checked: this.#checked,
      checkpointSequence: copy.checkpoint?.sequence ?? null,
    };
  }

  /** Begins to follow and to campaign. */
  start(): void {
    this.#options.elector.watch(() => void this.#campaign());
    this.#every("campaign", CAMPAIGN_MS, () => this.#campaign());
    // One tick at a time: two that join would follow the log twice.
    void this.#tick().finally(() => {
      if (!this.#ended) this.#every("tick", TICK_MS, () => this.#tick());
    });
  }

  /** Keeps a group that the core of this leader has told. */
  append(group: LogGroup): void {
    this.#appender?.push(group);
  }

  /**
   * Ends the epoch, if this master leads, and everything else. The core must have stopped answering:
   * another master may lead from now on.
   */
  async stop(): Promise<void> {
    const { elector, log, copy, timers } = this.#options;
    if (this.#appender !== null && this.#appender.pending > 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
        timers.after(LAST_GROUPS_MS, resolve);
      });
    }
    this.#halt();
    if (this.#epoch !== null) await elector.resign(this.#epoch).catch(() => {});
    copy.close();
    await Promise.all([elector.close(), log.close()].map((closing) => closing.catch(() => {})));
  }

  /** Nothing more is done or told; the lease, if there is one, runs on. */
  #halt(): void {
    this.#ended = true;
    this.#unfollow();
    this.#appender?.stop();
    this.#keeper?.stop();
    for (const cancel of this.#cancels.values()) cancel();
  }

  /** Does `work` every `ms`, each time after the last one is over. */
  #every(name: string, ms: number, work: () => Promise<void>): void {
    const { timers } = this.#options;
    const again = () => {
      this.#cancels.set(
        name,
        timers.after(ms, () => {
          void work().finally(() => {
            if (!this.#ended) again();
          });
        }),
      );
    };
    again();
  }

  #over(why: string): void {
    if (this.#ended) return;
    this.#options.core.over(why);
    this.#halt();
  }

  #tell(): void {
    if (!this.#ended) this.#options.core.status(this.status);
  }

  async #tick(): Promise<void> {
    const { copy, log, self } = this.#options;
    try {
      copy.tick();
      if (!this.#joined && !this.#late && this.#epoch === null) await this.#join();
      if (this.#ended) return;
      this.#tell();
      await log.announce({
        ...self,
        role: this.#promoted ? "leader" : "standby",
        ...{ sequence: this.#sequence, checkpoint: copy.checkpoint, late: this.#late },
      }, ANNOUNCED_MS);
      if (this.#promoted) await this.#tend();
      else if (this.#epoch === null) await this.#watchOver();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Notes a failure of the engine; anything else ends this life. */
  #failed(error: unknown): void {
    if (this.#ended) return;
    if (error instanceof EngineError || error instanceof LogRefusal) {
      if (!this.#promoted) this.#setObstacle(error.message);
      return;
    }
    if (error instanceof FencedError) return this.#over(error.message);
    this.#options.warn(error instanceof Error ? error.stack ?? error.message : String(error));
    this.#over("of a fault of its own");
  }

  #setObstacle(why: string | null): void {
    if (this.#obstacle === why) return;
    if (why !== null) this.#options.warn(`this master cannot lead: ${why}`);
    else if (!this.#promoted) this.#options.info("this master follows the log and can lead");
    this.#obstacle = why;
    this.#tell();
  }

  // Following.

  async #join(): Promise<void> {
    const { log } = this.#options;
    const head = await log.head();
    if (this.#ended || this.#epoch !== null) return;
    if (head !== null && !this.#adopt(head)) return;
    if (head !== null && head.base > this.#sequence) return this.#trimmed();
    if (head !== null && !await log.has(this.#sequence) && this.#sequence > 0) {
      return this.#setObstacle(
        `the log ends before group ${this.#sequence}, which this master has: the log has lost groups`,
      );
    }
    if (head !== null && !await this.#agrees(head)) {
      return this.#trimmed(
        `group ${this.#sequence} is another one in the log; this master needs a checkpoint`,
      );
    }
    if (this.#ended || this.#epoch !== null) return;
    this.#joined = true;
    this.#setObstacle(null);
    // Before there is a log, a group could be of any: its id comes first.
    if (head === null) return;
    this.#following = true;
    this.#unfollow = log.follow(this.#sequence, {
      groups: (groups) => this.#apply(groups),
      trimmed: () => this.#trimmed(),
      trouble: (why) => {
        this.#followTrouble = why;
        this.#tell();
      },
    });
  }

  /** Whether the last group of this master is the one that the log has under its number. */
  async #agrees({ base }: LogHead): Promise<boolean> {
    const { log, copy } = this.#options;
    const own = copy.lastGroup;
    if (own === null || base >= this.#sequence) return true;
    const group = (await log.read(this.#sequence - 1))?.[0];
    return group === undefined || sameBytes(group.bytes, own);
  }

  /** Whether the log is the one that this master's files are a copy of. */
  #adopt({ id }: LogHead): boolean {
    if (this.#logId === id) return true;
    if (this.#logId === null && this.#sequence === 0) {
      this.#options.keepLogId(id);
      this.#logId = id;
      return true;
    }
    this.#options.core.fatal(
      this.#logId === null
        ? "it holds the metadata of a lone master, and the cluster has metadata already"
        : `it holds a copy of log ${this.#logId}, and the cluster has log ${id}`,
    );
    this.#halt();
    return false;
  }

  #apply(groups: LogGroup[]): void {
    if (this.#ended || this.#promoted) return;
    const { copy, core } = this.#options;
    for (const group of groups) {
      if (!isGroup(group.bytes, group.sequence)) {
        return this.#over(`group ${group.sequence} is damaged in the log`);
      }
      copy.append(group);
    }
    this.#sequence = groups.at(-1)!.sequence;
    core.groups(groups);
  }

  #trimmed(why = "the log begins behind what this master has; it needs a checkpoint"): void {
    this.#unfollow();
    this.#joined = this.#following = false;
    this.#late = true;
    this.#setObstacle(why);
  }

  /** What a standby looks after: a log that has gone on without it, and the leader's checkpoints. */
  async #watchOver(): Promise<void> {
    const { log, fetch } = this.#options;
    const [head, members] = await Promise.all([log.head(), log.members()]);
    if (this.#ended || this.#epoch !== null) return;
    const leader = members.find(({ role }) => role === "leader");
    this.#logSequence = leader?.sequence ?? this.#logSequence;
    if (head === null) return;
    if (this.#joined && !this.#following) return await this.#join();
    if (this.#following && !this.#adopt(head)) return;
    if (this.#joined && head.base > this.#sequence) this.#trimmed();
    if (this.#late) {
      const others = members.filter(({ id, checkpoint }) =>
        id !== this.#options.self.id && checkpoint !== null && checkpoint.sequence >= head.base
      );
      others.sort((a, b) => Number(b.role === "leader") - Number(a.role === "leader"));
      if (others.length === 0) return;
      await fetch(others, head.id, head.base);
      return this.#over("it has taken a checkpoint");
    }
    const mark = leader?.checkpoint ?? null;
    if (mark === null || !this.#joined || this.#folding) return;
    if (mark.sequence <= (this.#checked?.sequence ?? 0) || mark.sequence > this.#sequence) return;
    await this.#check(mark.sequence, mark.digest);
  }

  /** Compares this master's checkpoint of a group with the leader's. */
  async #check(sequence: number, digest: number): Promise<void> {
    const { copy, warn } = this.#options;
    if (copy.checkpointSequence > sequence) return;
    this.#folding = true;
    try {
      const mark = copy.checkpoint?.sequence === sequence
        ? copy.checkpoint
        : await copy.fold(sequence);
      this.#checked = { sequence, same: mark.digest === digest };
    } catch (error) {
      return warn(`no checkpoint: ${error instanceof Error ? error.message : error}`);
    } finally {
      this.#folding = false;
    }
    if (this.#checked.same || this.#promoted || this.#ended) return this.#tell();
    this.#trimmed(
      `its checkpoint of group ${sequence} differs from the leader's; it takes that one`,
    );
  }

  // Leading.

  async #campaign(): Promise<void> {
    const { elector, self, core, info, timers, leaseMs } = this.#options;
    if (this.#ended || this.#campaigning || this.#epoch !== null || !this.#joined) return;
    this.#campaigning = true;
    try {
      const candidacy = await elector.campaign(self.rpc);
      if (!candidacy.won) {
        const { leader } = candidacy;
        const news = leader?.address !== this.#leader || leader?.epoch !== this.#leaderEpoch;
        this.#leader = leader?.address ?? null;
        this.#leaderEpoch = leader?.epoch ?? null;
        if (this.#joined) this.#setObstacle(null);
        if (news) this.#tell();
        return;
      }
      const { epoch, validUntilMs } = candidacy;
      // What it has was found to be of no use while the election was under way.
      if (!this.#joined && !this.#ended) return await elector.resign(epoch);
      this.#epoch = epoch;
      if (this.#ended) return;
      info(`elected, epoch ${epoch}; reading the rest of the log behind group ${this.#sequence}`);
      this.#unfollow();
      core.valid(validUntilMs);
      this.#keeper = new LeaseKeeper({
        ...{ elector, timers, epoch, leaseMs, validUntilMs },
        onValid: (untilMs) => core.valid(untilMs),
        onEnd: (why) => this.#over(why),
        onFault: (error) => this.#failed(error),
      });
      await this.#takeOver(epoch);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#campaigning = false;
    }
  }

  async #takeOver(epoch: number): Promise<void> {
    const { log, core, copy, newId, keepLogId, timers } = this.#options;
    let base = 0;
    while (!this.#ended) {
      try {
        const first = { id: this.#logId ?? newId(), base: this.#sequence };
        const head = await log.take(epoch, first, this.#sequence);
        if (this.#ended) return;
        if (this.#logId === null) {
          keepLogId(head.id);
          this.#logId = head.id;
        }
        base = head.base;
        if (head.id !== this.#logId || head.base > this.#sequence) {
          return this.#over("the log has gone on without it");
        }
        let groups = await log.read(this.#sequence);
        for (; groups !== null && groups.length > 0; groups = await log.read(this.#sequence)) {
          this.#apply(groups);
        }
        if (groups === null) return this.#over("the log has gone on without it");
        break;
      } catch (error) {
        if (!(error instanceof EngineError)) {
          return this.#over(error instanceof Error ? error.message : String(error));
        }
        await new Promise<void>((resolve) => timers.after(RETRY_MS, resolve));
      }
    }
    if (this.#ended) return;
    if (!this.#joined) return this.#over(this.#obstacle ?? "what it has is of no use");
    this.#promoted = true;
    this.#appender = new Appender({
      ...{ log, epoch, timers },
      onKept: (group) => this.#kept(group),
      onRefused: (why) => {
        this.#engineRefusal = why;
        this.#tellRefusal();
      },
      onFenced: () => this.#over("another master leads"),
      onFault: (error) => this.#failed(error),
    });
    core.promoted(epoch, this.#sequence, this.#keeper!.validUntilMs);
    this.#tell();
    if (copy.checkpointSequence < base) void this.#fold();
  }

  #kept(group: LogGroup): void {
    const { core, copy } = this.#options;
    this.#sequence = group.sequence;
    core.acknowledged(group.sequence);
    copy.append(group);
    if (copy.isFull) this.#tellRefusal();
    if (this.#appender?.pending === 0) this.#drained?.();
  }

  /** Changes are refused while the log takes nothing, or too much waits for this master's disk. */
  #tellRefusal(): void {
    const { copy, core } = this.#options;
    const full = copy.isFull ? `the data directory takes nothing: ${copy.trouble}` : null;
    core.refused(this.#engineRefusal ?? full);
  }
  #engineRefusal: string | null = null;

  /** What a leader looks after: a log that does not grow without end. */
  async #tend(): Promise<void> {
    const { copy, log, logBytes } = this.#options;
    this.#tellRefusal();
    if (copy.tailBytes >= logBytes) void this.#fold();
    const through = copy.checkpoint?.sequence ?? 0;
    const members = await log.members();
    if (copy.checkpoint === null && members.some(({ late }) => late)) void this.#fold();
    const slowest = Math.min(...members.map(({ sequence }) => sequence));
    const held = copy.tailBytes > TRIM_HOLD * logBytes ? through : Math.min(through, slowest);
    if (this.#promoted && !this.#ended && this.#epoch !== null) {
      await log.trim(this.#epoch, held);
    }
  }

  async #fold(): Promise<void> {
    if (this.#folding || this.#ended || this.#sequence === 0) return;
    const { copy, info, warn } = this.#options;
    this.#folding = true;
    try {
      const { sequence, bytes } = await copy.fold(this.#sequence);
      info(`checkpoint of group ${sequence}: ${bytes} bytes`);
    } catch (error) {
      if (!this.#ended) warn(`no checkpoint: ${error instanceof Error ? error.message : error}`);
    } finally {
      this.#folding = false;
    }
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * The log of facts that the masters of a cluster share. An engine keeps it (etcd, Redis); every group
 * in it was appended under the epoch of the leader of its time, and is there for good once
 * {@linkcode FactLog.append} has resolved.
 */

/** A sealed group of the journal's format (`master/journal/group_format.ts`) and its number. */
export interface LogGroup {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** What a log says of itself. */
export interface LogHead {
  /** Made up when the log was created; another id is another index. */
  readonly id: string;
  /** Groups up to this one are gone: a checkpoint holds them. */
  readonly base: number;
}

/** A checkpoint that a master has on its disk. */
export interface CheckpointMark {
  readonly sequence: number;
  readonly bytes: number;
  /** Of the state that is read back from the checkpoint. */
  readonly digest: number;
}

/** What a master tells the others about itself. */
export interface MemberRecord {
  readonly id: string;
  /** `host:port` of its RPC server, once it leads. */
  readonly rpc: string;
  /** `host:port` of its admin server. */
  readonly admin: string;
  /** Opens its checkpoint where its admin server asks for keys; older masters have none. */
  readonly checkpointToken?: string;
  readonly role: "leader" | "standby";
  /** Last group that it has. */
  readonly sequence: number;
  readonly checkpoint: CheckpointMark | null;
  /** It waits for another master's checkpoint. */
  readonly late: boolean;
}

/** Another leader's epoch has begun; this one can change nothing any more. */
export class FencedError extends Error {
  override readonly name = "FencedError";
}

/** The engine answers, and refuses to keep anything: it is full, or not allowed to. */
export class LogRefusal extends Error {
  override readonly name = "LogRefusal";
}

/** The engine cannot be reached or did not answer in time; what was asked may have been done. */
export class EngineError extends Error {
  override readonly name: string = "EngineError";
}

/** The engine keeps groups in their order and does not have the one before this. */
export class EarlyGroupError extends EngineError {
  override readonly name = "EarlyGroupError";
}

/** The log has lost groups that it had acknowledged, and this master has them. */
export function endsEarly(known: number): LogRefusal {
  return new LogRefusal(`the log ends before group ${known}, which this master has`);
}

/** Receives what a log grows by. */
export interface LogFollower {
  /** Groups that follow each other, and those before them, without a gap. */
  groups(groups: LogGroup[]): void;
  /** The next group is no longer in the log: only a checkpoint helps. Nothing more comes. */
  trimmed(): void;
  /** Why nothing comes at present; `null` = it does again. */
  trouble(why: string | null): void;
}

/**
 * The shared log. Failures are {@linkcode FencedError} where an epoch is named, {@linkcode LogRefusal}
 * and {@linkcode EngineError}.
 */
export interface FactLog {
  /** `null` = nobody has created the log yet. */
  head(): Promise<LogHead | null>;
  /**
   * Fences every earlier epoch, creates the log from `first` when there is none, and drops groups
   * that lie behind a gap: their leader never got to know that they were kept. `known` is the last
   * group that the new leader has; `LogRefusal` when the log ends before it.
   */
  take(epoch: number, first: LogHead, known: number): Promise<LogHead>;
  /** Whether the log holds a group, or held it and let go of it. */
  has(sequence: number): Promise<boolean>;
  /** Resolves when the group survives every failure that the engine survives. Repeatable. */
  append(epoch: number, group: LogGroup): Promise<void>;
  /** Some of the groups behind `after`, without a gap; none at the end. `null` = they are gone. */
  read(after: number): Promise<LogGroup[] | null>;
  /** Hands out every group behind `after` until the returned function is called. */
  follow(after: number, follower: LogFollower): () => void;
  /** Drops the groups up to `through`, which checkpoints hold. */
  trim(epoch: number, through: number): Promise<void>;
  /** Publishes what this master tells about itself, for about `ttlMs`. */
  announce(record: MemberRecord, ttlMs: number): Promise<void>;
  /** The masters that have announced themselves lately. */
  members(): Promise<MemberRecord[]>;
  close(): Promise<void>;
}

/** Reads a member record; `null` when the text is none. */
export function parseMember(text: string): MemberRecord | null {
  try {
    const record = JSON.parse(text) as MemberRecord;
    return typeof record.id === "string" && typeof record.admin === "string" ? record : null;
  } catch {
    return null;
  }
}

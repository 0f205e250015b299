/** `snowskin log audit`: replays logs and checks what comes out, and copies against each other. */
import { crc32c } from "../../proto/crc32c.ts";
import { defaultCoreConfig } from "../core/config.ts";
import { MasterCore } from "../core/core.ts";
import { Counter } from "../core/counters.ts";
import { violations } from "../core/invariants.ts";
import { FramedReplay } from "../core/replay.ts";
import { SeededRng } from "../core/rng.ts";
import { readLogId } from "../ha/identity.ts";
import { FileKind } from "../journal/group_format.ts";
import { JournalError } from "../journal/journal.ts";
import { JournalWalk } from "../journal/walk.ts";
import { FactStream } from "./fact_stream.ts";
import type { NamedDirectory, ReadGroup } from "./sources.ts";

/** Faults of one source that are told one by one. */
const TOLD_FAULTS = 20;

/** Times that a directory in use is read at most. */
const ATTEMPTS = 3;

/** What the changes of a log come to. */
export interface AuditedState {
  readonly objects: number;
  readonly writes: number;
  readonly segments: number;
  readonly bytesLent: number;
  readonly bytesInUse: number;
  readonly bytesHeld: number;
  /** Equal for equal states. */
  readonly digest: number;
}

/** What an audit says of one log. */
export interface AuditReport {
  readonly name: string;
  /** Last group, 0 = there is none. */
  readonly position: number;
  /** Group of the checkpoint, 0 = there is none. */
  readonly checkpoint: number;
  readonly changes: number;
  /** What they come to; `null` = the changes before are not known. */
  readonly state: AuditedState | null;
  /** What is unsound, one sentence each. */
  readonly faults: readonly string[];
  /** What is as it should be, and worth knowing. */
  readonly notes: readonly string[];
}

/** A log while it is replayed. */
export class Replayed {
  readonly faults: string[] = [];
  readonly notes: string[] = [];
  readonly core = new MasterCore(
    defaultCoreConfig({ lifeEvents: 0, epochOffsetMs: 0 }),
    new SeededRng(1),
  );
  /** CRC-32C of the groups behind the checkpoint, by their numbers. */
  readonly sums = new Map<number, number>();
  position = 0;
  checkpoint = 0;
  /** All changes are known, from the first one on. */
  isWhole = true;
  logId: string | null = null;
  readonly #replay = new FramedReplay(this.core.state);
  readonly #stream = new FactStream();
  #changes = 0;
  #endsEarly = false;
  #untold = 0;

  constructor(readonly name: string) {}

  /**
   * Reads a data directory, up to a group if one is given; again where its master may have been in the
   * middle of the last group.
   */
  static ofDirectory(directory: NamedDirectory, through?: number): Replayed {
    for (let attempt = 1;; attempt++) {
      const replayed = Replayed.#read(directory, through);
      if (directory.holder === null || !replayed.#endsEarly || attempt === ATTEMPTS) {
        return replayed;
      }
    }
  }

  static #read(directory: NamedDirectory, through?: number): Replayed {
    const { name, journalPath, dataPath, holder } = directory;
    const replayed = new Replayed(name);
    replayed.logId = readLogId(dataPath);
    if (holder !== null) replayed.notes.push(`a master uses it: ${holder}`);
    using walk = new JournalWalk(journalPath, through);
    replayed.checkpoint = walk.checkpointSequence;
    try {
      for (const group of walk.groups()) {
        const isCheckpoint = group.kind === FileKind.CHECKPOINT;
        if (!isCheckpoint) replayed.sums.set(group.sequence, sumOf(group));
        replayed.apply(group, isCheckpoint);
      }
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      replayed.fault(`a file ${error.message}`);
    }
    replayed.position = walk.sequence;
    for (const loss of walk.losses) replayed.fault(loss);
    const { end } = walk;
    if (end === null) return replayed;
    replayed.#endsEarly = end.dropped.length === 0;
    const text = `it ends at byte ${end.offset} of ${end.path}: ${end.why}`;
    if (!end.isCut) replayed.fault(text);
    else {replayed.notes.push(
        `${text}, ${holder === null ? "as a kill leaves it" : "or is on its way"}`,
      );}
    return replayed;
  }

  /** Replays one group, which follows the ones before. */
  apply(group: ReadGroup, isCheckpoint = false): void {
    for (const read of this.#stream.of(group, isCheckpoint)) {
      this.#changes++;
      if (!("malformed" in read)) continue;
      this.fault(`change ${read.position.number} of group ${group.sequence}: ${read.malformed}`);
    }
    this.#replay.apply(group.bytes, group.start, group.end, (why) => {
      this.fault(`a change of group ${group.sequence} does not fit: ${why}`);
    });
    this.position = group.sequence;
  }

  fault(text: string): void {
    if (this.faults.length < TOLD_FAULTS) this.faults.push(text);
    else this.#untold++;
  }

  /** Checks the state that came out. */
  report(): AuditReport {
    for (const violation of violations(this.core.state)) this.fault(violation);
    if (this.#untold > 0) this.faults.push(`${this.#untold} further faults`);
    return {
      name: this.name,
      position: this.position,
      checkpoint: this.checkpoint,
      changes: this.#changes,
      state: this.isWhole ? this.#state() : null,
      faults: this.faults,
      notes: this.notes,
    };
  }

  #state(): AuditedState {
    const { counters, keyCount, segments, state } = this.core;
    return {
      objects: keyCount,
      writes: state.writes.count,
      segments: segments.count,
      bytesLent: counters.get(Counter.CAPACITY_BYTES),
      bytesInUse: counters.get(Counter.ALLOCATED_BYTES),
      bytesHeld: counters.get(Counter.HELD_BYTES),
      digest: this.core.digest(),
    };
  }
}

/** What tells a group of one copy from that of another. */
export function sumOf({ bytes, start, end }: ReadGroup): number {
  return crc32c(bytes, start, end);
}

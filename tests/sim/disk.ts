/** A simulated master's data directory, and the copy of the log that it keeps there. */
import type { CoreConfig } from "../../master/core/api.ts";
import { MasterCore } from "../../master/core/core.ts";
import { FramedReplay } from "../../master/core/replay.ts";
import { SeededRng } from "../../master/core/rng.ts";
import { tellCheckpoint } from "../../master/journal/checkpoint.ts";
import { GROUP_HEADER_BYTES } from "../../master/journal/group_format.ts";
import {
  type CheckpointMark,
  EngineError,
  type LogGroup,
  type MemberRecord,
} from "../../master/ha/fact_log.ts";
import type { OpenedCopy } from "../../master/ha/member_thread.ts";
import type { Host, Scheduler } from "./scheduler.ts";

interface CheckpointFile {
  readonly sequence: number;
  readonly bytes: number;
  readonly parts: readonly Uint8Array[];
}

/** Facts of a group or of a part of a checkpoint that do not fit what is known. */
export class MisfitError extends Error {
  override readonly name = "MisfitError";
}

/** Applies sealed groups to a core; throws {@linkcode MisfitError} where the real replay passes over. */
export function applyGroups(core: MasterCore, groups: Iterable<Uint8Array>): void {
  const replay = new FramedReplay(core.state);
  for (const bytes of groups) {
    replay.apply(bytes, GROUP_HEADER_BYTES, bytes.length, (why) => {
      throw new MisfitError(`a change does not fit: ${why}`);
    });
  }
}

/** What outlives a master's process. */
export class Disk {
  logId: string | null = null;
  checkpoint: CheckpointFile | null = null;
  /** Groups behind the checkpoint. */
  groups: LogGroup[] = [];
  /** Groups up to this one survive a loss of power, too. */
  #synced = 0;

  get sequence(): number {
    return this.groups.at(-1)?.sequence ?? this.checkpoint?.sequence ?? 0;
  }

  sync(): void {
    this.#synced = this.sequence;
  }

  losePower(): void {
    this.groups = this.groups.filter(({ sequence }) => sequence <= this.#synced);
  }

  wipe(): void {
    this.logId = this.checkpoint = null;
    this.groups = [];
    this.#synced = 0;
  }

  install(logId: string, checkpoint: CheckpointFile): void {
    this.wipe();
    this.logId = logId;
    this.checkpoint = checkpoint;
    this.sync();
  }

  /** Brings all that is here up to a group, or all, into a core that knows nothing yet. */
  recover(core: MasterCore, through = Infinity): void {
    applyGroups(core, this.checkpoint?.parts ?? []);
    const groups = this.groups.filter(({ sequence }) => sequence <= through);
    applyGroups(core, groups.map(({ bytes }) => bytes));
  }
}

/** Reads a checkpoint back, for its digest. */
function markOf({ sequence, bytes, parts }: CheckpointFile, config: CoreConfig): CheckpointMark {
  const core = new MasterCore({ ...config, epochOffsetMs: 0 }, new SeededRng(1));
  applyGroups(core, parts);
  return { sequence, bytes, digest: core.digest() };
}

export interface DiskCopyOptions {
  scheduler: Scheduler;
  host: Host;
  config: CoreConfig;
  /** How long the next checkpoint takes to be made, or to be read or fetched. */
  workMs: () => number;
}

/** The copy of one life of a master; checkpoints are those of the real core. */
export class DiskCopy implements OpenedCopy {
  checkpoint: CheckpointMark | null = null;
  readonly trouble = null;
  readonly isFull = false;
  #closed = false;

  constructor(readonly disk: Disk, readonly options: DiskCopyOptions) {}

  get sequence(): number {
    return this.disk.sequence;
  }

  get checkpointSequence(): number {
    return this.disk.checkpoint?.sequence ?? 0;
  }

  get tailBytes(): number {
    return this.disk.groups.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  get lastGroup(): Uint8Array | null {
    return this.disk.groups.at(-1)?.bytes ?? null;
  }

  append(group: LogGroup): void {
    if (this.#closed) throw new Error(`group ${group.sequence} comes after the end`);
    if (group.sequence !== this.sequence + 1) {
      throw new Error(`group ${group.sequence} does not follow group ${this.sequence}`);
    }
    this.disk.groups.push(group);
  }

  tick(): void {
    this.disk.sync();
  }

  async fold(sequence: number): Promise<CheckpointMark> {
    const { config } = this.options;
    await this.#work();
    if (this.checkpointSequence > sequence || this.sequence < sequence) {
      throw new Error(`the files do not end with group ${sequence}`);
    }
    const core = new MasterCore({ ...config, epochOffsetMs: 0 }, new SeededRng(1));
    this.disk.recover(core, sequence);
    const parts: Uint8Array[] = [];
    tellCheckpoint(core, (part) => parts.push(part.slice()));
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const file = { sequence, bytes, parts };
    this.disk.checkpoint = file;
    this.disk.groups = this.disk.groups.filter((group) => group.sequence > sequence);
    return this.checkpoint = markOf(file, config);
  }

  async readCheckpoint(): Promise<void> {
    const file = this.disk.checkpoint;
    if (file === null) return;
    await this.#work();
    this.checkpoint ??= markOf(file, this.options.config);
  }

  close(): void {
    this.#closed = true;
  }

  /** Replaces what is on the disk by the checkpoint of one of the others, as `fetchCheckpoint` does. */
  async fetch(
    members: readonly MemberRecord[],
    logId: string,
    base: number,
    diskOf: (admin: string) => Disk | null,
  ): Promise<void> {
    for (const { admin, checkpoint } of members) {
      await this.#work();
      const file = diskOf(admin)?.checkpoint ?? null;
      if (file === null || diskOf(admin)!.logId !== logId || file.sequence < base) continue;
      const { digest } = markOf(file, this.options.config);
      if (checkpoint?.sequence === file.sequence && checkpoint.digest !== digest) continue;
      this.close();
      this.disk.install(logId, file);
      return;
    }
    throw new EngineError("Cannot take a checkpoint: nobody has one");
  }

  async #work(): Promise<void> {
    const { scheduler, host, workMs } = this.options;
    await new Promise<void>((resolve) => scheduler.after(workMs(), host, resolve));
    if (this.#closed) throw new Error("the master ends");
  }
}

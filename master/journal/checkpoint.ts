import type { CoreConfig } from "../core/api.ts";
import { MasterCore } from "../core/core.ts";
import { SeededRng } from "../core/rng.ts";
import { FactBuffer } from "./fact_buffer.ts";
import { checkpointPath, deleteThrough, syncDirectory } from "./files.ts";
import { fileHeader, FileKind, sealGroup } from "./group_format.ts";
import { recover } from "./recovery.ts";

/** Damage costs the objects of one part; what all objects refer to is there twice. */
const PART_BYTES = 64 << 10;

/** A checkpoint that is on the disk. */
export interface Checkpoint {
  readonly path: string;
  readonly sequence: number;
  readonly bytes: number;
  /** What it holds. */
  readonly keys: number;
  readonly segments: number;
}

/**
 * Folds the newest checkpoint and the tail up to group `through`, all of it in sealed files, into a
 * new checkpoint and deletes what that makes superfluous. Reads and writes files only: the master
 * that appends to the journal goes on meanwhile.
 */
export class CheckpointFold {
  readonly #directory: string;
  readonly #through: number;
  readonly #core: MasterCore;

  /** Reads. Throws what the file system throws, and an `Error` when the files do not reach `through`. */
  constructor(directory: string, through: number, config: CoreConfig) {
    this.#directory = directory;
    this.#through = through;
    this.#core = new MasterCore(config, new SeededRng(1));
    const { sequence, losses } = recover(directory, this.#core, { through });
    if (sequence !== through || losses.length > 0) {
      const why = losses.length > 0 ? losses.join("; ") : `the files end with group ${sequence}`;
      throw new Error(`Cannot fold the journal up to group ${through}: ${why}`);
    }
  }

  /** Writes, objects in the given order of eviction; see `MasterCore.walkRecency`. */
  write(order: readonly Float64Array[]): Checkpoint {
    const core = this.#core;
    if (order.length > 0) core.orderByRecency(order);
    const { bytes, keys } = writeCheckpoint(this.#directory, this.#through, core);
    deleteThrough(this.#directory, this.#through);
    const path = checkpointPath(this.#directory, this.#through);
    const { count: segments } = core.segments;
    return { path, sequence: this.#through, bytes, keys, segments };
  }
}

/** Folds at once; objects keep the order of the files. See {@linkcode CheckpointFold}. */
export function foldCheckpoint(
  directory: string,
  through: number,
  config: CoreConfig,
): Checkpoint {
  return new CheckpointFold(directory, through, config).write([]);
}

/** Writes all that a core holds as the checkpoint of group `sequence`. */
export function writeCheckpoint(
  directory: string,
  sequence: number,
  core: MasterCore,
): { bytes: number; keys: number } {
  const path = checkpointPath(directory, sequence);
  const partial = `${path}.partial`;
  const file = Deno.openSync(partial, { write: true, create: true, truncate: true });
  let bytes = 0;
  let keys = 0;
  try {
    const write = (data: Uint8Array) => {
      for (let at = 0; at < data.length;) at += file.writeSync(data.subarray(at));
      bytes += data.length;
    };
    write(fileHeader(FileKind.CHECKPOINT, 1));
    keys = tellCheckpoint(core, write);
    file.syncSync();
  } catch (error) {
    file.close();
    Deno.removeSync(partial);
    throw error;
  }
  file.close();
  Deno.renameSync(partial, path);
  syncDirectory(directory);
  return { bytes, keys };
}

/** Hands out all that a core holds in sealed parts, which `write` must use at once. Returns the keys. */
export function tellCheckpoint(core: MasterCore, write: (part: Uint8Array) => void): number {
  let part = 0;
  const flush = () => {
    if (facts.isEmpty) return;
    sealGroup(facts.group, ++part);
    write(facts.group);
    facts.clear();
  };
  const facts = new FactBuffer(flush, PART_BYTES);
  core.tellHomes(facts);
  flush();
  const keys = core.tellSnapshot(facts);
  flush();
  return keys;
}

/** Checkpoints of a master's copy of the log, and the digest of what is read back from them. */
import type { CoreConfig } from "../core/api.ts";
import { MasterCore } from "../core/core.ts";
import { SeededRng } from "../core/rng.ts";
import { foldCheckpoint } from "../journal/checkpoint.ts";
import { checkpointPath } from "../journal/files.ts";
import { recover } from "../journal/recovery.ts";
import type { CheckpointMark } from "./fact_log.ts";

/** What a Worker is to do with a journal's directory. Structured-cloneable. */
export interface FoldOrder {
  /** `read` leaves the checkpoint as it is. */
  readonly kind: "fold" | "read";
  readonly directory: string;
  readonly sequence: number;
  readonly config: CoreConfig;
}

/** What has become of it. */
export type FoldReport = { mark: CheckpointMark } | { failure: string };

/**
 * Does one order. Two masters whose checkpoints are of the same group have the same digest, whatever
 * checkpoints they began from. Throws when files are damaged or missing.
 */
export function doFold({ kind, directory, sequence, config: own }: FoldOrder): CheckpointMark {
  const config = { ...own, epochOffsetMs: 0 }; // times as they are in the facts, on every machine
  if (kind === "fold") foldCheckpoint(directory, sequence, config);
  const core = new MasterCore(config, new SeededRng(1));
  const read = recover(directory, core, { through: sequence });
  if (read.sequence !== sequence || read.losses.length > 0) {
    throw new Error(read.losses.join("; ") || `the files end with group ${read.sequence}`);
  }
  const bytes = Deno.statSync(checkpointPath(directory, sequence)).size;
  return { sequence, bytes, digest: core.digest() };
}

import type { MasterCore } from "../core/core.ts";
import { FramedReplay } from "../core/replay.ts";
import { type JournalEnd, JournalWalk } from "./walk.ts";

/** Refused facts that are told one by one. */
const TOLD_REFUSALS = 5;

/** What a recovery has found. */
export interface Recovered {
  /** Number of the last group that was applied. */
  readonly sequence: number;
  /** Of the checkpoint, 0 = there is none. */
  readonly checkpointSequence: number;
  readonly checkpointBytes: number;
  /** Bytes of the tail segments that were read. */
  readonly tailBytes: number;
  /** Sentences about what was damaged and is lost. */
  readonly losses: string[];
  /** Where the journal ends, unless it ends as it should; told among the losses, too. */
  readonly end: JournalEnd | null;
}

export interface RecoveryOptions {
  /** The last group to apply; default: all. */
  through?: number;
  /** Put files whose groups are dropped aside, so that new ones can take their numbers. */
  repair?: boolean;
}

/**
 * Applies what a journal's directory holds to a core that knows nothing yet; see
 * {@linkcode JournalWalk} for what of damaged files counts. A fact that does not fit what is known is
 * passed over alone.
 */
export function recover(
  directory: string,
  core: MasterCore,
  { through, repair = false }: RecoveryOptions = {},
): Recovered {
  using walk = new JournalWalk(directory, through);
  const { losses } = walk;
  const replay = new FramedReplay(core.state);
  let refusals = 0;
  const onRefused = (why: string) => {
    if (refusals++ < TOLD_REFUSALS) losses.push(`passed over a change: ${why}`);
  };
  for (const { bytes, start, end } of walk.groups()) replay.apply(bytes, start, end, onRefused);
  const { sequence, checkpointSequence, checkpointBytes, tailBytes, end } = walk;
  if (end !== null) {
    losses.push(endText(sequence, end, repair));
    for (const { path } of repair ? end.dropped : []) Deno.renameSync(path, `${path}.dropped`);
  }
  if (refusals > TOLD_REFUSALS) {
    losses.push(`${refusals - TOLD_REFUSALS} further changes did not fit and were passed over`);
  }
  return { sequence, checkpointSequence, checkpointBytes, tailBytes, losses, end };
}

function endText(sequence: number, end: JournalEnd, repair: boolean): string {
  const { path, offset, why, dropped } = end;
  const files = dropped.length === 0 ? "" : ` and in ${dropped.length} later files`;
  return `the journal ends after group ${sequence}: ${why}; dropped the rest of ${path} from byte ` +
    `${offset} on${files}` + (repair && dropped.length > 0 ? ", which are kept as .dropped" : "");
}

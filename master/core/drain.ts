/** What becomes of one replica in a segment that is being emptied. */
import { ErrorCode } from "../../proto/error_code.ts";
import { Counter } from "./counters.ts";
import { Blocker, type Job, type JobRun } from "./job_table.ts";
import { beginMove } from "./job_moves.ts";
import type { Fills } from "./job_targets.ts";
import { eraseObject, removeReplica } from "./mutations.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import { heldByReaders, isEvictable, isReadable } from "./queries.ts";
import type { CoreState } from "./state.ts";

/** What came of a look at an object: `later` = look at it again after a pause. */
export type Looked = "nothing" | "ordered" | "later";

/** Orders the move of a replica, or drops it when it has no place to go and that is allowed. */
export function drainReplica(
  state: CoreState,
  job: Job,
  run: JobRun,
  fills: Fills,
  slot: number,
  replica: number,
  nowMs: number,
): Looked {
  const { objects, replicas } = state;
  const writing = objects.link(slot, ObjectLink.WRITE) !== 0;
  if (objects.is(slot, ObjectFlag.TRANSFER) || writing || !isReadable(state, replica)) {
    return block(run, Blocker.BUSY);
  }
  let why: Blocker = Blocker.NO_ROOM;
  const target = fills.emptiestFor(slot, replicas.size(replica));
  if (target !== "") {
    const code = beginMove(state, job, run, fills, slot, replica, target, nowMs);
    if (code === ErrorCode.OK) return "ordered";
    if (code === ErrorCode.TASK_PENDING_LIMIT_EXCEEDED) return "later";
    why = Blocker.KEY_NOT_TEXT;
  }
  if (replicas.pins(replica) > 0) return block(run, Blocker.BUSY);
  if (staysReadable(state, job, slot)) return thin(state, job, run, slot, replica, nowMs);
  if (!job.plan.dropUnplaced) return block(run, why);
  if (objects.is(slot, ObjectFlag.HARD_PIN)) return block(run, Blocker.PINNED);
  if (heldByReaders(state, slot, nowMs) !== 0) return block(run, Blocker.LEASED);
  if (!isEvictable(state, slot)) return block(run, Blocker.BUSY);
  return drop(state, job, run, slot, replica, nowMs);
}

/** Whether the object can be read from memory outside of the job's segments. */
function staysReadable(state: CoreState, job: Job, slot: number): boolean {
  const { objects, replicas, segments } = state;
  for (let at = objects.link(slot, ObjectLink.REPLICA); at !== 0; at = replicas.next(at)) {
    if (!replicas.isMemory(at) || !isReadable(state, at)) continue;
    if (!job.plan.segmentIds.includes(segments.view(replicas.segment(at)).segment.id)) return true;
  }
  return false;
}

function thin(
  state: CoreState,
  job: Job,
  run: JobRun,
  slot: number,
  replica: number,
  nowMs: number,
): Looked {
  job.progress.thinnedObjects++;
  job.progress.thinnedBytes += state.replicas.size(replica);
  noteProgress(run, nowMs);
  removeReplica(state, slot, replica, heldByReaders(state, slot, nowMs), false);
  return "nothing";
}

function drop(
  state: CoreState,
  job: Job,
  run: JobRun,
  slot: number,
  replica: number,
  nowMs: number,
): Looked {
  job.progress.droppedObjects++;
  job.progress.droppedBytes += state.replicas.size(replica);
  state.counters.add(Counter.JOB_DROPS, 1);
  noteProgress(run, nowMs);
  removeReplica(state, slot, replica, 0, false);
  if (state.objects.link(slot, ObjectLink.REPLICA) === 0) eraseObject(state, slot, 0);
  else if (!state.objects.is(slot, ObjectFlag.IN_MEMORY)) state.recency.remove(slot);
  return "nothing";
}

function noteProgress(run: JobRun, nowMs: number): void {
  run.progressMs = nowMs;
  run.busyPass = true;
  run.changed = true;
}

function block(run: JobRun, why: Blocker): Looked {
  run.blocked[why] = (run.blocked[why] ?? 0) + 1;
  return "nothing";
}

import { ErrorCode } from "../../proto/error_code.ts";
import { TaskStatus } from "../../proto/types.ts";
import type { Job, JobRun, Unit } from "./job_table.ts";
import type { Fills } from "./job_targets.ts";
import { replicaById } from "./mutations.ts";
import { changeTask, orderMove } from "./orders.ts";
import { isHoused } from "./queries.ts";
import { replicaUnder } from "./replication.ts";
import type { CoreState } from "./state.ts";
import { isFinished, type Task } from "./tasks.ts";
import { abandonTransfer } from "./transfer_end.ts";
import { TransferKind } from "./transfers.ts";

/** A client that has not gone on with a move for so long does not know of it any more. */
const LOST_MS = 30_000;

/** Orders a move and counts it as under way. INVALID_KEY, TASK_PENDING_LIMIT_EXCEEDED. */
export function beginMove(
  state: CoreState,
  job: Job,
  run: JobRun,
  fills: Fills | null,
  slot: number,
  replica: number,
  target: string,
  nowMs: number,
): ErrorCode {
  const { code, value } = orderMove(state, slot, replica, target, job.id, nowMs);
  if (value === null) return code as ErrorCode;
  const source = state.segments.at(state.replicas.segment(replica)).name.name;
  const bytes = state.replicas.size(replica);
  const id = state.replicas.id(replica);
  run.units.set(value, { slot, replica: id, bytes, source, target, foundMs: Infinity });
  run.slots.add(slot);
  run.allowance -= bytes;
  fills?.move(source, target, bytes);
  return ErrorCode.OK;
}

/** What has become of a move: `gone` = the object was removed or moved by somebody else. */
export type MoveOutcome = "open" | "moved" | "gone" | "failed";

/**
 * How far a move is. Reports and answers can be lost with a process or a connection, so what the
 * object itself shows counts as well, and a move that nobody goes on with is ended.
 */
export function outcomeOf(
  state: CoreState,
  task: Task | null,
  unit: Unit,
  nowMs: number,
): MoveOutcome {
  if (task?.status === TaskStatus.SUCCESS) return "moved";
  const { slot, target, foundMs } = unit;
  const known = slot !== 0 && state.objects.has(slot);
  const left = !known || !isAtHome(state, unit);
  if (task === null || isFinished(task.status)) return left ? "gone" : "failed";
  const transfer = known ? state.transfers.transfers.get(slot) : undefined;
  if (transfer === undefined && left) {
    changeTask(state, task, TaskStatus.SUCCESS, "the object is not there any more", nowMs);
    return known && replicaUnder(state, slot, target) !== 0 ? "moved" : "gone";
  }
  if (task.status !== TaskStatus.PROCESSING) return "open";
  const silent = transfer === undefined && nowMs - task.updatedMs > LOST_MS;
  if (!silent && !(nowMs - foundMs > LOST_MS)) return "open";
  changeTask(state, task, TaskStatus.FAILED, "its client did not go on with it", nowMs);
  if (transfer?.kind === TransferKind.MOVE && transfer.client === task.client) {
    const holdUntilMs = transfer.startMs + state.config.putStartReleaseTimeoutMs;
    abandonTransfer(state, transfer, Math.max(holdUntilMs, nowMs), nowMs);
  }
  return "failed";
}

/** Whether what is to be moved is still where it was. */
function isAtHome(state: CoreState, { slot, replica, source }: Unit): boolean {
  if (replica === 0) return replicaUnder(state, slot, source) !== 0;
  const at = replicaById(state, slot, replica);
  return at !== 0 && isHoused(state, at);
}

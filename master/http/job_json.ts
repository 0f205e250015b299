/** Jobs in JSON: what a request asks for, and the answers, the reference's members first. */
import type { Uuid } from "../../proto/types.ts";
import { Blocker, JobKind, JobStatus } from "../core/job_table.ts";
import {
  type CompactionRequest,
  type DrainRequest,
  type JobLimits,
  type JobView,
  MAX_JOB_CONCURRENCY,
  type RebalanceRequest,
} from "../core/jobs.ts";
import type { ReplicationView } from "../core/hot_view.ts";
import type { Json } from "./json_text.ts";

/** Moves under way unless asked otherwise, as with the reference. */
const CONCURRENCY = 4;
const THRESHOLD = 0.1;
const GIVE_UP_SECONDS = 60;
const MAX_GIVE_UP_SECONDS = 86_400;
const MAX_NAMES = 10_000;

const LIMIT_MEMBERS = ["target_segments", "max_concurrency", "bytes_per_second", "give_up_seconds"];

/** A body that cannot be a request. The message names the member, its value and what is allowed. */
export class JobBodyError extends Error {
  override name = "JobBodyError";
}

/** Reads the body of `POST /api/v1/drain_jobs`. `JobBodyError`. */
export function readDrain(body: string): DrainRequest {
  const members = readMembers(body, ["segments", "client_id", "on_no_room", ...LIMIT_MEMBERS]);
  const client = members.client_id ?? null;
  if (client !== null && (typeof client !== "string" || !/^\d{1,20}-\d{1,20}$/.test(client))) {
    throw wrong("client_id", client, "two whole numbers with a hyphen between them");
  }
  const segments = names(members, "segments");
  if ((segments.length === 0) === (client === null)) {
    throw new JobBodyError(`"segments" or "client_id" must say what to drain, and not both`);
  }
  const onNoRoom = members.on_no_room ?? "wait";
  if (onNoRoom !== "wait" && onNoRoom !== "drop") {
    throw wrong("on_no_room", onNoRoom, `"wait", "drop"`);
  }
  const dropUnplaced = onNoRoom === "drop";
  return { ...readLimits(members), segments, client: client as Uuid | null, dropUnplaced };
}

/** Reads the body of `POST /api/v1/jobs/rebalance`. `JobBodyError`. */
export function readRebalance(body: string): RebalanceRequest {
  const members = readMembers(body, ["threshold", ...LIMIT_MEMBERS]);
  const threshold = members.threshold ?? THRESHOLD;
  if (typeof threshold !== "number" || !(threshold > 0 && threshold < 1)) {
    throw wrong("threshold", threshold, "numbers between 0 and 1");
  }
  return { ...readLimits(members), threshold };
}

/** Reads the body of `POST /api/v1/jobs/compact`. `JobBodyError`. */
export function readCompaction(body: string): CompactionRequest {
  const members = readMembers(body, ["segments", "largest_free_bytes", ...LIMIT_MEMBERS]);
  const most = Number.MAX_SAFE_INTEGER;
  const goalBytes = whole(members, "largest_free_bytes", 0, 0, most);
  const segments = names(members, "segments");
  return { ...readLimits(members), segments, goalBytes, leastBytes: goalBytes, automatic: false };
}

/** What the one who made or ended a job is told. */
export function jobStateDocument({ id, status }: Pick<JobView, "id" | "status">): Json {
  return { success: true, job_id: id, status: statusName(status), ...noError };
}

/** All that is known of a job. */
export function jobDocument(job: JobView): Json {
  const blockedObjects = Object.values(job.blocked).reduce((sum, count) => sum + count, 0);
  return {
    ...{ success: true, job_id: job.id, type: job.kind, type_name: kindName(job.kind) },
    ...{ status: job.status, status_name: statusName(job.status) },
    created_at_ms_epoch: job.createdAtMsEpoch,
    last_updated_at_ms_epoch: job.updatedAtMsEpoch,
    segments: job.segments,
    ...{ succeeded_units: job.movedObjects, failed_units: job.failedMoves },
    ...{ blocked_units: blockedObjects, active_units: job.activeMoves },
    ...{ migrated_bytes: job.movedBytes, message: job.message, ...noError },
    ...{ target_segments: job.targets, max_concurrency: job.maxConcurrency },
    ...{ bytes_per_second: job.bytesPerSecond, remaining_bytes: job.remainingBytes },
    ...{ thinned_units: job.thinnedObjects, thinned_bytes: job.thinnedBytes },
    ...{ dropped_units: job.droppedObjects, dropped_bytes: job.droppedBytes },
    ...{ largest_free_bytes: job.goalBytes, automatic: job.automatic },
    blocked: Object.fromEntries(
      Object.values(Blocker).map((reason) => [reason, job.blocked[reason] ?? 0]),
    ),
  };
}

const noError = { error_code: 0, error_message: "" };

function statusName(status: JobStatus): string {
  return Object.entries(JobStatus).find(([, value]) => value === status)?.[0] ?? "UNKNOWN";
}

function kindName(kind: JobKind): string {
  return Object.entries(JobKind).find(([, value]) => value === kind)?.[0] ?? "UNKNOWN";
}

type Members = Record<string, unknown>;

function readMembers(body: string, known: readonly string[]): Members {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new JobBodyError(`Invalid JSON body: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new JobBodyError("Invalid JSON body: it must be an object");
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw new JobBodyError(
        `${JSON.stringify(name)} is not known here; allowed: ${known.join(", ")}`,
      );
    }
  }
  return value as Members;
}

function readLimits(members: Members): JobLimits {
  const most = Number.MAX_SAFE_INTEGER;
  return {
    targets: names(members, "target_segments"),
    maxConcurrency: whole(members, "max_concurrency", CONCURRENCY, 1, MAX_JOB_CONCURRENCY),
    bytesPerSecond: whole(members, "bytes_per_second", 0, 0, most),
    giveUpMs: 1000 * whole(members, "give_up_seconds", GIVE_UP_SECONDS, 1, MAX_GIVE_UP_SECONDS),
  };
}

function names(members: Members, name: string): string[] {
  const value = members[name] ?? [];
  const sound = Array.isArray(value) && value.length <= MAX_NAMES &&
    value.every((item) => typeof item === "string") && new Set(value).size === value.length;
  if (!sound) throw wrong(name, value, `a list of different names, ${MAX_NAMES} at most`);
  return value;
}

function whole(members: Members, name: string, or: number, least: number, most: number): number {
  const value = members[name] ?? or;
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw wrong(name, value, `whole numbers from ${least} to ${most}`);
  }
  return value as number;
}

function wrong(name: string, value: unknown, allowed: string): JobBodyError {
  const text = JSON.stringify(value);
  const shown = text.length > 100 ? `${text.slice(0, 100)}...` : text;
  return new JobBodyError(`"${name}" is ${shown}; allowed: ${allowed}`);
}

/** What dynamic replication does. Bytes of a key that are no UTF-8 are shown as U+FFFD. */
export function replicationDocument(view: ReplicationView): Json {
  return {
    success: true,
    mode: view.mode,
    replicas: view.copies,
    replica_bytes: view.copyBytes,
    ordered: view.orders,
    decisions: view.decisions.map(({ timeMs, what, key: bytewise, rate, bytes, segment }) => {
      const key = new TextDecoder().decode(Uint8Array.from(bytewise, (c) => c.charCodeAt(0)));
      return { time_ms: timeMs, what, key, reads_per_second: rate, bytes, segment };
    }),
  };
}

/** Copy and move orders: queued by an operator, fetched and reported on by clients. */
import { ErrorCode } from "../../proto/error_code.ts";
import { TaskStatus, TaskType, type Uuid } from "../../proto/types.ts";
import { NO_LEASE } from "./transfers.ts";

/** An order as it is kept, also in the journal. Times are in the core's clock. */
export interface Task {
  readonly id: Uuid;
  readonly type: TaskType;
  status: TaskStatus;
  /** JSON text for the client. */
  readonly payload: string;
  readonly createdMs: number;
  updatedMs: number;
  message: string;
  readonly client: number;
  readonly maxRetryAttempts: number;
  /** The job that ordered it, the bytes of the object then, and the id of the replica it is about. */
  readonly job?: { readonly id: Uuid; readonly bytes: number; readonly replica?: number };
}

/** Tasks by id, with a queue for each client and the finished ones in the order of their ends. */
export class TaskTable {
  readonly #tasks = new Map<Uuid, Task>();
  readonly #pending = new Map<number, Set<Task>>();
  /** Tasks that wait, and that are being worked on, in the order in which they came to be so. */
  readonly #waiting = new Set<Task>();
  readonly #processing = new Set<Task>();
  readonly #finished = new Set<Task>();

  get pendingCount(): number {
    return this.#waiting.size;
  }

  get processingCount(): number {
    return this.#processing.size;
  }

  get finishedCount(): number {
    return this.#finished.size;
  }

  find(id: Uuid): Task | null {
    return this.#tasks.get(id) ?? null;
  }

  all(): IterableIterator<Task> {
    return this.#tasks.values();
  }

  add(task: Task): void {
    this.#tasks.set(task.id, task);
    this.#enter(task);
  }

  /** The next task that waits for a client, or `null`. */
  nextFor(client: number): Task | null {
    for (const task of this.#pending.get(client) ?? []) return task;
    return null;
  }

  /** The task that has waited longest, been worked on longest, or was finished first. */
  oldest(status: "waiting" | "processing" | "finished"): Task | null {
    const tasks = status === "waiting"
      ? this.#waiting
      : status === "processing"
      ? this.#processing
      : this.#finished;
    for (const task of tasks) return task;
    return null;
  }

  change(task: Task, status: TaskStatus, message: string, nowMs: number): void {
    this.#leave(task);
    task.status = status;
    task.message = message;
    task.updatedMs = nowMs;
    this.#enter(task);
  }

  drop(task: Task): void {
    this.#leave(task);
    this.#tasks.delete(task.id);
  }

  #enter(task: Task): void {
    if (task.status === TaskStatus.PENDING) {
      this.#waiting.add(task);
      const queue = this.#pending.get(task.client);
      if (queue === undefined) this.#pending.set(task.client, new Set([task]));
      else queue.add(task);
    } else if (task.status === TaskStatus.PROCESSING) {
      this.#processing.add(task);
    } else {
      this.#finished.add(task);
    }
  }

  #leave(task: Task): void {
    this.#waiting.delete(task);
    this.#processing.delete(task);
    this.#finished.delete(task);
    const queue = this.#pending.get(task.client);
    if (queue?.delete(task) && queue.size === 0) this.#pending.delete(task.client);
  }
}

/** Whether a task is over. */
export function isFinished(status: number): boolean {
  return status === TaskStatus.FAILED || status === TaskStatus.SUCCESS;
}

/** What a completed task answers to the client that reports it. */
export function checkCompletion(task: Task | null, client: number, status: number): ErrorCode {
  if (!isFinished(status)) return ErrorCode.INVALID_PARAMS;
  if (task === null) return ErrorCode.TASK_NOT_FOUND;
  return task.client === client ? ErrorCode.OK : ErrorCode.ILLEGAL_CLIENT;
}

/** The document that tells a client what to copy; the halves of a lease's id have up to 64 bits. */
export function copyPayload(
  tenantId: string,
  key: string,
  source: string,
  targets: readonly string[],
  leaseId: Uuid = NO_LEASE,
  versionEpoch = 0,
): string {
  const [high, low] = leaseId.split("-");
  return `${JSON.stringify({ tenant_id: tenantId, key, source, targets }).slice(0, -1)},` +
    `"dynamic_replication_lease_id_high":${high},"dynamic_replication_lease_id_low":${low},` +
    `"dynamic_replication_version_epoch":${versionEpoch}}`;
}

/** The document that tells a client what to move. */
export function movePayload(
  tenantId: string,
  key: string,
  source: string,
  target: string,
): string {
  return JSON.stringify({ tenant_id: tenantId, key, source, target });
}

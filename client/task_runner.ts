import { readFencePayload } from "../proto/fence_payload.ts";
import { ErrorCode, errorName } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import { type JsonObject, type JsonValue, parseJsonExact } from "../proto/json_exact.ts";
import type { Expected } from "../proto/messages.ts";
import {
  type ReplicaDescriptor,
  type TaskAssignment,
  TaskStatus,
  TaskType,
  type Uuid,
} from "../proto/types.ts";
import { uuidBytes } from "../proto/struct_pack/uuid.ts";
import type { StoreContext } from "./context.ts";
import { isLost } from "./departure.ts";
import { keyBytes } from "./key.ts";
import { pause } from "./transfer/clock.ts";
import { TransferCode } from "./transfer/engine.ts";
import { isTooLate, pushWrites, transferAll } from "./write.ts";
import type { EndpointOperation } from "./transfer/endpoint.ts";

const MAX_RUNNING = 4;
/** Added to the wait before each further attempt, as the reference does. */
const RETRY_STEP_MS = 50;
/** How often, and for how long, the master is told of an end that it has not answered. */
const REPORT_PAUSE_MS = 500;
const REPORT_MS = 60_000;

/** What a copy or a move has to do with the master around its transfer. */
interface Replication {
  /** The number that its calls bear, 0 = none. */
  readonly number: number;
  start(): Promise<Expected<{ source: ReplicaDescriptor; targets: ReplicaDescriptor[] }>>;
  end(): Promise<Expected<null>>;
  revoke(): Promise<Expected<null>>;
  /** A code of `start` that means that there is nothing to do. */
  readonly doneCode?: number;
}

/** Does the copies and moves that the master orders from the owner of their source. */
export class TaskRunner {
  readonly #store: StoreContext;
  readonly #log: (line: string) => void;
  readonly #stopped = new AbortController();
  readonly #waiting: TaskAssignment[] = [];
  #running = 0;
  /** Called when a task has been reported and none waits: there may be another one by now. */
  onHungry: () => void = () => {};

  constructor(store: StoreContext, log: (line: string) => void) {
    this.#store = store;
    this.#log = log;
  }

  /** Takes tasks on; each is done and reported in its own time. */
  submit(tasks: readonly TaskAssignment[]): void {
    this.#waiting.push(...tasks);
    while (this.#running < MAX_RUNNING && this.#waiting.length > 0) {
      this.#running++;
      this.#work(this.#waiting.shift()!).finally(() => {
        this.#running--;
        this.submit([]);
        if (this.#waiting.length === 0 && !this.#stopped.signal.aborted) this.onHungry();
      });
    }
  }

  /** Begins no further task. */
  stop(): void {
    this.#stopped.abort();
    this.#waiting.length = 0;
  }

  async #work(task: TaskAssignment): Promise<void> {
    try {
      const code = await this.#attempt(task);
      if (this.#stopped.signal.aborted) return;
      const request = code === ErrorCode.OK
        ? { id: task.id, status: TaskStatus.SUCCESS, message: "Task completed successfully" }
        : { id: task.id, status: TaskStatus.FAILED, message: errorName(code) };
      if (code !== ErrorCode.OK) this.#log(`task ${task.id} failed: ${errorName(code)}`);
      const { master, clientId } = this.#store;
      await this.#untilAnswered(() => master.markTaskToComplete({ clientId, request }));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#log(`task ${task.id} could not be reported: ${error.message}`);
    }
  }

  /** Runs a task until it ends with something else than a lack of room. */
  async #attempt(task: TaskAssignment): Promise<number> {
    const { signal } = this.#stopped;
    for (let attempt = 0;; attempt++) {
      const code = await this.#once(task);
      const again = code === ErrorCode.NO_AVAILABLE_HANDLE && attempt < task.maxRetryAttempts;
      if (!again || signal.aborted) return code;
      await pause(this.#store.clock, RETRY_STEP_MS * (attempt + 1), signal);
    }
  }

  async #once(task: TaskAssignment): Promise<number> {
    try {
      if (task.type === TaskType.WRITER_FENCE) return await this.#fence(task);
      const replication = this.#replicationOf(task);
      return replication === null ? ErrorCode.INVALID_PARAMS : await this.#replicate(replication);
    } catch (error) {
      if (error instanceof StoreError) return error.code;
      return ErrorCode.INTERNAL_ERROR;
    }
  }

  async #replicate(replication: Replication): Promise<number> {
    const askedAt = this.#store.clock.now();
    const { code, value } = await replication.start();
    if (code === replication.doneCode) return ErrorCode.OK;
    if (code !== ErrorCode.OK || value === null) return code;
    const failure = isTooLate(this.#store, askedAt)
      ? ErrorCode.TRANSFER_FAIL
      : await this.#transfer(value.source, value.targets);
    if (failure !== ErrorCode.OK) {
      await replication.revoke();
      return failure;
    }
    const ended = replication.number === 0
      ? await replication.end()
      : await this.#untilAnswered(() => replication.end());
    if (ended.code !== ErrorCode.OK && value.targets.length > 0) await replication.revoke();
    return ended.code;
  }

  /**
   * Makes a call again until it is answered: a master that was away must learn how a task ended. An
   * end that reached it before has nothing to end any more, or finds a later transfer, which it leaves
   * alone since it bears a number.
   */
  async #untilAnswered(call: () => Promise<Expected<null>>): Promise<Expected<null>> {
    const { clock } = this.#store;
    const untilMs = clock.now() + REPORT_MS;
    for (let repeated = false;; repeated = true) {
      try {
        const answer = await call();
        const ended = repeated && (answer.code === ErrorCode.OBJECT_NO_REPLICATION_TASK ||
          answer.code === ErrorCode.ILLEGAL_CLIENT);
        return ended ? { code: ErrorCode.OK, value: null } : answer;
      } catch (error) {
        const { signal } = this.#stopped;
        if (!isLost(error) || signal.aborted || clock.now() > untilMs) throw error;
        await pause(clock, REPORT_PAUSE_MS, signal);
      }
    }
  }

  /** Keeps a writer that has vanished out of memory that it was to fill. */
  async #fence({ payload }: TaskAssignment): Promise<number> {
    const order = readFencePayload(payload);
    if (order === null) return ErrorCode.INVALID_PARAMS;
    const { address, length, keepMs, writer } = order;
    const { endpoint } = this.#store;
    const done = await endpoint.fence(address, length, keepMs, uuidBytes(writer));
    return done ? ErrorCode.OK : ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  }

  /** Writes the source replica, which must be in this process, to every target. */
  async #transfer(
    source: ReplicaDescriptor,
    targets: readonly ReplicaDescriptor[],
  ): Promise<number> {
    if (targets.length === 0) return ErrorCode.OK;
    if (source.location.kind !== "memory") return ErrorCode.INVALID_PARAMS;
    const { size } = source.location.buffer;
    const slice = this.#store.endpoint.ownMemory(source.location.buffer);
    if (slice === null) return ErrorCode.REPLICA_NOT_IN_LOCAL_MEMORY;
    const ops: EndpointOperation[] = [];
    if (pushWrites(ops, targets, [slice], size) !== null) return ErrorCode.INVALID_REPLICA;
    const codes = await transferAll(this.#store, ops);
    return codes.every((code) => code === TransferCode.OK) ? ErrorCode.OK : ErrorCode.TRANSFER_FAIL;
  }

  /** Reads what a task asks for; `null` when its type or its payload is unknown. */
  #replicationOf(task: TaskAssignment): Replication | null {
    const payload = readPayload(task.payload);
    if (payload === null) return null;
    const { master, clientId } = this.#store;
    const number = this.#store.nextWriteId();
    const call = {
      clientId,
      key: keyBytes(payload.text("key")),
      tenantId: keyBytes(payload.text("tenant_id")),
    };
    const srcSegment = payload.text("source");
    switch (task.type) {
      case TaskType.REPLICA_COPY: {
        const start = { ...call, srcSegment, tgtSegments: payload.texts("targets") };
        const leaseId = payload.id("dynamic_replication_lease_id");
        if (leaseId === "0-0") {
          return {
            number,
            start: () => master.copyStart(start, number),
            end: () => master.copyEnd(call, number),
            revoke: () => master.copyRevoke(call, number),
          };
        }
        const lease = { leaseId, versionEpoch: payload.count("dynamic_replication_version_epoch") };
        return {
          number,
          start: () => master.dynamicReplicaCopyStart({ ...start, ...lease }, number),
          end: () => master.dynamicReplicaCopyEnd({ ...call, ...lease }, number),
          revoke: () => master.dynamicReplicaCopyRevoke({ ...call, ...lease }, number),
          doneCode: ErrorCode.OBJECT_ALREADY_EXISTS,
        };
      }
      case TaskType.REPLICA_MOVE:
        return {
          number,
          start: async () => {
            const tgtSegment = payload.text("target");
            const { code, value } = await master.moveStart(
              { ...call, srcSegment, tgtSegment },
              number,
            );
            if (value === null) return { code, value };
            const { source, target } = value;
            return { code, value: { source, targets: target === null ? [] : [target] } };
          },
          end: () => master.moveEnd(call, number),
          revoke: () => master.moveRevoke(call, number),
        };
      default:
        return null;
    }
  }
}

/** Members of a task's JSON document; a missing or mistyped one is empty, as for the reference. */
class Payload {
  readonly #members: JsonObject;

  constructor(members: JsonObject) {
    this.#members = members;
  }

  text(name: string): string {
    const value = this.#members[name];
    return typeof value === "string" ? value : "";
  }

  texts(name: string): string[] {
    const value = this.#members[name];
    return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
  }

  count(name: string): number {
    const value = this.#members[name];
    return typeof value === "number" ? value : 0;
  }

  /** An id kept as two 64-bit halves. */
  id(name: string): Uuid {
    const half = (value: JsonValue | undefined) =>
      typeof value === "bigint" || typeof value === "number" ? value : 0;
    return `${half(this.#members[`${name}_high`])}-${half(this.#members[`${name}_low`])}`;
  }
}

function readPayload(text: string): Payload | null {
  try {
    const value = parseJsonExact(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? new Payload(value) : null;
  } catch {
    return null;
  }
}

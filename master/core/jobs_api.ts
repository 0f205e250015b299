import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import type { Uuid } from "../../proto/types.ts";
import type { Job } from "./job_table.ts";
import * as jobs from "./jobs.ts";
import { failed, ok } from "./results.ts";
import type { CoreState } from "./state.ts";

/** Jobs that move many objects. See `MasterCore.readOnly` for when they are refused. */
export class JobsApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** See {@linkcode jobs.createDrain}. */
  createDrain(request: jobs.DrainRequest, nowMs: number): Expected<jobs.JobView> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    return this.#viewed(jobs.createDrain(this.#state, request, nowMs));
  }

  /** See {@linkcode jobs.createRebalance}. */
  createRebalance(request: jobs.RebalanceRequest, nowMs: number): Expected<jobs.JobView> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    return this.#viewed(jobs.createRebalance(this.#state, request, nowMs));
  }

  /** See {@linkcode jobs.createCompaction}. */
  createCompaction(request: jobs.CompactionRequest, nowMs: number): Expected<jobs.JobView> {
    if (this.#state.readOnly) return failed(ErrorCode.PERSISTENT_FAIL);
    return this.#viewed(jobs.createCompaction(this.#state, request, nowMs));
  }

  /** JOB_NOT_FOUND. */
  query(id: Uuid): Expected<jobs.JobView> {
    const job = this.#state.jobs.find(id);
    return job === null ? failed(ErrorCode.JOB_NOT_FOUND) : ok(jobs.describeJob(this.#state, job));
  }

  /** All that are known, in the order in which they were made. */
  list(): jobs.JobView[] {
    return Array.from(this.#state.jobs.all(), (job) => jobs.describeJob(this.#state, job));
  }

  /** See {@linkcode jobs.cancelJob}. */
  cancel(id: Uuid, nowMs: number): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return jobs.cancelJob(this.#state, id, nowMs);
  }

  #viewed({ code, value }: Expected<Job>): Expected<jobs.JobView> {
    return value === null ? failed(code as ErrorCode) : ok(jobs.describeJob(this.#state, value));
  }
}

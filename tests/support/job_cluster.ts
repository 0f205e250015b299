/** A core with one client per segment, whose clients carry out what jobs order. */
import assert from "node:assert/strict";
import type { CoreConfig, FactSink } from "../../master/core/api.ts";
import { JobStatus } from "../../master/core/job_table.ts";
import type {
  CompactionRequest,
  DrainRequest,
  JobView,
  RebalanceRequest,
} from "../../master/core/jobs.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { type TaskAssignment, TaskStatus, type Uuid } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "./core_driver.ts";

const KIB = 1024;

export class JobCluster extends CoreDriver {
  readonly segments: number;
  readonly facts: Uint8Array[] = [];

  constructor(segments: number, size = MIB, changes: Partial<CoreConfig> = {}) {
    super(changes);
    this.segments = segments;
    const { facts } = this;
    const sink: FactSink = {
      append: (bytes, start, end) => void facts.push(bytes.slice(start, end)),
    };
    this.core.attachFacts(sink);
    for (let i = 1; i <= segments; i++) this.mount(i, size, { client: i });
  }

  fill(prefix: string, count: number, segment: number, size = 10 * KIB): string[] {
    const keys = Array.from({ length: count }, (_, i) => `${prefix}/${i}`);
    for (const key of keys) this.put(key, size, { preferredSegment: `segment-${segment}` });
    return keys;
  }

  drain(segments: string[], changes: Partial<DrainRequest> = {}) {
    return this.core.jobs.createDrain({
      ...{ segments, client: null, targets: [], maxConcurrency: 4, bytesPerSecond: 0 },
      ...{ giveUpMs: 60_000, dropUnplaced: false },
      ...changes,
    }, this.nowMs);
  }

  rebalance(threshold: number, changes: Partial<RebalanceRequest> = {}) {
    return this.core.jobs.createRebalance({
      ...{ targets: [], maxConcurrency: 4, bytesPerSecond: 0, giveUpMs: 60_000, threshold },
      ...changes,
    }, this.nowMs);
  }

  compact(changes: Partial<CompactionRequest> = {}) {
    return this.core.jobs.createCompaction({
      ...{ segments: [], targets: [], maxConcurrency: 4, bytesPerSecond: 0, giveUpMs: 60_000 },
      ...{ goalBytes: 0, leastBytes: 0, automatic: false },
      ...changes,
    }, this.nowMs);
  }

  /** Lets time pass until the master has begun a compaction by itself. */
  untilOwnJob(): JobView {
    for (let i = 0; i < 100; i++) {
      this.settle();
      const own = this.core.jobs.list().find(({ automatic }) => automatic);
      if (own !== undefined) return own;
      this.nowMs += 100;
    }
    return assert.fail("nothing was begun");
  }

  /** The longest free piece of any segment. */
  longestFree(): number {
    const details = this.core.inspection.segmentDetails();
    return Math.max(...details.map(({ largestFreeBytes }) => largestFreeBytes));
  }

  job(id: Uuid): JobView {
    const { code, value } = this.core.jobs.query(id);
    assertCode(code, ErrorCode.OK);
    return value!;
  }

  /** Every client fetches its tasks once and does them; how many were done. */
  work(): number {
    let done = 0;
    for (let client = 1; client <= this.segments; client++) {
      this.core.cluster.ping(clientId(client));
      for (const task of this.fetch(client)) {
        this.carryOut(client, task);
        done++;
      }
    }
    return done;
  }

  fetch(client: number): TaskAssignment[] {
    return this.core.movement.fetchTasks(clientId(client), 1000, this.nowMs);
  }

  carryOut(client: number, { id, payload }: TaskAssignment): void {
    const { movement } = this.core;
    const { key, source, target } = JSON.parse(payload);
    const who = clientId(client);
    const { code } = movement.moveStart(who, 0, bytesOf(key), source, target, this.nowMs);
    const end = code === ErrorCode.OK ? movement.moveEnd(who, 0, bytesOf(key), this.nowMs) : code;
    const status = end === ErrorCode.OK ? TaskStatus.SUCCESS : TaskStatus.FAILED;
    const message = end === ErrorCode.OK ? "" : `code ${end}`;
    this.ok(movement.markTaskToComplete(who, { id, status, message }, this.nowMs));
  }

  /** Clients work and time passes until the job is over. */
  finish(id: Uuid, stepMs = 100): JobView {
    for (let i = 0; i < 3000; i++) {
      while (this.core.tick(this.nowMs) === 0);
      this.work();
      const job = this.job(id);
      if (job.status >= JobStatus.SUCCEEDED) return job;
      this.nowMs += stepMs;
    }
    return assert.fail(`not over: ${JSON.stringify(this.job(id))}`);
  }

  segmentStatus(segment: number): number {
    return this.core.cluster.querySegmentStatus(`segment-${segment}`).value!;
  }

  used(segment: number): number {
    const detail = this.core.inspection.segmentDetails();
    return detail.find(({ name }) => name === `segment-${segment}`)!.allocatedBytes;
  }

  /** A core that knows what was told, with all owners back. */
  restart(): JobCluster {
    const next = new JobCluster(0, MIB, this.core.state.config);
    next.core.attachFacts(null);
    for (const fact of this.facts) next.core.replay(fact);
    next.nowMs = this.nowMs;
    next.core.finishReplay(next.nowMs);
    assert.equal(next.core.digest(), this.core.digest());
    Object.assign(next, { segments: this.segments });
    for (let i = 1; i <= this.segments; i++) {
      const entry = Array.from(this.core.segments.mounted()).find(({ view }) =>
        view.segment.id === `${i}-${i}`
      );
      if (entry === undefined) continue;
      next.ok(next.core.cluster.remountSegments([entry.view.segment], clientId(i)));
    }
    return next;
  }
}

/** Prints the summary periodically and answers `/metrics/summary` with rates since then. */
import type { Logger } from "../logger.ts";
import type { MetricsSnapshot } from "../metrics/registry.ts";
import {
  type MasterStatus,
  shortSummary,
  summaryFields,
  summaryText,
} from "../metrics/summary_line.ts";
import type { AdminBackend } from "./backend.ts";

export interface SummaryReporterOptions {
  backend: Pick<AdminBackend, "metricsSnapshot" | "status">;
  logger: Logger;
  format: "text" | "kep" | "json";
}

/** Rates over less than this say little. */
const MIN_RATE_MS = 1000;

export class SummaryReporter {
  readonly #options: SummaryReporterOptions;
  #last: MetricsSnapshot | null = null;
  #beforeLast: MetricsSnapshot | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #reporting = false;

  constructor(options: SummaryReporterOptions) {
    this.#options = options;
  }

  /** Prints a line now and every `intervalMs`; with `null` only remembers where rates start. */
  async start(intervalMs: number | null): Promise<void> {
    if (intervalMs !== null) {
      this.#timer = setInterval(() => this.report(), intervalMs);
      await this.report();
    } else {
      this.#last = await this.#options.backend.metricsSnapshot().catch(() => null);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Prints one line. A core that does not answer is told once per line, as a warning. */
  async report(): Promise<void> {
    if (this.#reporting) return;
    this.#reporting = true;
    const { backend, logger, format } = this.#options;
    try {
      const [snapshot, status] = await Promise.all([backend.metricsSnapshot(), backend.status()]);
      const previous = this.#last;
      if (format === "kep") {
        logger.info(shortSummary(snapshot));
      } else if (format === "json") {
        logger.info("metrics", { metrics: summaryFields(previous, snapshot, status) });
      } else {
        logger.info(`Master Admin Metrics: ${summaryText(previous, snapshot, status)}`);
      }
      this.#beforeLast = previous;
      this.#last = snapshot;
    } catch (error) {
      logger.warning(`No metrics: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      this.#reporting = false;
    }
  }

  /** The text of `/metrics/summary`: rates since the last line, or the one before if that is new. */
  summary(current: MetricsSnapshot, status: MasterStatus): string {
    const isOld = this.#last !== null && current.timeMs - this.#last.timeMs >= MIN_RATE_MS;
    return summaryText(isOld ? this.#last : this.#beforeLast ?? this.#last, current, status);
  }
}

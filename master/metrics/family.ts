import type { MetricsSnapshot } from "./registry.ts";

/** Facts about the process that are not in a snapshot. */
export interface ProcessInfo {
  version: string;
  clusterId: string;
  /** Resident memory of the process. */
  rssBytes: number;
  uptimeSeconds: number;
}

/** Takes one sample; `labels` are label names and values in turn. */
export type Emit = (value: number, ...labels: string[]) => void;

export interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Whether it is written at all; without this it always is. */
  readonly isShown?: (snapshot: MetricsSnapshot) => boolean;
  /** Emits the samples. A histogram is written from the snapshot by the text writer. */
  readonly collect: (snapshot: MetricsSnapshot, emit: Emit, info: ProcessInfo) => void;
}

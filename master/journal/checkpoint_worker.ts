/** Entry of the Worker that folds one checkpoint and ends; see `checkpointer.ts`. */
import type { CoreConfig } from "../core/api.ts";
import { type Checkpoint, foldCheckpoint } from "./checkpoint.ts";

/** What the Worker is to do. Structured-cloneable. */
export interface CheckpointOrder {
  directory: string;
  through: number;
  config: CoreConfig;
}

/** What has become of it. */
export type CheckpointReport = { checkpoint: Checkpoint } | { failure: string };

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<CheckpointOrder>) => void;
  postMessage(report: CheckpointReport): void;
};

scope.onmessage = ({ data: { directory, through, config } }) => {
  try {
    scope.postMessage({ checkpoint: foldCheckpoint(directory, through, config) });
  } catch (error) {
    scope.postMessage({ failure: error instanceof Error ? error.message : String(error) });
  }
};

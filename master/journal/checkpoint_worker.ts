/** Entry of the Worker that folds one checkpoint and ends; see `checkpointer.ts`. */
import type { CoreConfig } from "../core/api.ts";
import { type Checkpoint, CheckpointFold } from "./checkpoint.ts";

/** What the Worker is to do, and with what: a fold, then the order of eviction in parts, then its end. */
export type CheckpointOrder =
  | { type: "fold"; directory: string; through: number; config: CoreConfig }
  | { type: "recency"; ids: Float64Array }
  | { type: "write" };

/** What has become of it. */
export type CheckpointReport = { checkpoint: Checkpoint } | { failure: string };

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<CheckpointOrder>) => void;
  postMessage(report: CheckpointReport): void;
};
const recency: Float64Array[] = [];
let fold: CheckpointFold | null = null;

scope.onmessage = ({ data: order }) => {
  try {
    if (order.type === "fold") {
      fold = new CheckpointFold(order.directory, order.through, order.config);
    } else if (order.type === "recency") {
      recency.push(order.ids);
    } else if (fold !== null) {
      scope.postMessage({ checkpoint: fold.write(recency) });
    }
  } catch (error) {
    scope.postMessage({ failure: error instanceof Error ? error.message : String(error) });
  }
};

/** Entry of the Worker that folds one checkpoint and ends; see `checkpointer.ts`. */
import type { CoreConfig } from "../core/api.ts";
import { type Checkpoint, CheckpointFold } from "./checkpoint.ts";

/** What the Worker is to do, and with what: a fold, then the order of eviction in parts, then its end. */
export type CheckpointOrder =
  | { type: "fold"; directory: string; through: number; config: CoreConfig; copies: string[] }
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
let copies: string[] = [];

/** A second name for a file, or a second file where there can be none. */
function linkOrCopy(path: string, copy: string): void {
  try {
    Deno.linkSync(path, copy);
  } catch {
    Deno.copyFileSync(path, copy);
  }
}

scope.onmessage = ({ data: order }) => {
  try {
    if (order.type === "fold") {
      copies = order.copies;
      fold = new CheckpointFold(order.directory, order.through, order.config);
    } else if (order.type === "recency") {
      recency.push(order.ids);
    } else if (fold !== null) {
      const checkpoint = fold.write(recency);
      for (const copy of copies) linkOrCopy(checkpoint.path, copy);
      scope.postMessage({ checkpoint });
    }
  } catch (error) {
    scope.postMessage({ failure: error instanceof Error ? error.message : String(error) });
  }
};

/** Entry of the Worker that does one {@linkcode FoldOrder} and ends. */
import { doFold, type FoldOrder, type FoldReport } from "./fold.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<FoldOrder>) => void;
  postMessage(report: FoldReport): void;
};

scope.onmessage = ({ data: order }) => {
  try {
    scope.postMessage({ mark: doFold(order) });
  } catch (error) {
    scope.postMessage({ failure: error instanceof Error ? error.message : String(error) });
  }
};

import assert from "node:assert/strict";
import { violations } from "../../master/core/invariants.ts";
import type { CoreState } from "../../master/core/state.ts";

/** Throws when anything in a core is inconsistent. Looks at everything: for small cores. */
export function checkCore(state: CoreState): void {
  for (const violation of violations(state)) assert.fail(violation);
}

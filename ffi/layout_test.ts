import assert from "node:assert/strict";
import { LAYOUT, readLayout } from "./layout.ts";
import { openLibrary } from "./library.ts";

const opened = openLibrary();
const reason = "unavailable" in opened ? opened.unavailable : null;

Deno.test({
  name: `the layout table equals what the compiled shim reports${reason ? ` (no: ${reason})` : ""}`,
  ignore: reason !== null,
  fn() {
    if ("unavailable" in opened) throw new Error(opened.unavailable);
    assert.deepEqual(readLayout(opened.symbols), LAYOUT);
  },
});

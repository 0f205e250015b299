/**
 * `deno task bench:transfer`: every figure of the transfers in one run, with the published wheel
 * beside ours, and what is asked of each. See `--help`.
 */
import { benchTransfers } from "./report.ts";
import { readOptions } from "./options.ts";

await benchTransfers(readOptions(Deno.args));

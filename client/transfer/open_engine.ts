import { openLibrary } from "../../ffi/library.ts";
import type { TransferEngine } from "./engine.ts";
import { NativeTransferEngine } from "./native_engine.ts";
import type { NativeTransferOptions } from "./native_options.ts";
import { TsTransferEngine } from "./ts_engine.ts";

/** An engine and, when it is not the C shim, the one-line reason why. */
export interface OpenedEngine {
  engine: TransferEngine;
  reason: string | null;
}

/** Leaves out what only the C shim has: threads, inline waits and a queue of its own. */
function typescriptEngine(
  options: NativeTransferOptions & { native?: string },
  reason: string,
): TransferEngine {
  const { native: _n, maxOps: _m, serverThreads: _s, inlineWaitUs: _i, ...rest } = options;
  const { rdma: _r, plugin: _p, log: _l, tls, ...tunables } = rest;
  if (tls !== undefined) throw new Error(`TLS needs the engine in C: ${reason}`);
  return new TsTransferEngine(tunables);
}

/**
 * Opens the best engine that this process can run: the C shim (compiled first if need be), else the
 * one in TypeScript, which has no TLS: `Error` when that is asked for. `native` chooses as
 * `SNOWSKIN_NATIVE` does: `off`, or the path of a library.
 */
export function openEngine(
  options: NativeTransferOptions & { native?: string } = {},
): OpenedEngine {
  if (!("Deno" in globalThis)) {
    const reason = "this is not Deno";
    return { engine: typescriptEngine(options, reason), reason };
  }
  const { native, ...tunables } = options;
  const library = openLibrary(native);
  if ("unavailable" in library) {
    const reason = library.unavailable;
    return { engine: typescriptEngine(tunables, reason), reason };
  }
  return { engine: new NativeTransferEngine(library, tunables), reason: null };
}

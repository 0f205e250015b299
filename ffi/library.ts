import { buildLibrary } from "./build.ts";
import { clockSymbols } from "./clock_symbols.ts";
import { deviceSymbols } from "./device_symbols.ts";
import { diskSymbols } from "./disk_symbols.ts";
import { engineSymbols } from "./engine_symbols.ts";
import { filesSymbols } from "./files_symbols.ts";
import { ABI_VERSION, layoutSymbols } from "./layout_symbols.ts";
import { memorySymbols } from "./memory_symbols.ts";
import { pluginSymbols } from "./plugin_symbols.ts";
import { rdmaSymbols } from "./rdma_symbols.ts";
import { rpcClientSymbols } from "./rpc_client_symbols.ts";
import { rpcSymbols } from "./rpc_symbols.ts";
import { tlsSymbols } from "./tls_symbols.ts";

const symbols = {
  ...layoutSymbols,
  ...engineSymbols,
  ...rdmaSymbols,
  ...pluginSymbols,
  ...filesSymbols,
  ...tlsSymbols,
  ...rpcSymbols,
  ...rpcClientSymbols,
  ...memorySymbols,
  ...clockSymbols,
  ...deviceSymbols,
  ...diskSymbols,
};

/** The loaded shim. Whoever opened it closes it, after everything that uses it. */
export interface Library extends Disposable {
  readonly path: string;
  readonly symbols: Deno.DynamicLibrary<typeof symbols>["symbols"];
  close(): void;
}

function firstLine(error: unknown): string {
  return error instanceof Error ? error.message.split("\n")[0] : String(error);
}

/** A library that is loaded, and how many have opened it. */
interface Loaded {
  readonly dynamic: Deno.DynamicLibrary<typeof symbols>;
  users: number;
}

/** By path. To load the shim takes the runtime tens of milliseconds, so those who open it share it. */
const loaded = new Map<string, Loaded>();

function load(path: string): Library | { unavailable: string } {
  const known = loaded.get(path);
  if (known !== undefined) return share(path, known);
  let dynamic: Deno.DynamicLibrary<typeof symbols>;
  try {
    dynamic = Deno.dlopen(path, symbols);
  } catch (error) {
    return { unavailable: `cannot load ${path}: ${firstLine(error)}` };
  }
  const version = dynamic.symbols.mc_abi_version();
  if (version !== ABI_VERSION) {
    dynamic.close();
    return { unavailable: `${path} has interface version ${version}, needed is ${ABI_VERSION}` };
  }
  return share(path, { dynamic, users: 0 });
}

function share(path: string, library: Loaded): Library {
  library.users++;
  loaded.set(path, library);
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    if (--library.users > 0) return;
    loaded.delete(path);
    library.dynamic.close();
  };
  return { path, symbols: library.dynamic.symbols, close, [Symbol.dispose]: close };
}

/**
 * Loads the C shim, compiling it first when that is needed and possible. Otherwise says in one line
 * why there is none. `choice` is `off` (never load it), the path of a library, or empty for the one
 * that belongs to this code; default is the environment variable `SNOWSKIN_NATIVE`.
 */
export function openLibrary(
  choice: string | undefined = Deno.env.get("SNOWSKIN_NATIVE"),
): Library | { unavailable: string } {
  if (choice === "off") return { unavailable: "SNOWSKIN_NATIVE is off" };
  if (choice) return load(choice);
  if (Deno.build.os !== "linux") return { unavailable: `it needs Linux, not ${Deno.build.os}` };
  const built = buildLibrary();
  return "path" in built ? load(built.path) : { unavailable: built.reason };
}

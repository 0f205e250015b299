import { openLibrary } from "../../ffi/library.ts";
import type { Connect } from "./connection.ts";
import { InlineConnection } from "./inline_connection.ts";
import { connectSocket } from "./socket_connection.ts";

/** Makes connections; disposing it waits for what is left of them. */
export interface Connector extends AsyncDisposable {
  readonly connect: Connect;
  /** Whether the C shim makes them. */
  readonly native: boolean;
}

/**
 * The best way to connect that this process has: the C shim (compiled first if need be), else
 * `node:net`. `native` chooses as `SNOWSKIN_NATIVE` does: `off`, or the path of a library.
 */
export function openConnector(native?: string): Connector {
  const library = "Deno" in globalThis ? openLibrary(native) : null;
  if (library === null || "unavailable" in library) {
    return {
      connect: connectSocket,
      native: false,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const open = new Set<Promise<void>>();
  const close = async () => {
    await Promise.all(open);
    library.close();
  };
  let closing: Promise<void> | null = null;
  return {
    connect: (target, owner) => {
      const connection = new InlineConnection(library.symbols, target, owner);
      const done = connection.done.finally(() => open.delete(done));
      open.add(done);
      return connection;
    },
    native: true,
    [Symbol.asyncDispose]: () => closing ??= close(),
  };
}

/** Opening an HTTP server, with a failure that says which one and why. */
import type { HttpAddress, ListenFailure } from "./worker_protocol.ts";
import type { Peer } from "./request_guard.ts";

/** A server could not listen. */
export class ListenError extends Error {
  override readonly name = "ListenError";

  constructor(readonly failure: ListenFailure) {
    super(failure.message);
  }
}

export type HttpServer = Deno.HttpServer<Deno.NetAddr>;

/** Serves one request that came from `peer`. */
export type Fetch = (request: Request, peer: Peer) => Response | Promise<Response>;

/** Listens at `address`. Throws {@linkcode ListenError}. */
export function listen(
  server: ListenFailure["server"],
  { host, port }: HttpAddress,
  fetch: Fetch,
  onFault: (error: unknown) => void,
): HttpServer {
  try {
    return Deno.serve({
      ...{ hostname: host, port, onListen() {} },
      onError(error) {
        onFault(error);
        return new Response("500 Internal Server Error", { status: 500 });
      },
    }, (request, info) => fetch(request, { host: info.remoteAddr.hostname }));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const inUse = error instanceof Deno.errors.AddrInUse;
    throw new ListenError({ server, host, port, inUse, message });
  }
}

/** Where a server listens. */
export function addressOf({ addr }: HttpServer): HttpAddress {
  return { host: addr.hostname, port: addr.port };
}

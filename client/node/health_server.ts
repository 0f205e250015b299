import { systemClock, within } from "../transfer/clock.ts";
import { lacksFamily } from "../transfer/port_choice.ts";
import type { StoreNode } from "./node.ts";

/** Answers whether a node lives and is ready, and how much it serves, over HTTP. */
export class HealthServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(server: Deno.HttpServer<Deno.NetAddr>) {
    this.#server = server;
  }

  /**
   * Serves `/health/live`, `/health/ready` and `/metrics` at the first of `hosts` that this machine
   * has. Throws `Deno.errors.AddrInUse` when the port is taken. `node` returns the node once there is
   * one.
   */
  static start(
    hosts: readonly string[],
    port: number,
    node: () => StoreNode | null,
  ): HealthServer {
    for (const [i, hostname] of hosts.entries()) {
      try {
        const options = { hostname, port, onListen: () => {} };
        return new HealthServer(Deno.serve(options, (request) => answer(request, node())));
      } catch (error) {
        if (i + 1 === hosts.length || !lacksFamily(error)) throw error;
      }
    }
    throw new RangeError("There is no address to serve health at");
  }

  get port(): number {
    return this.#server.addr.port;
  }

  /** Stops serving; a client in the middle of a request gets a second to finish. */
  [Symbol.asyncDispose](): Promise<void> {
    return within(systemClock, 1000, this.#server.shutdown());
  }
}

function answer(request: Request, node: StoreNode | null): Response {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("method not allowed\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  switch (new URL(request.url).pathname) {
    case "/health":
    case "/health/live":
      return new Response("OK\n");
    case "/health/ready":
      return node?.ready
        ? new Response("OK\n")
        : new Response("no segment is mounted or the master does not answer\n", { status: 503 });
    case "/metrics":
      return new Response(node === null ? "" : metricsText(node), {
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      });
    default:
      return new Response("not found\n", { status: 404 });
  }
}

/** The node's numbers in the Prometheus text format. */
export function metricsText(node: StoreNode): string {
  const { client } = node;
  const stats = client.transferStats();
  const lent = client.segments.reduce((sum, { size }) => sum + size, 0);
  const families: [name: string, type: string, help: string, value: number][] = [
    ["ready", "gauge", "1 while memory is lent to a master that answers", node.ready ? 1 : 0],
    ["segment_bytes", "gauge", "Memory lent to the pool", lent],
    ["segments", "gauge", "Segments mounted", client.segments.length],
    ["served_reads_total", "counter", "Reads served to peers", stats.servedReads],
    ["served_writes_total", "counter", "Writes served to peers", stats.servedWrites],
    ["served_read_bytes_total", "counter", "Bytes read by peers", stats.servedReadBytes],
    ["served_write_bytes_total", "counter", "Bytes written by peers", stats.servedWriteBytes],
    ["refused_total", "counter", "Requests refused for address, size or opcode", stats.refused],
    ["connections", "gauge", "Connections of peers", stats.connections],
  ];
  return families.map(([name, type, help, value]) => {
    const full = `snowskin_node_${name}`;
    return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${full} ${value}\n`;
  }).join("");
}

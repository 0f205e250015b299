import { systemClock, within } from "../transfer/clock.ts";
import type { MemorySurvey } from "../transfer/memory_maps.ts";
import { lacksFamily } from "../transfer/port_choice.ts";
import type { StoreNode } from "./node.ts";

/** How old an answer about the place of the memory may be: the kernel looks at every page for it. */
const SURVEY_AGE_MS = 10_000;

/** Answers whether a node lives and is ready, and how much it serves, over HTTP. */
export class HealthServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(server: Deno.HttpServer<Deno.NetAddr>) {
    this.#server = server;
  }

  /**
   * Serves `/health/live`, `/health/ready`, `/health/memory` and `/metrics` at the first of `hosts`
   * that this machine has. Throws `Deno.errors.AddrInUse` when the port is taken. `node` returns the node once there is
   * one.
   */
  static start(
    hosts: readonly string[],
    port: number,
    node: () => StoreNode | null,
  ): HealthServer {
    const surveys = new Surveys();
    for (const [i, hostname] of hosts.entries()) {
      try {
        const options = { hostname, port, onListen: () => {} };
        const serve = (request: Request) => answer(request, node(), surveys);
        return new HealthServer(Deno.serve(options, serve));
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

async function answer(
  request: Request,
  node: StoreNode | null,
  surveys: Surveys,
): Promise<Response> {
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
    case "/health/memory":
      return Response.json(surveyJson(await surveys.of(node)));
    case "/metrics":
      return new Response(node === null ? "" : metricsText(node, await surveys.of(node)), {
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      });
    default:
      return new Response("not found\n", { status: 404 });
  }
}

/** The node's numbers in the Prometheus text format. */
export function metricsText(node: StoreNode, survey: MemorySurvey | null): string {
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
    [
      "reads_fenced_total",
      "counter",
      "Reads refused because their address is of memory that is not lent, or not any more",
      stats.readsFenced,
    ],
    ["connections", "gauge", "Connections of peers", stats.connections],
  ];
  const text = families.map(([name, type, help, value]) => {
    const full = `snowskin_node_${name}`;
    return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${full} ${value}\n`;
  }).join("");
  return text + placeText("node", survey?.nodes, "Memory lent, by NUMA node") +
    placeText("page", survey?.pages, "Memory lent, by bytes of its pages");
}

function placeText(
  label: string,
  sums: ReadonlyMap<number, number> | undefined,
  help: string,
): string {
  if (sums === undefined) return "";
  const full = `snowskin_node_memory_by_${label}_bytes`;
  const samples = Array.from(sums, ([key, bytes]) => `${full}{${label}="${key}"} ${bytes}\n`);
  return `# HELP ${full} ${help}\n# TYPE ${full} gauge\n${samples.join("")}`;
}

/** `/health/memory`: bytes by node and by bytes of a page; `null` where that cannot be told. */
function surveyJson(survey: MemorySurvey | null): unknown {
  if (survey === null) return null;
  const { nodes, pages, locked } = survey;
  return { nodes: Object.fromEntries(nodes), pages: Object.fromEntries(pages), locked };
}

/** Looks where the memory lies, at most once in a while. */
class Surveys {
  #last: Promise<MemorySurvey | null> = Promise.resolve(null);
  #at = -Infinity;

  of(node: StoreNode | null): Promise<MemorySurvey | null> {
    if (node === null) return Promise.resolve(null);
    const now = systemClock.now();
    if (now - this.#at >= SURVEY_AGE_MS) {
      this.#at = now;
      this.#last = node.client.surveyMemory().catch(() => null);
    }
    return this.#last;
  }
}

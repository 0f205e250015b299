import { createServer, type Server } from "node:http";

const HOST = "127.0.0.1";

/** A metadata server over HTTP that lists its keys, as our masters do, in the memory of a test. */
export class MemoryMetadata implements AsyncDisposable {
  readonly values = new Map<string, string>();
  readonly #server: Server;
  url = "";

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const { searchParams } = new URL(request.url ?? "", `http://${HOST}`);
      let body = "";
      for await (const chunk of request) body += chunk;
      const prefix = searchParams.get("prefix");
      const key = searchParams.get("key") ?? "";
      const old = this.values.get(key);
      if (prefix !== null) {
        const keys = [...this.values.keys()].filter((one) => one.startsWith(prefix)).sort();
        response.end(JSON.stringify(keys));
      } else if (request.method === "PUT") {
        this.values.set(key, body);
        response.end();
      } else if (old === undefined) response.writeHead(404).end();
      else {
        if (request.method === "DELETE") this.values.delete(key);
        response.end(request.method === "GET" ? old : "");
      }
    });
  }

  static async start(): Promise<MemoryMetadata> {
    const store = new MemoryMetadata();
    await new Promise<void>((resolve) => store.#server.listen(0, HOST, resolve));
    const { port } = store.#server.address() as { port: number };
    store.url = `http://${HOST}:${port}/metadata`;
    return store;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

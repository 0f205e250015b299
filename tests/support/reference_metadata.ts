import { createServer, type Server } from "node:http";

const HOST = "127.0.0.1";

/** The metadata store of a reference master: keys as sent, and no replacing of another's `rpc_meta`. */
export class ReferenceMetadata implements AsyncDisposable {
  readonly values = new Map<string, string>();
  readonly #server: Server;
  url = "";

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const key = request.url?.split("?key=")[1] ?? "";
      let body = "";
      for await (const chunk of request) body += chunk;
      const old = this.values.get(key);
      let status = 200;
      if (request.method === "PUT") {
        const taken = key.includes("rpc_meta") && old !== undefined && old !== body;
        if (taken) status = 400;
        else this.values.set(key, body);
      } else if (old === undefined) status = 404;
      else if (request.method === "DELETE") this.values.delete(key);
      response.writeHead(status).end(status === 200 && request.method === "GET" ? old : "");
    });
  }

  static async start(): Promise<ReferenceMetadata> {
    const store = new ReferenceMetadata();
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

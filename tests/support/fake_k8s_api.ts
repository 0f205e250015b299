/** A fake of the Kubernetes API server: it knows Leases and replaces only the version it is told. */
import type { Lease } from "../../master/ha/k8s_client.ts";

export class FakeK8sApi implements AsyncDisposable {
  readonly leases = new Map<string, Lease>();
  readonly token: string;
  /** Answers every request with this status instead. */
  failWith: number | null = null;
  #version = 0;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(token = "") {
    this.token = token;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) => this.#answer(request),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const body = request.method === "GET" ? null : await request.json() as Lease;
    const refuse = (status: number) => Response.json({ kind: "Status", code: status }, { status });
    if (this.failWith !== null) return refuse(this.failWith);
    const authorization = request.headers.get("authorization") ?? "";
    if (this.token !== "" && authorization !== `Bearer ${this.token}`) return refuse(401);
    const path = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/
      .exec(new URL(request.url).pathname);
    if (path === null) return refuse(404);
    const key = `${path[1]}/${path[2] ?? body?.metadata.name}`;
    const present = this.leases.get(key);
    switch (request.method) {
      case "GET":
        return present === undefined ? refuse(404) : Response.json(present);
      case "POST":
        return present !== undefined ? refuse(409) : this.#put(key, body!, 201);
      case "PUT": {
        if (present === undefined) return refuse(404);
        const replaced = body!.metadata.resourceVersion;
        return replaced === present.metadata.resourceVersion ? this.#put(key, body!) : refuse(409);
      }
      default:
        return refuse(405);
    }
  }

  #put(key: string, lease: Lease, status = 200): Response {
    const times = [lease.spec.acquireTime, lease.spec.renewTime];
    if (times.some((time) => !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(time ?? ""))) {
      return Response.json({ message: "a time is malformed" }, { status: 422 });
    }
    const metadata = { ...lease.metadata, resourceVersion: String(++this.#version) };
    const kept = { ...lease, metadata };
    this.leases.set(key, kept);
    return Response.json(kept, { status });
  }
}

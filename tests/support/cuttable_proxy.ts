import { connect, createServer, type Server, type Socket } from "node:net";

/** Forwards one port to another until it is cut: then nothing passes, and nobody is told. */
export class CuttableProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut = false;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      const far = connect({ host: "127.0.0.1", port: target });
      for (const [from, to] of [[near, far], [far, near]]) {
        this.#sockets.add(from);
        from.on("data", (chunk: Uint8Array) => this.#cut || to.write(chunk));
        from.on("error", () => {});
        from.on("close", () => {
          this.#sockets.delete(from);
          if (!this.#cut) to.destroy();
        });
      }
    });
  }

  static async to(target: number): Promise<CuttableProxy> {
    const proxy = new CuttableProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  cut(): void {
    this.#cut = true;
  }

  /** Lets new connections through again; the old ones stay dead. */
  mend(): void {
    this.#cut = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

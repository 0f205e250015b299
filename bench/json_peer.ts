import { LocalProcess } from "../examples/local_cluster.ts";

/** A child process that answers each line of JSON on its stdin with one line on its stdout. */
export class JsonPeer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#lines = lines(child.stdout);
  }

  /** Starts the program and waits for its first line, which is returned as `hello`. */
  static async start<T>(
    command: string,
    args: string[],
    env: Record<string, string> = {},
  ): Promise<{ peer: JsonPeer; hello: T }> {
    const child = new Deno.Command(command, {
      args,
      env: { PYTHONDONTWRITEBYTECODE: "1", MC_LOG_LEVEL: "ERROR", GLOG_minloglevel: "2", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const peer = new JsonPeer(child);
    return { peer, hello: await peer.#next<T>() };
  }

  get pid(): number {
    return this.#child.pid;
  }

  async ask<T>(order: unknown): Promise<T> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(order) + "\n"));
    return await this.#next<T>();
  }

  async #next<T>(): Promise<T> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("The load generator ended early");
      if (value.startsWith("{")) return JSON.parse(value) as T;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

/** The reference's master on ports of its own; resolves when it accepts connections. */
export async function startReferenceMaster(
  program: string,
  rpcPort: number,
  metricsPort: number,
  flags: string[] = [],
): Promise<LocalProcess> {
  const process = new LocalProcess("reference master", program, [
    `--rpc_port=${rpcPort}`,
    "--rpc_address=127.0.0.1",
    `--metrics_port=${metricsPort}`,
    "--metrics_host=127.0.0.1",
    ...flags,
  ]);
  const deadline = performance.now() + 15_000;
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port: rpcPort })).close();
      return process;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

import { LocalProcess } from "../examples/local_cluster.ts";

/** A child process that answers each line of JSON on its stdin with one line on its stdout. */
export class JsonPeer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;
  readonly #complaints: Promise<void>;
  #complaint = "";

  private constructor(child: Deno.ChildProcess, readonly name: string) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#lines = lines(child.stdout);
    this.#complaints = this.#listen(child.stderr);
  }

  /** Starts the program and waits for its first line, which is returned as `hello`. */
  static async start<T>(
    command: string,
    args: string[],
    env: Record<string, string> = {},
    name = "The load generator",
  ): Promise<{ peer: JsonPeer; hello: T }> {
    const child = new Deno.Command(command, {
      args,
      env: { PYTHONDONTWRITEBYTECODE: "1", MC_LOG_LEVEL: "ERROR", GLOG_minloglevel: "2", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const peer = new JsonPeer(child, name);
    return { peer, hello: await peer.#next<T>() };
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Resolves with the answer; rejects with the text of an answer {"error"}, or when it has ended. */
  async ask<T>(order: unknown): Promise<T> {
    const line = new TextEncoder().encode(JSON.stringify(order) + "\n");
    await this.#input.write(line).catch(() => {}); // it has ended, which #next finds
    return await this.#next<T>();
  }

  async #next<T>(): Promise<T> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) {
        await this.#complaints;
        const { code, signal } = await this.#child.status;
        const why = this.#complaint === "" ? "" : `; its last line: ${this.#complaint}`;
        throw new Error(`${this.name} ended early with ${signal ?? `code ${code}`}${why}`);
      }
      if (!value.startsWith("{")) continue;
      const answer = JSON.parse(value);
      if (typeof answer.error === "string") throw new Error(answer.error);
      return answer as T;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
    await this.#lines.return?.();
    await this.#complaints;
  }

  /** Keeps the last line that it printed on stderr. */
  async #listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const line of lines(stream)) if (line.trim() !== "") this.#complaint = line.trim();
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

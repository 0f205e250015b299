/**
 * A master and store nodes as processes of this machine, started and stopped by a program.
 *
 * @example
 * ```ts ignore
 * await using cluster = await LocalCluster.start({ nodes: 2, nodeBytes: 256 << 20 });
 * console.log(cluster.masterAddress);
 * ```
 */
import { createServer } from "node:net";

const root = new URL("../", import.meta.url).pathname;

export interface LocalClusterOptions {
  nodes: number;
  /** Memory that each node lends. */
  nodeBytes: number;
  /** Further flags of the master. */
  masterFlags?: string[];
  /** Environment of every process. */
  env?: Record<string, string>;
  /** Called with each line that a process prints. */
  onLine?: (source: string, line: string) => void;
}

/**
 * Below what Linux takes ports of outgoing connections from, above what the wheel takes for itself.
 * `SNOWSKIN_TEST_PORTS=FIRST-LAST` is a part of them for each of several programs side by side.
 */
const [FIRST_PORT, LAST_PORT] = (Deno.env.get("SNOWSKIN_TEST_PORTS") ?? "20000-32000")
  .split("-").map(Number);
const givenPorts = new Set<number>();

/** A TCP port of the loopback interface that is free and that nobody in this process was given before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (givenPorts.has(port) || !await canListen(port)) continue;
    givenPorts.add(port);
    return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** One process whose output is read line by line. */
export class LocalProcess implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  readonly lines: string[] = [];
  #waiting: { pattern: RegExp; resolve: (line: string) => void }[] = [];
  #reading: Promise<unknown>;
  #exited: Deno.CommandStatus | null = null;

  constructor(
    readonly name: string,
    command: string,
    args: string[],
    options: { env?: Record<string, string>; onLine?: (source: string, line: string) => void } = {},
  ) {
    this.child = new Deno.Command(command, {
      args,
      env: { NO_COLOR: "1", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = (stream: ReadableStream<Uint8Array>) => this.#read(stream, options.onLine);
    this.#reading = Promise.all([read(this.child.stdout), read(this.child.stderr)]);
    this.child.status.then((status) => this.#exited = status);
  }

  get pid(): number {
    return this.child.pid;
  }

  get status(): Promise<Deno.CommandStatus> {
    return this.child.status;
  }

  /** Resolves with the first line that matches; rejects when the process ends or time runs out. */
  async line(pattern: RegExp, timeoutMs = 30_000): Promise<string> {
    const seen = this.lines.find((line) => pattern.test(line));
    if (seen !== undefined) return seen;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const failed = new Promise<never>((_, reject) => {
      const fail = (why: string) =>
        reject(new Error(`${this.name} ${why}:\n${this.lines.slice(-10).join("\n")}`));
      timer = setTimeout(
        () => fail(`printed no line like ${pattern} in ${timeoutMs} ms`),
        timeoutMs,
      );
      Promise.all([this.child.status, this.#reading]).then(() => fail("ended"));
    });
    try {
      return await Promise.race([
        failed,
        new Promise<string>((resolve) => this.#waiting.push({ pattern, resolve })),
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a signal, unless the process has ended. */
  kill(signal: Deno.Signal): void {
    if (this.#exited !== null) return;
    try {
      this.child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Waits for a line that says the process serves; a process that does not is ended. */
  async ready(pattern: RegExp, timeoutMs?: number): Promise<void> {
    try {
      await this.line(pattern, timeoutMs);
    } catch (error) {
      await this.stop("SIGKILL");
      throw error;
    }
  }

  /** Asks the process to end, then waits until it has. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<Deno.CommandStatus> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill("SIGKILL"), 10_000);
    const status = await this.child.status;
    clearTimeout(timer);
    await this.#reading;
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #read(
    stream: ReadableStream<Uint8Array>,
    onLine?: (source: string, line: string) => void,
  ): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#see(line, onLine);
    }
    if (rest !== "") this.#see(rest, onLine);
  }

  #see(line: string, onLine?: (source: string, line: string) => void): void {
    this.lines.push(line);
    if (this.lines.length > 1000) this.lines.splice(0, 500);
    onLine?.(this.name, line);
    this.#waiting = this.#waiting.filter(({ pattern, resolve }) => {
      if (!pattern.test(line)) return true;
      resolve(line);
      return false;
    });
  }
}

/**
 * Starts our master with `flags` on ports of its own; resolves when it serves. What it keeps is
 * deleted when it ends, unless `flags` say where it is kept.
 */
export async function startMaster(
  flags: string[] = [],
  options: {
    /** Where it listens; default 127.0.0.1. */
    host?: string;
    rpcPort?: number;
    metricsPort?: number;
    /** A command that runs the command behind it, as in `ip netns exec NAME`. */
    launcher?: readonly string[];
    /** How long it may take; default that of {@linkcode LocalProcess.line}. */
    readyMs?: number;
    env?: Record<string, string>;
    onLine?: (source: string, line: string) => void;
  } = {},
): Promise<{ process: LocalProcess; address: string; adminUrl: string }> {
  const host = options.host ?? "127.0.0.1";
  const [command, ...before] = [...options.launcher ?? [], Deno.execPath()];
  const rpcPort = options.rpcPort ?? await freePort();
  const metricsPort = options.metricsPort ?? await freePort();
  const placed = flags.some((flag) => /^--?(data_dir|durability)\b/.test(flag));
  const directory = placed ? null : await Deno.makeTempDir({ prefix: "snowskin-master-" });
  const process = new LocalProcess("master", command, [
    ...[...before, "run", "-A", `${root}master/main.ts`],
    ...[`--rpc_address=${host}`, `--rpc_port=${rpcPort}`],
    ...[`--metrics_host=${host}`, `--metrics_port=${metricsPort}`],
    ...(directory === null ? [] : [`--data_dir=${directory}`]),
    ...flags,
  ], options);
  if (directory !== null) {
    process.status.then(() => Deno.removeSync(directory, { recursive: true }));
  }
  await process.ready(/master ready/, options.readyMs);
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    process,
    address: `${shown}:${rpcPort}`,
    adminUrl: `http://${shown}:${metricsPort}`,
  };
}

/** Starts one store node that lends `bytes`; resolves when its segment is mounted. */
export async function startNode(
  master: string,
  bytes: number,
  options: {
    name?: string;
    /** Where it is reached; default 127.0.0.1. */
    host?: string;
    /** As that of {@linkcode startMaster}. */
    launcher?: readonly string[];
    readyMs?: number;
    flags?: string[];
    env?: Record<string, string>;
    onLine?: (source: string, line: string) => void;
  } = {},
): Promise<LocalProcess> {
  const [command, ...before] = [...options.launcher ?? [], Deno.execPath()];
  const process = new LocalProcess(options.name ?? "node", command, [
    ...[...before, "run", "-A", `${root}client/node/main.ts`],
    ...[`--master=${master}`, `--segment_size=${bytes}`],
    ...[`--host=${options.host ?? "127.0.0.1"}`, "--data_port=0"],
    ...(options.flags ?? []),
  ], options);
  await process.ready(/store node ready/, options.readyMs);
  return process;
}

/** A master with store nodes that lend it their memory. */
export class LocalCluster implements AsyncDisposable {
  private constructor(
    readonly master: LocalProcess,
    readonly masterAddress: string,
    readonly adminUrl: string,
    readonly nodes: LocalProcess[],
  ) {}

  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const shared = {
      ...(options.env && { env: options.env }),
      ...(options.onLine && { onLine: options.onLine }),
    };
    const master = await startMaster(options.masterFlags, shared);
    const starting = Array.from(
      { length: options.nodes },
      (_, i) => startNode(master.address, options.nodeBytes, { ...shared, name: `node ${i + 1}` }),
    );
    const results = await Promise.allSettled(starting);
    const nodes = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
    const cluster = new LocalCluster(master.process, master.address, master.adminUrl, nodes);
    const failure = results.find((result) => result.status === "rejected");
    if (failure !== undefined) {
      await cluster[Symbol.asyncDispose]();
      throw failure.reason;
    }
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.master.stop();
  }
}

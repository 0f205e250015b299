/** etcd and Redis from Debian, each with a directory of its own that goes with it. */
import { connect } from "node:net";
import { freePort, LocalProcess } from "../../examples/local_cluster.ts";
import { until } from "./until.ts";

/** Why a program is not here, or `null`. */
function absent(program: string, debianPackage: string): string | null {
  const { success } = new Deno.Command("sh", {
    args: ["-c", `command -v ${program}`],
    stdout: "null",
    stderr: "null",
  }).outputSync();
  return success ? null : `${program} is not installed (Debian: ${debianPackage})`;
}

export const etcdAbsent = absent("etcd", "etcd-server");
export const redisAbsent = absent("redis-server", "redis-server");

export const opensslAbsent = absent("openssl", "openssl");

/** Registers a test that needs a program; without it, it is skipped and its name says why. */
export function testWith(missing: string | null, name: string, fn: () => Promise<void>): void {
  const why = missing === null ? "" : ` (skipped: ${missing})`;
  Deno.test({ name: `${name}${why}`, ignore: missing !== null, fn });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("connect", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
  });
}

/** A server of another project, on one port and one directory across its lives. */
export class EngineServer implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-engine-" });
  #process: LocalProcess | null = null;

  private constructor(
    readonly port: number,
    readonly command: string,
    readonly args: (server: EngineServer) => string[],
  ) {}

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get process(): LocalProcess {
    return this.#process!;
  }

  /** `{port}` in a flag is the server's port. */
  static async etcd(...flags: string[]): Promise<EngineServer> {
    const peerPort = await freePort();
    const scheme = flags.some((flag) => flag.startsWith("--cert-file")) ? "https" : "http";
    const server = new EngineServer(await freePort(), "etcd", ({ port, directory }) => [
      ...["--data-dir", `${directory}/data`, "--log-level", "error"],
      ...["--listen-client-urls", `${scheme}://127.0.0.1:${port}`],
      ...["--advertise-client-urls", `${scheme}://127.0.0.1:${port}`],
      ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`],
      ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peerPort}`],
      ...["--initial-cluster", `default=http://127.0.0.1:${peerPort}`],
      ...flags.map((flag) => flag.replace("{port}", String(port))),
    ]);
    await server.start();
    return server;
  }

  /** The value of `--tls-port` becomes the server's port. */
  static async redis(...flags: string[]): Promise<EngineServer> {
    const secure = flags.includes("--tls-port");
    const server = new EngineServer(await freePort(), "redis-server", ({ port, directory }) => [
      ...(secure ? ["--port", "0"] : ["--port", String(port)]),
      ...["--bind", "127.0.0.1", "--dir", directory],
      ...["--appendonly", "yes", "--appendfsync", "always", "--save", ""],
      ...flags.map((flag, i) => flags[i - 1] === "--tls-port" ? String(port) : flag),
    ]);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    this.#process = new LocalProcess(this.command, this.command, this.args(this));
    await until(() => accepts(this.port), 10_000);
  }

  async stop(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    await this.#process?.stop(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGCONT");
    await this.stop();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** A master as a process of its own, served by either of its two RPC loops. */
import { connect, type Socket } from "node:net";
import { residentBytes } from "../../bench/process_stat.ts";
import { MasterClient } from "../../client/master_client.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { freePort, type LocalProcess, startMaster } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";

/** One of the loops that serve RPC, and how a master is told to use it. */
export interface LoopMode {
  name: string;
  env: Record<string, string>;
  /** Why it cannot run here, or `null`. */
  absent: string | null;
}

function nativeAbsent(): string | null {
  const library = openLibrary();
  if ("unavailable" in library) return library.unavailable;
  library.close();
  return null;
}

/** The native loop and the one on Deno's sockets. */
export const loopModes: readonly LoopMode[] = [
  { name: "native loop", env: {}, absent: nativeAbsent() },
  { name: "socket loop", env: { SNOWSKIN_NATIVE: "off" }, absent: null },
];

/** Registers a test for each loop; one that is absent is skipped, and its name says why. */
export function testEachLoop(name: string, fn: (mode: LoopMode) => Promise<void>): void {
  for (const mode of loopModes) {
    const why = mode.absent === null ? "" : ` (skipped: ${mode.absent})`;
    Deno.test({
      name: `${mode.name}: ${name}${why}`,
      ignore: mode.absent !== null,
      fn: () => fn(mode),
    });
  }
}

/** A running master and the connections of a test to it; disposing ends all of them. */
export class MasterProcess implements AsyncDisposable {
  readonly #clients = new Map<MasterClient, RpcClient>();
  readonly #sockets: Socket[] = [];

  private constructor(
    readonly process: LocalProcess,
    readonly rpcPort: number,
    readonly adminPort: number,
    /** Where metadata is served, `null` unless the mode of the test asks for it. */
    readonly metadataPort: number | null,
    /** From the start of the process to the line that says it is ready. */
    readonly readyMs: number,
  ) {}

  static async start(
    mode: LoopMode,
    flags: string[] = [],
    options: { metadata?: boolean; rpcPort?: number } = {},
  ): Promise<MasterProcess> {
    const { metadata = false, rpcPort = await freePort() } = options;
    const metricsPort = await freePort();
    const metadataPort = metadata ? await freePort() : null;
    const metadataFlags = metadata
      ? ["--http_metadata_server_host=127.0.0.1", `--http_metadata_server_port=${metadataPort}`]
      : [];
    const startedMs = performance.now();
    const { process } = await startMaster([...metadataFlags, ...flags], {
      ...{ rpcPort, metricsPort },
      env: mode.env,
    });
    const readyMs = performance.now() - startedMs;
    return new MasterProcess(process, rpcPort, metricsPort, metadataPort, readyMs);
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  get rssBytes(): number {
    return residentBytes(this.process.pid);
  }

  /** A client with a connection of its own. */
  connect(): MasterClient {
    const rpc = new RpcClient({
      ...{ host: "127.0.0.1", port: this.rpcPort, clock: systemClock },
      ...{ connectTimeoutMs: 5000, requestTimeoutMs: 20_000 },
    });
    const client = new MasterClient(rpc);
    this.#clients.set(client, rpc);
    return client;
  }

  /** Hangs up on behalf of a client; what it waits for fails. */
  async disconnect(client: MasterClient): Promise<void> {
    await this.#clients.get(client)?.close();
    this.#clients.delete(client);
  }

  /** A bare connection to one of the master's ports, or to none if the master refuses it. */
  dial(port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port });
      this.#sockets.push(socket);
      socket.once("connect", () => {
        socket.off("error", reject);
        socket.on("error", () => {});
        resolve(socket);
      });
      socket.once("error", reject);
    });
  }

  /** Ends the connections made by {@linkcode MasterProcess.dial}. */
  hangUp(): void {
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await Promise.all(Array.from(this.#clients.values(), (client) => client.close()));
    await this.process.stop();
  }
}

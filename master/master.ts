/** Wires one master: core, RPC loop, HTTP worker. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { HugePages } from "../ffi/huge_pages.ts";
import { type Library, openLibrary } from "../ffi/library.ts";
import { NativeError } from "../ffi/native_error.ts";
import { NativeRpcServer } from "../ffi/rpc_server.ts";
import { AdminCalls } from "./admin_calls.ts";
import { type MasterConfig, toCoreConfig } from "./config.ts";
import type { CoreConfig } from "./core/api.ts";
import { MasterCore } from "./core/core.ts";
import { ordinaryPages } from "./core/pages.ts";
import { SeededRng } from "./core/rng.ts";
import { HttpWorker } from "./http/core_bridge.ts";
import { ListenError } from "./http/listen.ts";
import { DataDirectory, DataDirectoryError } from "./journal/data_directory.ts";
import { type Durability, JournalError } from "./journal/journal.ts";
import { MasterJournal } from "./journal/master_journal.ts";
import type { Logger } from "./logger.ts";
import { LiveConfig } from "./live_config.ts";
import { MetricsRegistry } from "./metrics/registry.ts";
import { ClusterCalls } from "./rpc/cluster_calls.ts";
import { Dispatcher } from "./rpc/dispatcher.ts";
import { MovementCalls } from "./rpc/movement_calls.ts";
import { NativeLoop } from "./rpc/native_loop.ts";
import { ObjectCalls } from "./rpc/object_calls.ts";
import { Replies } from "./rpc/replies.ts";
import { openGate } from "./rpc/reply_gate.ts";
import { SocketLoop } from "./rpc/socket_loop.ts";

/** Connections of one master. */
const MAX_CONNECTIONS = 65_536;
/** Time the core may take to answer an HTTP request before it gets 503. */
const CORE_TIMEOUT_MS = 5000;

/** A server could not listen; `message` is one line that names the flag. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** Where a running master is reached. */
export interface MasterAddresses {
  rpc: { host: string; port: number };
  admin: { host: string; port: number };
  metadata: { host: string; port: number } | null;
}

type Loop = NativeLoop | SocketLoop;

/** A running master. {@linkcode Master.stop} ends what {@linkcode Master.run} does. */
export class Master {
  readonly addresses: MasterAddresses;
  /** `null`, or why the RPC port is served without the C shim. */
  readonly withoutShim: string | null;
  readonly #loop: Loop;
  readonly #http: HttpWorker;
  readonly #native: { server: NativeRpcServer; library: Library } | null;
  readonly #kept: Kept | null;

  private constructor(parts: {
    addresses: MasterAddresses;
    withoutShim: string | null;
    loop: Loop;
    http: HttpWorker;
    native: { server: NativeRpcServer; library: Library } | null;
    kept: Kept | null;
  }) {
    this.addresses = parts.addresses;
    this.withoutShim = parts.withoutShim;
    this.#loop = parts.loop;
    this.#http = parts.http;
    this.#native = parts.native;
    this.#kept = parts.kept;
  }

  /**
   * Recovers what `dataPath` holds (`null` = nothing is kept) and opens every port; throws
   * {@linkcode StartError} when one, or the directory, cannot be had.
   */
  static async start(
    config: MasterConfig,
    rpcHost: string,
    dataPath: string | null,
    logger: Logger,
  ): Promise<Master> {
    const clock = () => performance.now();
    const rng = new SeededRng(crypto.getRandomValues(new Uint32Array(1))[0]);
    const coreConfig = toCoreConfig(config, performance.timeOrigin);
    const library = openLibrary();
    const pages = "unavailable" in library ? ordinaryPages : new HugePages(library);
    const core = new MasterCore(coreConfig, rng, pages);
    const { durability } = config;
    const kept = dataPath === null || durability === null ? null : openKept(
      dataPath,
      { core, config: coreConfig, durability: durability.mode, clock },
      logger,
    );
    const journal = kept?.journal ?? null;
    const metrics = new MetricsRegistry();
    const replies = new Replies();
    const { maxKeyBytes, maxFrameBytes, putWaitMs, idleTimeoutMs, noDelay } = config.rpc;
    const onFault = (what: string, error: unknown) =>
      logger.error(`${what} failed: ${error instanceof Error ? error.stack : error}`);
    const onSize = (bytes: number) => metrics.observeValueSize(bytes);
    const calls = [
      ...new ObjectCalls(core, replies.writer, { maxKeyBytes, onSize }).entries(),
      ...new ClusterCalls(core, { storage: config.storage }).entries(),
      ...new MovementCalls(core).entries(),
    ];
    const dispatcher = new Dispatcher({
      functions: calls.map((entry) => ({ ...entry, meter: metrics.meter(entry.name) })),
      replies,
      putWaitMs,
      onFault,
      ...(journal !== null && { changes: () => journal.told }),
    });
    const settle = () => {
      const settled = journal === null || journal.commit();
      if (!settled) dispatcher.refuseChanges(journal.refusal);
      return settled;
    };
    const gate = journal === null ? openGate : {
      settle: () => void settle(),
      get isSyncing() {
        return journal.isSyncing;
      },
    };
    const host = isIP(rpcHost) ? rpcHost : (await lookup(rpcHost)).address;
    const server = {
      ...{ host, port: config.rpc.port, maxConnections: MAX_CONNECTIONS, maxFrameBytes },
      ...{ idleTimeoutSec: Math.ceil(idleTimeoutMs / 1000), tcpNoDelay: noDelay },
    };
    const tick = (nowMs: number) => {
      journal?.tick(nowMs);
      return core.tick(nowMs);
    };
    const common = { dispatcher, replies, gate, maxFrameBytes, clock, tick, onFault };

    const native = "unavailable" in library
      ? null
      : { library, server: openNative(library, server) };
    const socketLoop = native === null ? openSockets({ ...server, ...common }) : null;
    const serverStats = () => ({
      connections: native?.server.connections ?? socketLoop?.connections ?? 0,
      waitingWrites: dispatcher.waiting,
      writeWaits: dispatcher.waits,
      loopLagSeconds: loop.takeWorstBatchMs() / 1000,
    });
    const live = new LiveConfig({
      config,
      apply(next) {
        core.reconfigure(toCoreConfig(next, performance.timeOrigin));
        dispatcher.putWaitMs = next.rpc.putWaitMs;
        logger.minLevel = next.log.minLevel;
      },
      log: (line) => logger.info(line),
    });
    const admin = new AdminCalls({
      ...{ core, metrics, clock, serverStats, settle, live },
      onShutDown(reason) {
        logger.info(`stopping: ${reason}`);
        loop.stop();
      },
    });
    const http = new HttpWorker({
      core: admin,
      onFault: (error) => onFault("An admin call", error),
      onExit: (error) => logger.error(`Admin and metadata HTTP are gone: ${error.message}`),
    });
    const loop: Loop = socketLoop ??
      new NativeLoop({ server: native!.server, ...common, onWake: () => void http.drain() });
    core.onClientExpired = (segments) => {
      if (!config.metadata?.cleanupOnTimeout) return;
      for (const name of segments) http.forgetSegment(name);
    };

    try {
      const { settings, ...listening } = await startHttp(
        http,
        config,
        native?.server.wakeFd ?? null,
        kept?.tablesPath ?? null,
      );
      live.restore(settings);
      if (native === null) http.answerInEventLoop();
      const port = native?.server.port ?? socketLoop!.port;
      return new Master({
        addresses: { rpc: { host, port }, ...listening },
        withoutShim: "unavailable" in library ? library.unavailable : null,
        ...{ loop, http, native, kept },
      });
    } catch (error) {
      await http.stop();
      native?.server[Symbol.dispose]();
      socketLoop?.close();
      kept?.close();
      if (!(error instanceof ListenError)) throw error;
      throw new StartError(listenLine(error));
    }
  }

  /** Serves until {@linkcode stop} is called. */
  async run(): Promise<void> {
    await this.#loop.run();
    await this.#http.stop();
    this.#native?.server[Symbol.dispose]();
    this.#native?.library.close();
    this.#kept?.close();
  }

  stop(): void {
    this.#loop.stop();
  }
}

/** What outlives the process. */
interface Kept {
  readonly journal: MasterJournal;
  readonly tablesPath: string;
  close(): void;
}

function openKept(
  path: string,
  parts: {
    core: MasterCore;
    config: CoreConfig;
    durability: Exclude<Durability, "none">;
    clock: () => number;
  },
  logger: Logger,
): Kept {
  const directory = openDirectory(path);
  try {
    const journal = new MasterJournal({
      ...{ ...parts, directory: directory.journalPath },
      info: (line) => logger.info(line),
      warn: (line) => logger.warning(line),
    });
    return {
      journal,
      tablesPath: directory.tablesPath,
      close() {
        journal.close();
        directory[Symbol.dispose]();
      },
    };
  } catch (error) {
    directory[Symbol.dispose]();
    const flag = `--data_dir=${path}: the journal`;
    if (error instanceof JournalError) throw new StartError(`${flag} ${error.message}`);
    if (!(error instanceof Error && "code" in error)) throw error;
    throw new StartError(`${flag} cannot be read: ${error.message}`);
  }
}

function openDirectory(path: string): DataDirectory {
  try {
    const since = new Date().toISOString();
    return DataDirectory.open(path, { pid: Deno.pid, host: hostname(), since });
  } catch (error) {
    if (error instanceof DataDirectoryError) throw new StartError(error.message);
    throw error;
  }
}

function openNative(
  library: Library,
  options: ConstructorParameters<typeof NativeRpcServer>[1],
): NativeRpcServer {
  try {
    return new NativeRpcServer(library.symbols, options);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    throw new StartError(rpcLine(options, error.message.includes("EADDRINUSE"), error.message));
  }
}

function openSockets(options: ConstructorParameters<typeof SocketLoop>[0]): SocketLoop {
  try {
    return new SocketLoop(options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new StartError(rpcLine(options, error instanceof Deno.errors.AddrInUse, message));
  }
}

function rpcLine(at: { host: string; port: number }, inUse: boolean, message: string): string {
  return inUse ? takenLine("rpc_port", at) : `--rpc_address=${at.host}: cannot listen: ${message}`;
}

function listenLine({ failure }: ListenError): string {
  const flag = failure.server === "admin" ? "metrics" : "http_metadata_server";
  return failure.inUse
    ? takenLine(`${flag}_port`, failure)
    : `--${flag}_host=${failure.host}: cannot listen on port ${failure.port}: ${failure.message}`;
}

function takenLine(flag: string, { host, port }: { host: string; port: number }): string {
  return `--${flag}=${port}: already in use on ${host}; ` +
    "choose another port or stop the process that has it";
}

async function startHttp(
  http: HttpWorker,
  config: MasterConfig,
  wakeFd: number | null,
  tablesPath: string | null,
) {
  return await http.start({
    admin: config.admin,
    metadata: config.metadata,
    tablesPath,
    log: config.log,
    clusterId: config.clusterId,
    startedAtMs: performance.timeOrigin,
    coreTimeoutMs: CORE_TIMEOUT_MS,
    wakeFd,
    signals: ["SIGTERM", "SIGINT"],
  });
}

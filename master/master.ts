/** Wires one master: core, RPC loop, HTTP worker. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { HugePages } from "../ffi/huge_pages.ts";
import { type Library, openLibrary } from "../ffi/library.ts";
import { NativeError } from "../ffi/native_error.ts";
import { NativeRpcServer } from "../ffi/rpc_server.ts";
import { AdminCalls } from "./admin_calls.ts";
import { restoreAtStart, RestoreError } from "./backup/restore.ts";
import { Snapshotter } from "./backup/snapshotter.ts";
import { type MasterConfig, toCoreConfig } from "./config.ts";
import type { CoreConfig } from "./core/api.ts";
import { MasterCore } from "./core/core.ts";
import { diskParts } from "./disk.ts";
import { ordinaryPages } from "./core/pages.ts";
import { SeededRng } from "./core/rng.ts";
import { reachable } from "./ha/ha_config.ts";
import { forgetLogId } from "./ha/identity.ts";
import { ReplicatedCore } from "./ha/replicated_core.ts";
import { HaSeat, type SeatOutcome } from "./ha/seat.ts";
import { HttpWorker } from "./http/core_bridge.ts";
import { ListenError } from "./http/listen.ts";
import type { HttpWorkerConfig } from "./http/worker_protocol.ts";
import { DataDirectory, DataDirectoryError } from "./journal/data_directory.ts";
import { type Durability, JournalError } from "./journal/journal.ts";
import { MasterJournal } from "./journal/master_journal.ts";
import type { Logger } from "./logger.ts";
import { listenLine, rpcLine } from "./listen_lines.ts";
import { LiveConfig } from "./live_config.ts";
import { MetricsRegistry } from "./metrics/registry.ts";
import { KeyRing } from "./auth/key_ring.ts";
import { ClusterCalls } from "./rpc/cluster_calls.ts";
import { Dispatcher } from "./rpc/dispatcher.ts";
import { KeyDoor } from "./rpc/key_door.ts";
import { MovementCalls } from "./rpc/movement_calls.ts";
import { NativeLoop } from "./rpc/native_loop.ts";
import { ObjectCalls } from "./rpc/object_calls.ts";
import { Replies } from "./rpc/replies.ts";
import { openGate } from "./rpc/reply_gate.ts";
import { ScanCalls } from "./rpc/scan_calls.ts";
import { SocketLoop } from "./rpc/socket_loop.ts";
import { NamedDoor } from "./rpc/tenant_door.ts";
import { applyPolicies, loadPolicies, warnOfModels } from "./tenants/load_policies.ts";
import { PolicyError } from "./tenants/policy_yaml.ts";
import { VERSION } from "./version.ts";

/** Connections of one master. */
const MAX_CONNECTIONS = 65_536;
/** Calls of the HTTP side that are answered one after the other; each takes a millisecond at most. */
const ADMIN_CALLS_PER_TURN = 4;
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

/** An open RPC port. */
interface RpcSide {
  readonly loop: Loop;
  readonly server: NativeRpcServer | null;
  readonly port: number;
}

/** What a {@linkcode Master} is made of. */
interface MasterParts {
  addresses: MasterAddresses;
  withoutShim: string | null;
  /** Opens the RPC port; a standby does so when it is promoted. */
  openRpc: () => RpcSide;
  http: HttpWorker;
  library: Library | null;
  kept: Kept | null;
  seat: HaSeat | null;
  leading: ReplicatedCore | null;
  /** Called when this master of a cluster begins to lead. */
  onLead: () => void;
}

/** A running master. {@linkcode Master.stop} ends what {@linkcode Master.run} does. */
export class Master {
  readonly addresses: MasterAddresses;
  /** `null`, or why the RPC port is served without the C shim. */
  readonly withoutShim: string | null;
  readonly #parts: MasterParts;
  #rpc: RpcSide | null;

  private constructor(parts: MasterParts, rpc: RpcSide | null) {
    this.addresses = parts.addresses;
    this.withoutShim = parts.withoutShim;
    this.#parts = parts;
    this.#rpc = rpc;
    if (parts.seat !== null) parts.seat.onEnd = () => this.#rpc?.loop.stop();
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
    const loaded = openLibrary();
    const library = "unavailable" in loaded ? null : loaded;
    // Huge pages stay for the life of the process, in which a master of a cluster may begin anew.
    const pages = library === null || config.ha !== null ? ordinaryPages : new HugePages(library);
    const core = new MasterCore(coreConfig, rng, pages);
    const { durability } = config;
    const policies = withPolicies(() => loadPolicies(config.tenants, dataPath));
    const seat = config.ha === null ? null : openSeat(dataPath!, core, coreConfig, config, logger);
    const kept = dataPath === null || durability === null || seat !== null ? null : await openKept(
      dataPath,
      config,
      { core, config: coreConfig, durability: durability.mode, clock, library },
      logger,
    );
    const journal = kept?.journal ?? null;
    const snapshotter = kept?.snapshotter ?? null;
    const keys = new KeyRing(Date.now());
    const names = new NamedDoor(core);
    const door = config.requireAuth ? new KeyDoor(keys, names, config.tenants !== null) : names;
    const metrics = new MetricsRegistry();
    const replies = new Replies();
    const { maxKeyBytes, maxFrameBytes, putWaitMs, idleTimeoutMs, noDelay } = config.rpc;
    const onFault = (what: string, error: unknown) =>
      logger.error(`${what} failed: ${error instanceof Error ? error.stack : error}`);
    const onSize = (bytes: number) => metrics.observeValueSize(bytes);
    const calls = [
      ...new ObjectCalls(core, replies.writer, { maxKeyBytes, onSize, door }).entries(),
      ...new ClusterCalls(core, { storage: config.storage }).entries(),
      ...new MovementCalls(core, door).entries(),
      ...new ScanCalls(core, {
        maxListingBytes: maxFrameBytes,
        onRefusal: (line) => logger.info(line),
        door,
      }).entries(),
    ];
    const leading = seat === null ? null : new ReplicatedCore({
      ...{ core, replies, clock, send: (group) => seat.append(group) },
      refuseChanges: (why) => dispatcher.refuseChanges(why),
      onRefusal(why) {
        if (why === null) logger.info("changes are taken again: everything is in the log");
        else logger.warning(`changes are refused, reads go on: ${why}`);
      },
    });
    const dispatcher: Dispatcher = new Dispatcher({
      functions: calls.map((entry) => ({ ...entry, meter: metrics.meter(entry.name) })),
      replies,
      putWaitMs,
      onFault,
      ...(journal !== null && { changes: () => journal.told }),
      ...(leading !== null && { changes: () => leading.told }),
    });
    const settle = () => {
      const settled = journal === null || journal.commit();
      if (!settled) dispatcher.refuseChanges(journal.refusal);
      return settled;
    };
    const gate = leading !== null ? leading : journal === null ? openGate : {
      settle: () => void settle(),
      get isSyncing() {
        return journal.isSyncing;
      },
      get needsTurns() {
        return journal.needsTurns || (snapshotter?.isBusy ?? false);
      },
    };
    const host = isIP(rpcHost) ? rpcHost : (await lookup(rpcHost)).address;
    const server = {
      ...{ host, port: config.rpc.port, maxConnections: MAX_CONNECTIONS, maxFrameBytes },
      ...{ idleTimeoutSec: Math.ceil(idleTimeoutMs / 1000), tcpNoDelay: noDelay },
    };
    const tick = (nowMs: number) => {
      snapshotter?.tick(nowMs);
      keys.tick(performance.timeOrigin + nowMs);
      const more = journal?.tick(nowMs) ?? false;
      const delayMs = core.tick(nowMs);
      return more ? 0 : delayMs;
    };
    const common = { dispatcher, replies, gate, maxFrameBytes, clock, tick, onFault };

    const onWake = () => {
      seat?.drain();
      return http.drain(ADMIN_CALLS_PER_TURN) === ADMIN_CALLS_PER_TURN;
    };
    let rpc: RpcSide | null = null;
    const openRpc = () => {
      if (library === null) {
        const loop = openSockets({ ...server, ...common });
        rpc = { loop, server: null, port: loop.port };
      } else {
        const opened = openNative(library, server);
        const loop = new NativeLoop({ server: opened, ...common, onWake });
        rpc = { loop, server: opened, port: opened.port };
      }
      return rpc;
    };
    const connections = () =>
      rpc?.server?.connections ?? (rpc?.loop instanceof SocketLoop ? rpc.loop.connections : 0);
    const serverStats = () => ({
      connections: connections(),
      waitingWrites: dispatcher.waiting,
      writeWaits: dispatcher.waits,
      loopLagSeconds: (rpc?.loop.takeWorstBatchMs() ?? 0) / 1000,
      snapshots: snapshotter?.made ?? 0,
      snapshotFailures: snapshotter?.failed ?? 0,
      lastSnapshotSeconds: snapshotter?.newestSeconds ?? 0,
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
      ...{ core, metrics, clock, serverStats, keys, live, journal, snapshotter },
      settle: leading === null ? settle : () => leading.kept(),
      member: () => seat?.status ?? null,
      onShutDown(reason) {
        logger.info(`stopping: ${reason}`);
        seat?.stop();
        rpc?.loop.stop();
      },
    });
    const http = new HttpWorker({
      core: admin,
      onFault: (error) => onFault("An admin call", error),
      onExit: (error) => logger.error(`Admin and metadata HTTP are gone: ${error.message}`),
    });
    core.onClientExpired = (segments) => {
      if (!config.metadata?.cleanupOnTimeout) return;
      for (const name of segments) http.forgetSegment(name);
    };

    try {
      // A standby has no say: it registers tenants when it leads.
      if (policies !== null && seat === null) withPolicies(() => applyPolicies(core, policies));
      const first = openRpc();
      const port = first.port;
      // A standby takes no connections: clients look for another master at once then.
      if (seat !== null) rpc = closeRpc(first);
      const { settings, ...listening } = await startHttp(http, config, {
        wakeFd: seat === null ? first.server?.wakeFd ?? null : null,
        tablesPath: kept?.tablesPath ?? seat?.directory.tablesPath ?? null,
        haPath: seat?.directory.path ?? null,
        policies,
        auth: !config.requireAuth || kept === null
          ? null
          : { tablesPath: kept.tablesPath, auditPath: `${dataPath}/audit.log` },
      });
      live.restore(settings);
      warnOfModels(core, (line) => logger.warning(line));
      if (seat === null && library === null) http.answerInEventLoop();
      seat?.start(
        shownAddress("rpc_address", host, port, config.rpc.advertise),
        shownAddress("metrics_host", listening.admin.host, listening.admin.port, host),
      );
      return new Master({
        addresses: { rpc: { host, port }, ...listening },
        withoutShim: "unavailable" in loaded ? loaded.unavailable : null,
        ...{ openRpc, http, library, kept, seat, leading },
        onLead: () => policies !== null && withPolicies(() => applyPolicies(core, policies)),
      }, rpc);
    } catch (error) {
      await http.stop();
      if (rpc !== null) closeRpc(rpc);
      kept?.close();
      await seat?.close();
      if (!(error instanceof ListenError)) throw error;
      throw new StartError(listenLine(error));
    }
  }

  /**
   * Serves until {@linkcode stop} is called. Resolves with `true` when the process should start a
   * master anew instead of ending: this one has led, or its files were replaced.
   */
  async run(): Promise<boolean> {
    const { http, library, kept, seat } = this.#parts;
    try {
      if (seat === null) await this.#rpc!.loop.run();
      else await this.#runInCluster(seat);
    } finally {
      await Promise.all([http.stop(), seat?.close()]);
      this.#rpc?.server?.[Symbol.dispose]();
      kept?.close();
      library?.close();
    }
    return seat?.outcome === "over";
  }

  async #runInCluster(seat: HaSeat): Promise<void> {
    const { http, openRpc, leading, onLead } = this.#parts;
    let outcome: SeatOutcome;
    try {
      outcome = await seat.standBy(() => http.drain());
    } catch (error) {
      throw new StartError(error instanceof Error ? error.message : String(error));
    }
    if (outcome !== "promoted") return;
    seat.lead(leading!);
    onLead();
    const { loop, server } = this.#rpc = openRpc();
    if (server !== null) {
      seat.wakeBy(server.wakeFd);
      http.wakeBy(server.wakeFd);
    } else {
      http.answerInEventLoop();
      seat.takeInEventLoop(() => (loop as SocketLoop).sendReplies());
    }
    // What has come before the descriptor was known.
    http.drain();
    seat.drain();
    if (seat.outcome === null) await loop.run();
  }

  stop(): void {
    this.#parts.seat?.stop();
    this.#rpc?.loop.stop();
  }
}

/** Gives an RPC port back; `null`. */
function closeRpc({ loop, server }: RpcSide): null {
  if (loop instanceof SocketLoop) loop.close();
  server?.[Symbol.dispose]();
  return null;
}

/** The address of a server as the others of a cluster reach it. */
function shownAddress(flag: string, host: string, port: number, advertised: string): string {
  const shown = reachable(host, port, advertised) ?? reachable(advertised, port, "");
  if (shown !== null) return shown;
  throw new StartError(
    `--${flag}=${host}: others cannot reach a master there; with --enable_ha=true allowed: an ` +
      "address of this machine, or --rpc_advertise",
  );
}

function openSeat(
  dataPath: string,
  core: MasterCore,
  coreConfig: CoreConfig,
  config: MasterConfig,
  logger: Logger,
): HaSeat {
  const directory = openDirectory(dataPath);
  const { format, minLevel, prefix } = config.log;
  try {
    return new HaSeat({
      ...{ directory, core, config: coreConfig, ha: config.ha!, clusterId: config.clusterId },
      ...{ clock: () => performance.now(), log: { json: format === "json", minLevel, prefix } },
      info: (line) => logger.info(line),
      warn: (line) => logger.warning(line),
    });
  } catch (error) {
    directory[Symbol.dispose]();
    throw journalFailure(dataPath, error);
  }
}

/** What outlives the process. */
interface Kept {
  readonly journal: MasterJournal;
  readonly snapshotter: Snapshotter | null;
  readonly tablesPath: string;
  close(): void;
}

async function openKept(
  path: string,
  { snapshots, clusterId }: MasterConfig,
  parts: {
    core: MasterCore;
    config: CoreConfig;
    durability: Exclude<Durability, "none">;
    clock: () => number;
    library: Library | null;
  },
  logger: Logger,
): Promise<Kept> {
  const directory = openDirectory(path);
  const disk = diskParts(parts.library);
  const { tablesPath, journalPath } = directory;
  const lines = {
    info: (line: string) => logger.info(line),
    warn: (line: string) => logger.warning(line),
  };
  try {
    forgetLogId(directory.path);
    if (snapshots?.restore) await restoreAtStart(snapshots, directory, lines);
    const journal = new MasterJournal({ ...parts, ...disk, directory: journalPath, ...lines });
    const snapshotter = snapshots === null ? null : new Snapshotter({
      ...{ journal, policy: snapshots, clusterId, master: VERSION, tablesPath },
      ...{ clock: parts.clock, ...lines },
    });
    return {
      ...{ journal, snapshotter, tablesPath },
      close() {
        snapshotter?.stop();
        journal.close();
        disk[Symbol.dispose]();
        directory[Symbol.dispose]();
      },
    };
  } catch (error) {
    disk[Symbol.dispose]();
    directory[Symbol.dispose]();
    if (error instanceof RestoreError) throw new StartError(error.message);
    throw journalFailure(path, error);
  }
}

/** Why the journal of a directory cannot be used, if that is what `error` says. */
function journalFailure(path: string, error: unknown): unknown {
  const flag = `--data_dir=${path}: the journal`;
  if (error instanceof JournalError) return new StartError(`${flag} ${error.message}`);
  if (!(error instanceof Error && "code" in error)) return error;
  return new StartError(`${flag} cannot be read: ${error.message}`);
}

/** Does what reads or applies the quota file; a fault there is one of the start. */
function withPolicies<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PolicyError) throw new StartError(error.message);
    throw error;
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

async function startHttp(
  http: HttpWorker,
  config: MasterConfig,
  own: Pick<HttpWorkerConfig, "wakeFd" | "tablesPath" | "haPath" | "policies" | "auth">,
) {
  return await http.start({
    ...own,
    admin: config.admin,
    metadata: config.metadata,
    snapshots: config.snapshots,
    log: config.log,
    clusterId: config.clusterId,
    startedAtMs: performance.timeOrigin,
    coreTimeoutMs: CORE_TIMEOUT_MS,
    signals: ["SIGTERM", "SIGINT"],
  });
}

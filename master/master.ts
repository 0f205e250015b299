/** Wires one master: core, RPC loop, HTTP worker. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { monotonicClock } from "../ffi/clock.ts";
import { HugePages } from "../ffi/huge_pages.ts";
import { type Library, openLibrary } from "../ffi/library.ts";
import { NativeError } from "../ffi/native_error.ts";
import { NativeRpcServer } from "../ffi/rpc_server.ts";
import { AdminCalls } from "./admin_calls.ts";
import { type MasterConfig, toCoreConfig } from "./config.ts";
import { MasterCore } from "./core/core.ts";
import { ordinaryPages } from "./core/pages.ts";
import { SeededRng } from "./core/rng.ts";
import type { SeatOutcome } from "./ha/core_seat.ts";
import { reachable } from "./ha/ha_config.ts";
import { ReplicatedCore } from "./ha/replicated_core.ts";
import type { HaSeat } from "./ha/seat.ts";
import { HttpWorker } from "./http/core_bridge.ts";
import { ListenError } from "./http/listen.ts";
import type { HttpWorkerConfig } from "./http/worker_protocol.ts";
import { type Kept, openKept, openSeat, readOwnTables, StartError, withPolicies } from "./kept.ts";
import type { Logger } from "./logger.ts";
import { listenLine, rpcLine } from "./listen_lines.ts";
import { LiveConfig } from "./live_config.ts";
import { MetricsRegistry } from "./metrics/registry.ts";
import { firstKeyLine } from "./auth/api_key.ts";
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
import { WarmUp } from "./rpc/warm_up.ts";
import { ClusterTables } from "./tables/cluster_tables.ts";
import { applyPolicies, loadPolicies, warnOfModels } from "./tenants/load_policies.ts";
import { PolicyError } from "./tenants/policy_yaml.ts";

/** Connections of one master. */
const MAX_CONNECTIONS = 65_536;
/** Calls of the HTTP side that are answered one after the other; each takes a millisecond at most. */
const ADMIN_CALLS_PER_TURN = 4;
/** Time the core may take to answer an HTTP request before it gets 503. */
const CORE_TIMEOUT_MS = 5000;

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
  tables: ClusterTables | null;
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
    const rng = new SeededRng(crypto.getRandomValues(new Uint32Array(1))[0]);
    const coreConfig = toCoreConfig(config, performance.timeOrigin);
    const loaded = openLibrary();
    const library = "unavailable" in loaded ? null : loaded;
    const clock = library === null ? () => performance.now() : monotonicClock(library);
    // Huge pages stay for the life of the process, in which a master of a cluster may begin anew.
    const pages = library === null || config.ha !== null ? ordinaryPages : new HugePages(library);
    const core = new MasterCore(coreConfig, rng, pages);
    const { durability } = config;
    const read = withPolicies(() => loadPolicies(config.tenants, dataPath));
    const seat = config.ha === null ? null : openSeat(dataPath!, core, coreConfig, config, logger);
    const kept = dataPath === null || durability === null || seat !== null ? null : await openKept(
      dataPath,
      config,
      { core, config: coreConfig, durability: durability.mode, policies: read, clock, library },
      logger,
    );
    if (kept === null && seat === null) core.inheritHolds(clock());
    const policies = kept?.policies ?? read;
    const journal = kept?.journal ?? null;
    const snapshotter = kept?.snapshotter ?? null;
    const keys = new KeyRing(Date.now);
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
      onAcknowledged: () => tables?.flush(),
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
    let refusing = false;
    const settle = () => {
      if (journal === null) return true;
      const settled = journal.commit();
      // Who reads in the same batch may have seen the change.
      if (!settled && !refusing) replies.doubtReads();
      refusing = !settled;
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
    let tables: ClusterTables | null = null;
    let warmUp = config.values.warm_up ? new WarmUp(coreConfig, pages, clock) : null;
    const tick = (nowMs: number) => {
      snapshotter?.tick(nowMs);
      keys.tick(performance.timeOrigin + nowMs);
      const more = journal?.tick(nowMs) ?? false;
      const delayMs = core.tick(nowMs);
      if (warmUp !== null && !warmUp.step()) warmUp = null;
      return more || warmUp !== null ? 0 : delayMs;
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
      heldWaits: dispatcher.heldWaits,
      readHolds: core.holdsGranted,
      loopLagSeconds: (rpc?.loop.takeWorstBatchMs() ?? 0) / 1000,
      snapshots: snapshotter?.made ?? 0,
      snapshotFailures: snapshotter?.failed ?? 0,
      lastSnapshotSeconds: snapshotter?.newestSeconds ?? 0,
    });
    const live = new LiveConfig({
      config,
      apply(next) {
        core.reconfigure(toCoreConfig(next, performance.timeOrigin), clock());
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
    const own = seat === null
      ? null
      : await readOwnTables(core, seat, policies, config.requireAuth, logger);
    core.tables.view.shared = seat !== null;
    tables = seat === null ? null : new ClusterTables({
      ...{ core, keys, log: leading!, own: own!, tablesPath: seat.directory.tablesPath },
      follow: (name, text) => live.follow(name, text),
      publish: (changes) => http.publish(changes),
      onFirstKey: (text) => logger.always(firstKeyLine(text)),
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
        tablesPath: kept?.tablesPath ?? null,
        haPath: seat?.directory.path ?? null,
        policies,
        auth: config.requireAuth ? { auditPath: `${dataPath}/audit.log` } : null,
        checkpointToken: seat?.checkpointToken ?? null,
      });
      live.restore(settings);
      if (seat === null) warnOfModels(core, (line) => logger.warning(line));
      if (seat === null && library === null) http.answerInEventLoop();
      seat?.start(
        shownAddress("rpc_address", host, port, config.rpc.advertise),
        shownAddress("metrics_host", listening.admin.host, listening.admin.port, host),
      );
      return new Master({
        addresses: { rpc: { host, port }, ...listening },
        withoutShim: "unavailable" in loaded ? loaded.unavailable : null,
        ...{ openRpc, http, library, kept, seat, leading, tables },
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
    const { http, openRpc, leading, tables } = this.#parts;
    let outcome: SeatOutcome;
    try {
      outcome = await seat.standBy(() => {
        tables!.flush();
        http.drain();
      });
    } catch (error) {
      throw new StartError(error instanceof Error ? error.message : String(error));
    }
    if (outcome !== "promoted") return;
    seat.lead(leading!);
    try {
      await tables!.lead(Date.now(), () => {
        leading!.settle();
        seat.drain();
        return seat.outcome === null;
      });
    } catch (error) {
      throw error instanceof PolicyError ? new StartError(error.message) : error;
    }
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
  own: Pick<
    HttpWorkerConfig,
    "wakeFd" | "tablesPath" | "haPath" | "policies" | "auth" | "checkpointToken"
  >,
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

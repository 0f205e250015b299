import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Notification } from "../proto/handshake.ts";
import { uuidBytes } from "../proto/struct_pack/uuid.ts";
import { parseBandwidth } from "./bandwidth.ts";
import { BufferPool } from "./buffer_pool.ts";
import { type Connector, openConnector } from "./connection/open_connector.ts";
import { type StoreContext, writeNumbers } from "./context.ts";
import { absenceText } from "./leader/absence.ts";
import { type MasterAddress, parseMasterAddress } from "./leader/address.ts";
import { dialThrough } from "./leader/dial.ts";
import { LeaderClient } from "./leader/leader_client.ts";
import { openLeaderSource } from "./leader/open_source.ts";
import type { LeaderSource } from "./leader/source.ts";
import { MasterClient } from "./master_client.ts";
import { defaultConfig } from "./put_options.ts";
import { Hedges } from "./hedges.ts";
import { KnownPlaces } from "./known_places.ts";
import { ReplicaChoice } from "./replica_choice.ts";
import { ReservedPuts } from "./reserved_puts.ts";
import { CallError, RpcClient } from "./rpc_client.ts";
import { SegmentTable } from "./segments.ts";
import { MasterSession } from "./session.ts";
import { resolveSettings, settingTable, type StoreSettings } from "./settings.ts";
import { TaskRunner } from "./task_runner.ts";
import { type Clock, systemClock } from "./transfer/clock.ts";
import { TransferEndpoint } from "./transfer/endpoint.ts";
import type { TransferEngine } from "./transfer/engine.ts";
import { openMetadata, parseMetadataServer } from "./transfer/metadata_server.ts";
import { errorText } from "./transfer/error_text.ts";
import { type FileMemory, openFileMemory, whyNotPinned } from "./transfer/file_memory.ts";
import { type OpenedEngine, openEngine } from "./transfer/open_engine.ts";
import { findDevices } from "./transfer/rdma_devices.ts";
import { RdmaAbsentError, type RdmaOptions } from "./transfer/rdma_side.ts";
import { readTls, type TlsIdentity } from "./transfer/tls.ts";
import { chooseTransport } from "./transfer/transport_names.ts";
import { randomUuid } from "./uuid.ts";
import { ValueChecks } from "./value_checks.ts";

/**
 * Which implementation moves the bytes: the C shim, the one in TypeScript, or whichever is best here.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({ engine: "typescript" });
 * ```
 */
export type EngineChoice = "auto" | "native" | "typescript";

/**
 * What `StoreClient.connect` can be told; every member has a default.
 *
 * @example
 * ```ts ignore
 * const client = await StoreClient.connect({
 *   masterServerAddress: "10.0.0.1:50051",
 *   localHostname: "10.0.0.7",
 *   globalSegmentSize: "16gb",
 * });
 * ```
 */
export interface StoreOptions
  extends Partial<Omit<StoreSettings, "globalSegmentSize" | "localBufferSize">> {
  /** Memory to lend, in bytes or as text (`"16gb"`); default 0, a pure client. */
  globalSegmentSize?: number | string;
  /** Limit of `allocateBuffer`, in bytes or as text; default 16 MiB; 0 = a pure server. */
  localBufferSize?: number | string;
  /** Default `auto`: the C shim where it can be had. Node has only `typescript`. */
  engine?: EngineChoice;
  /** Have the system provide lent memory ahead of its first use; default false. */
  populate?: boolean;
  /** Receives lines about trouble with the master or the metadata server; default none. */
  log?: (line: string) => void;
  /** Called with each message that a peer leaves; throwing refuses the message. */
  onNotify?: (notification: Notification) => void;
  /** Time and timers; default those of the process. */
  clock?: Clock;
}

/** The parts of a connected client. */
export interface ClientParts {
  readonly settings: StoreSettings;
  readonly store: StoreContext;
  readonly rpc: MasterConnection;
  readonly connector: Connector;
  readonly endpoint: TransferEndpoint;
  readonly segments: SegmentTable;
  readonly tasks: TaskRunner;
  readonly session: MasterSession;
  readonly pool: BufferPool;
  /** What the lent memory is, when it is a device or a file. */
  readonly file: FileMemory | null;
}

/** Largest segment that is mounted as one; a larger one becomes several of one name. */
const MAX_SEGMENT_BYTES = 4 * 1024 ** 3;

/**
 * What of the memory is not lent when it comes in pages of a pool: each segment keeps a page of its
 * own beside its objects, and must not take one page of a gigabyte more for that.
 */
const POOLED_OVERHEAD = 64 * 1024;

/** How long a master that does not answer holds up the end of a client. */
const UNMOUNT_LIMIT_MS = 2000;

/**
 * Connects to a master and lends memory. Rejects as `StoreClient.connect` does, and leaves nothing
 * open then.
 */
export async function openClient(options: StoreOptions): Promise<ClientParts> {
  const settings = settingsOf(options);
  if (settings.globalSegmentSize === 0 && settings.localBufferSize === 0) {
    throw new StoreError(
      ErrorCode.INVALID_PARAMS,
      "A client with neither a segment nor a local buffer has nothing to do",
    );
  }
  const tls = tlsOf(settings);
  const clock = options.clock ?? systemClock;
  const connector = openConnector(options.engine === "typescript" ? "off" : undefined);
  const master = openMaster(settings, clock, options.log ?? (() => {}), connector);
  try {
    await master.client.checkVersion().catch((error) => {
      throw withAdvice(error, settings, master.rpc);
    });
    const file = mapFile(settings);
    const engine = await chooseEngine(options, settings, tls).catch((error) => {
      file?.[Symbol.dispose]();
      throw error;
    });
    const transfers = { engine, ...(tls && { tls }) };
    const parts = assemble(settings, options, clock, master, transfers, file);
    try {
      await lend(parts);
    } catch (error) {
      await closeClient(parts);
      throw error;
    }
    return parts;
  } catch (error) {
    await master.rpc.close();
    await connector[Symbol.asyncDispose]();
    throw error;
  }
}

/** Takes the memory back, leaves the metadata and gives every socket and timer up. */
export async function closeClient(parts: ClientParts): Promise<void> {
  parts.session.stop();
  parts.tasks.stop();
  await Promise.all([
    parts.store.reserved.close(UNMOUNT_LIMIT_MS),
    parts.segments.unmountAll(UNMOUNT_LIMIT_MS),
  ]);
  await parts.endpoint.close();
  parts.file?.[Symbol.dispose]();
  parts.store.hedges.slow.stop();
  parts.pool[Symbol.dispose]();
  await parts.rpc.close();
  await parts.connector[Symbol.asyncDispose]();
}

function settingsOf(options: StoreOptions): StoreSettings {
  const { log: _l, onNotify: _n, clock: _c, engine: _e, populate: _p, ...settings } = options;
  const { engine = "auto" } = options;
  if (!["auto", "native", "typescript"].includes(engine)) {
    throw new RangeError(
      `engine=${JSON.stringify(engine)} is refused; allowed: auto, native, typescript`,
    );
  }
  const given = new Map<keyof StoreSettings, { name: string; value: unknown }>();
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(settingTable, name)) throw new TypeError(`There is no store option ${name}`);
    given.set(name as keyof StoreSettings, { name, value });
  }
  return resolveSettings(given);
}

function rdmaOptions(settings: StoreSettings, log: (line: string) => void): RdmaOptions {
  return {
    ...findDevices(settings),
    serverName: `client-${newId()}`,
    log,
    port: settings.rdmaPort,
    gidIndex: settings.rdmaGidIndex,
    mtu: settings.rdmaMtu,
    serviceLevel: settings.rdmaServiceLevel,
    trafficClass: settings.rdmaTrafficClass,
    pkeyIndex: settings.rdmaPkeyIndex,
    ...(settings.rdmaQpsPerLink > 0 && { qpsPerLink: settings.rdmaQpsPerLink }),
    maxLinks: settings.rdmaMaxLinks,
    maxWr: settings.rdmaMaxWr,
    maxSge: settings.rdmaMaxSge,
    maxInline: settings.rdmaMaxInline,
    cqEntries: settings.rdmaCqEntries,
    sliceBytes: settings.rdmaSliceSize,
    spinUs: settings.rdmaSpinUs,
  };
}

/**
 * The engine with the transport that is asked for; `null` = any. Nothing takes its place, but TCP that
 * of RDMA which this machine has not, where that is allowed.
 */
function openWanted(
  { engine, log = () => {} }: StoreOptions,
  settings: StoreSettings,
): TransferEngine | null {
  const { protocol, allowFallback } = settings;
  try {
    const chosen = chooseTransport(protocol, settings);
    const wanted = chosen.kind === "rdma"
      ? { rdma: rdmaOptions(settings, log) }
      : chosen.kind === "plugin"
      ? { plugin: chosen }
      : null;
    if (wanted === null) return null;
    if (engine === "typescript") throw new Error("the engine in TypeScript has none but tcp");
    const opened = openEngine({ ...wanted, log });
    if (opened.reason === null) return opened.engine;
    throw chosen.kind === "rdma" ? new RdmaAbsentError(opened.reason) : new Error(opened.reason);
  } catch (cause) {
    if (allowFallback && cause instanceof RdmaAbsentError) {
      log(`protocol="rdma" cannot be had, bytes go over tcp (allowFallback): ${errorText(cause)}`);
      return null;
    }
    const message = `protocol=${JSON.stringify(protocol)} cannot be had: ${errorText(cause)}`;
    throw new StoreError(ErrorCode.INVALID_PARAMS, message, { cause });
  }
}

/** Who this process is in TLS; absent without. */
function tlsOf(settings: StoreSettings): TlsIdentity | undefined {
  const { tlsCertFile: certFile, tlsKeyFile: keyFile, tlsCaFile: caFile } = settings;
  if (certFile === "") return undefined;
  try {
    return readTls({ certFile, keyFile, caFile, handshakeTimeoutMs: settings.handshakeTimeoutMs });
  } catch (cause) {
    throw noTls(cause);
  }
}

function noTls(cause: unknown): StoreError {
  const message = `TLS cannot be had: ${errorText(cause)}`;
  return new StoreError(ErrorCode.INVALID_PARAMS, message, { cause });
}

function openSockets(
  engine: EngineChoice,
  tls: TlsIdentity | undefined,
  log: StoreOptions["log"],
): OpenedEngine {
  const native = engine === "typescript" ? { native: "off" } : {};
  try {
    return openEngine({ ...native, ...(log && { log }), ...(tls && { tls }) });
  } catch (cause) {
    throw tls === undefined ? cause : noTls(cause);
  }
}

async function chooseEngine(
  options: StoreOptions,
  settings: StoreSettings,
  tls: TlsIdentity | undefined,
): Promise<TransferEngine> {
  const wanted = openWanted(options, settings);
  if (wanted !== null) return wanted;
  const { engine = "auto", log } = options;
  const opened = openSockets(engine, tls, log);
  if (opened.reason === null || engine === "typescript") return opened.engine;
  if (engine === "native") {
    await opened.engine[Symbol.asyncDispose]();
    const message = `The native engine cannot be had: ${opened.reason}`;
    throw new StoreError(ErrorCode.INVALID_PARAMS, message);
  }
  log?.(`bytes are moved by the engine in TypeScript: ${opened.reason}`);
  return opened.engine;
}

/** Calls to the master, or to whichever leads. */
type MasterConnection = RpcClient | LeaderClient;

/** Opens calls to the master that settings name; nothing is asked of it yet. */
export function openMaster(
  settings: StoreSettings,
  clock: Clock,
  log: (line: string) => void,
  connector: Connector,
) {
  const { connect } = connector;
  const timeouts = {
    connectTimeoutMs: settings.rpcConnectTimeoutMs,
    requestTimeoutMs: settings.rpcTimeoutMs,
  };
  const address = parseMasterAddress(settings.masterServerAddress)!;
  const rpc: MasterConnection = address.kind === "one"
    ? new RpcClient({ host: address.host, port: address.port, clock, connect, ...timeouts })
    : new LeaderClient({
      source: openSource(address, settings, clock),
      dial: dialThrough(connect),
      ...{ clock, log, ...timeouts },
    });
  return { rpc, connector, client: new MasterClient(rpc) };
}

/** The failure of the first call to a master; of one that is not there it says what to do. */
export function withAdvice(
  error: unknown,
  settings: StoreSettings,
  rpc: MasterConnection,
): unknown {
  if (!(error instanceof CallError) || error.fate === "refused") return error;
  const { masterServerAddress: given, clusterId } = settings;
  const address = parseMasterAddress(given)!;
  const text = absenceText({ given, address, clusterId, leader: rpc.address }, error);
  return new StoreError(error.code, text, { cause: error });
}

function openSource(
  address: Exclude<MasterAddress, { kind: "one" }>,
  settings: StoreSettings,
  clock: Clock,
): LeaderSource {
  const { clusterId, haUser, haPassword, haTlsCa, haTlsCert, haTlsKey } = settings;
  return openLeaderSource(address, {
    ...{ clusterId, user: haUser, password: haPassword },
    ...{ tlsCa: haTlsCa, tlsCert: haTlsCert, tlsKey: haTlsKey },
  }, clock);
}

function metadataOf(settings: StoreSettings, clock: Clock, tls: TlsIdentity | undefined) {
  const server = parseMetadataServer("metadataServer", settings.metadataServer);
  const { metadataUser, metadataPassword, metadataDatabase, ...rest } = settings;
  const { metadataTlsCa, metadataTlsCert, metadataTlsKey } = rest;
  const metadata = openMetadata(server, {
    access: {
      ...{ user: metadataUser, password: metadataPassword, database: metadataDatabase },
      ...{ tlsCa: metadataTlsCa, tlsCert: metadataTlsCert, tlsKey: metadataTlsKey },
    },
    clusterId: settings.metadataClusterId,
    handshake: {
      clock,
      timeoutMs: settings.handshakeTimeoutMs,
      maxLength: settings.handshakeMaxLength,
      ...(tls && { tls }),
    },
  });
  return { metadata, named: server.kind !== "p2p" };
}

function assemble(
  settings: StoreSettings,
  options: StoreOptions,
  clock: Clock,
  master: { rpc: MasterConnection; connector: Connector; client: MasterClient },
  transfers: { engine: TransferEngine; tls?: TlsIdentity },
  file: FileMemory | null,
): ClientParts {
  const { engine, tls } = transfers;
  const log = options.log ?? (() => {});
  const clientId = newId();
  engine.setIdentity(uuidBytes(clientId));
  const endpoint = new TransferEndpoint({
    ...settings,
    ...transfers,
    ...metadataOf(settings, clock, tls),
    limits: parseBandwidth("bandwidth", settings.bandwidth),
    clock,
    random: Math.random,
    maxProtocolVersion: settings.tcpProtocolVersion,
    ...(options.onNotify && { onNotify: options.onNotify }),
    log,
  });
  const segments = new SegmentTable({
    master: master.client,
    endpoint,
    clock,
    clientId,
    localHostname: settings.localHostname,
    location: settings.deviceMemory,
    placement: settings,
    populate: options.populate ?? false,
    newId,
    log,
  });
  const choice = new ReplicaChoice(clock, Math.random() * 0x1_0000_0000);
  const tenantId = tenantBytes(settings);
  const store: StoreContext = {
    master: master.client,
    endpoint,
    choice,
    hedges: new Hedges(settings.hedgePercent),
    checks: new ValueChecks({ enabled: settings.storeChecksum, log }),
    places: new KnownPlaces(
      settings.storeChecksum ? settings.earlyReads : "off",
      settings.heldReads === "on",
    ),
    reserved: new ReservedPuts({
      ...{ choice: settings.reservedPuts, master: master.client, clock, clientId, tenantId },
      peers: choice,
    }),
    clock,
    clientId,
    tenantId,
    defaultConfig: defaultConfig(segments.hostId),
    transferTimeoutMs: settings.transferTimeoutMs,
    replicaPatienceMs: settings.replicaPatienceMs,
    opBudgetMs: settings.opBudgetMs,
    // A call may go on with the next leader for as long again as it takes to find it.
    answerWithinMs: master.rpc instanceof RpcClient
      ? settings.rpcConnectTimeoutMs + settings.rpcTimeoutMs
      : Infinity,
    beginWithinMs: settings.rpcTimeoutMs + settings.transferTimeoutMs,
    nextWriteId: writeNumbers(),
  };
  const tasks = new TaskRunner({ ...store, traffic: { priority: "low" } }, log);
  const session = new MasterSession(store, segments, tasks, { log, checked: true });
  if (master.rpc instanceof LeaderClient) master.rpc.onChange = () => session.hurry();
  return {
    settings,
    store,
    rpc: master.rpc,
    connector: master.connector,
    endpoint,
    segments,
    tasks,
    session,
    pool: new BufferPool(engine, settings.localBufferSize),
    file,
  };
}

function mapFile({ memoryFile, globalSegmentSize }: StoreSettings): FileMemory | null {
  if (memoryFile === "" || globalSegmentSize === 0) return null;
  try {
    return openFileMemory(memoryFile, globalSegmentSize);
  } catch (cause) {
    throw new StoreError(ErrorCode.INVALID_PARAMS, errorText(cause), { cause });
  }
}

async function lend({ settings, segments, session, file }: ClientParts): Promise<void> {
  const end = file === null ? 0n : file.address + BigInt(file.length);
  const pooled = ["2mb", "1gb"].includes(settings.hugepages);
  for (let left = settings.globalSegmentSize; left > 0;) {
    const size = Math.min(left, MAX_SEGMENT_BYTES);
    const lent = pooled && size >= 2 << 20 ? size - POOLED_OVERHEAD : size;
    await segments.mount(lent, file === null ? undefined : end - BigInt(left)).catch((cause) => {
      const why = file === null ? null : whyNotPinned(file, cause);
      throw why === null ? cause : new StoreError(ErrorCode.INVALID_PARAMS, why, { cause });
    });
    left -= size;
  }
  await session.start();
}

function newId(): string {
  return randomUuid((halves) => crypto.getRandomValues(halves));
}

/** The tenant as it goes on the wire, where there is no other place for a key. */
function tenantBytes({ tenantId, authKey }: StoreSettings): Uint8Array {
  return new TextEncoder().encode(authKey === "" ? tenantId : `${tenantId}:${authKey}`);
}

import { type Clock, systemClock } from "../client/transfer/clock.ts";
import type { Priority, Traffic } from "../client/transfer/door.ts";
import { type EndpointOperation, TransferEndpoint } from "../client/transfer/endpoint.ts";
import type { TransferStats } from "../client/transfer/engine.ts";
import { errorText } from "../client/transfer/error_text.ts";
import type { ChosenTransport } from "../client/transfer/transport_names.ts";
import {
  type HandshakeOptions,
  probe as probeAddress,
  sendNotification,
} from "../client/transfer/handshake_client.ts";
import { openMetadata } from "../client/transfer/metadata_server.ts";
import type { MetadataStore } from "../client/transfer/metadata_store.ts";
import { findDevices } from "../client/transfer/rdma_devices.ts";
import { openAccess } from "../client/transfer/service_access.ts";
import type { DevicePreference } from "../proto/metadata/segment_document.ts";
import { crc32c } from "../proto/crc32c.ts";
import { DEFAULT_MAX_HANDSHAKE_BYTES, type Notification } from "../proto/handshake.ts";
import { operationsOf, TransferBatch, type TransferRequest } from "./batch.ts";
import { EngineCode, EngineError } from "./engine_code.ts";
import { FileSegments, type FileToRegister, NVMEOF } from "./file_segments.ts";
import { type ExternalMemory, MemoryTable, type RegisteredMemory } from "./memory.ts";
import { checkOptions, refuse, type TransferEngineOptions } from "./options.ts";
import { Segment } from "./segment.ts";
import {
  missing,
  openTransports,
  tlsOf,
  type TransportName,
  transportNamed,
  type Transports,
} from "./transports.ts";

const MAX_NOTIFICATIONS = 1024;
const PRIORITIES: readonly Priority[] = ["high", "normal", "low"];
const TRANSFER_TIMEOUT_MS = 30_000;

/** How one batch is moved. */
export interface SubmitOptions {
  /** Milliseconds until what is not over fails with `TIMEOUT`; default that of the engine. */
  timeoutMs?: number;
  /** What has not begun when it is aborted ends with `CANCELLED`; what has begun is waited for. */
  signal?: AbortSignal;
  /** High ones are not held up by the others, low ones give way; default `normal`. */
  priority?: Priority;
}

interface Running {
  readonly transports: Transports;
  readonly endpoint: TransferEndpoint;
}

/**
 * Moves bytes between registered memory of this process and that of peers, ours or the reference's
 * engines. It needs no master.
 *
 * @example
 * ```ts ignore
 * await using engine = await TransferEngine.initialize({ localServerName: "10.0.0.7" });
 * const memory = await engine.registerMemory(64 << 20);
 * const segment = await engine.openSegment("10.0.0.8:15731");
 * const remoteAddress = segment.buffers[0].address;
 * const batch = engine.submitTransfer([
 *   { opcode: "read", segment, remoteAddress, local: memory, length: 4096 },
 * ]);
 * console.log(batch.poll()[0].state, await batch.wait());
 * ```
 */
export class TransferEngine implements AsyncDisposable {
  readonly #options: TransferEngineOptions;
  readonly #metadata: MetadataStore;
  readonly #named: boolean;
  readonly #handshake: HandshakeOptions;
  readonly #files: FileSegments;
  readonly #memory = new MemoryTable();
  readonly #segments = new Set<Segment>();
  readonly #notifications: Notification[] = [];
  #running: Running | null = null;
  #starting: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: TransferEngineOptions) {
    const server = checkOptions(options);
    const clock: Clock = options.clock ?? systemClock;
    const timeoutMs = options.handshakeTimeoutMs ?? 5000;
    this.#options = options;
    this.#named = server.kind !== "p2p";
    const tls = tlsOf(options);
    const maxLength = DEFAULT_MAX_HANDSHAKE_BYTES;
    this.#handshake = { clock, timeoutMs, maxLength, ...(tls && { tls }) };
    this.#metadata = openMetadata(server, {
      access: { ...openAccess, ...options.metadataLogin },
      clusterId: options.metadataClusterId ?? "",
      handshake: this.#handshake,
    });
    this.#files = new FileSegments(options, this.#metadata, clock);
  }

  /**
   * Opens an engine: ports are opened and the name is made known. `EngineError` with
   * `INVALID_ARGUMENT` for an option that is none or wrong, with the codes of
   * {@linkcode installTransport} for `protocol`, and with `METADATA` when the name cannot be made
   * known, as when it belongs to another living process. `protocol: "none"` leaves all that to
   * {@linkcode installTransport}.
   */
  static async initialize(options: TransferEngineOptions = {}): Promise<TransferEngine> {
    const engine = new TransferEngine(options);
    const { protocol = "tcp" } = options;
    try {
      if (protocol === "shm") refuse("protocol", protocol, "tcp, rdma, none, ...");
      if (protocol !== "none") await engine.installTransport(protocol);
      return engine;
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Makes a transport usable: `tcp`; `shm`, the memory of peers on this host; or one that has to be
   * the first: `rdma`, `libfabric`, `efa`, `cxi`, or any with `transportLibrary`. With these come
   * those of `tcp` and `shm` that can be had. `nvmeof` is for segments that are files, beside any. Nothing happens when it is there already. `EngineError`
   * with one line: `NOT_IMPLEMENTED` for a name that this build has no code for, with what is missing
   * for it, `DEVICE_NOT_FOUND` when a library or device is missing.
   */
  installTransport(name: string): Promise<void> {
    const installed = this.#starting.catch(() => {}).then(() => this.#install(name));
    this.#starting = installed.catch(() => {});
    return installed;
  }

  /** Transports that can be used now. */
  get transports(): readonly TransportName[] {
    const names = this.#running?.transports.names ?? [];
    return this.#files.installed ? [...names, NVMEOF] : names;
  }

  /**
   * The name under which peers open the memory of this engine: in P2P mode its address for handshakes,
   * else `localServerName`. Empty without a transport.
   */
  get localName(): string {
    return this.#running?.endpoint.name ?? "";
  }

  /**
   * Registers memory, or allocates that many zeroed bytes, and publishes it: peers may read and write
   * it. `EngineError`: `INVALID_ARGUMENT`, `ADDRESS_OVERLAPPED`, `MEMORY` when there is none,
   * `METADATA` when it cannot be made known; nothing is registered then.
   */
  async registerMemory(memory: number | ExternalMemory): Promise<RegisteredMemory> {
    return (await this.registerMemoryBatch([memory]))[0];
  }

  /** {@linkcode registerMemory} of several, of all or none. */
  async registerMemoryBatch(
    memories: readonly (number | ExternalMemory)[],
  ): Promise<RegisteredMemory[]> {
    const { endpoint } = this.#use();
    this.#memory.checkApart(memories);
    try {
      const regions = await endpoint.lendAll(memories);
      return regions.map((region, i) => this.#memory.add(region, memories[i]));
    } catch (cause) {
      throw new EngineError(codeOfLending(cause), `Cannot register memory: ${errorText(cause)}`, {
        cause,
      });
    }
  }

  /**
   * Takes memory back: when it resolves, peers are refused. Memory of the caller may be given up once
   * transfers with it are over, too. `ADDRESS_NOT_REGISTERED` when it is not registered.
   */
  async unregisterMemory(memory: RegisteredMemory): Promise<void> {
    await this.unregisterMemoryBatch([memory]);
  }

  /** {@linkcode unregisterMemory} of several. */
  async unregisterMemoryBatch(memories: readonly RegisteredMemory[]): Promise<void> {
    const { endpoint } = this.#use();
    for (const memory of memories) this.#memory.regionOf(memory);
    await endpoint.reclaim(...Array.from(new Set(memories), (one) => this.#memory.remove(one)));
  }

  /**
   * Publishes block devices or files as a segment, until they are taken back or the engine ends, in
   * place of what it had under that name: `nvmeof/` and anything. Other engines that have them, at the
   * paths of `localPaths`, read and write them there; nothing passes this process. The metadata have to
   * be kept by a service. `EngineError`: `INVALID_ARGUMENT`, `DEVICE_NOT_FOUND` for a path with neither,
   * `METADATA` when the name is in use or cannot be made known.
   */
  async registerFiles(name: string, files: readonly FileToRegister[]): Promise<void> {
    await this.#files.register(name, files, this.#use().endpoint.name);
  }

  /** Takes files back; who has them open goes on. `ADDRESS_NOT_REGISTERED` when they are not. */
  async unregisterFiles(name: string): Promise<void> {
    this.#use();
    await this.#files.unregister(name);
  }

  /**
   * Looks a segment up by its name, a peer's or one of files. `EngineError`: `METADATA` when there is
   * none, `DEVICE_NOT_FOUND` when this host has its files not, or they cannot be used.
   */
  async openSegment(name: string): Promise<Segment> {
    const { endpoint } = this.#use();
    const segment = await Segment.open(name, this.#metadata);
    if (segment.isFiles) await this.#files.reach(name, endpoint);
    this.#segments.add(segment);
    return segment;
  }

  /**
   * Closes a segment. With the last one of its name its connections end, and requests that are not
   * over fail with `SOCKET`.
   */
  closeSegment(segment: Segment): void {
    const { endpoint } = this.#use();
    if (!this.#segments.delete(segment)) return;
    const others = [...this.#segments].some(({ name }) => name === segment.name);
    if (!others) endpoint.release(segment.name);
  }

  /**
   * Begins requests and returns at once; they are over in any order. `EngineError`
   * `INVALID_ARGUMENT` or `ADDRESS_NOT_REGISTERED`, before any byte moves, when one is malformed.
   */
  submitTransfer(requests: readonly TransferRequest[], options: SubmitOptions = {}): TransferBatch {
    const { endpoint } = this.#use();
    const timeoutMs = this.#timeoutOf(options);
    const traffic = trafficOf(options);
    return new TransferBatch(
      this.#operations(requests),
      (operation, done) =>
        endpoint.begin(
          operation,
          timeoutMs,
          traffic,
          done,
          () => done(EngineCode.ADDRESS_NOT_REGISTERED),
        ),
    );
  }

  /**
   * Runs requests as one batch and resolves with the code of each, in order, when all are over:
   * cheaper than {@linkcode submitTransfer}. Rejects as that throws.
   */
  transferSync(
    requests: readonly TransferRequest[],
    options: SubmitOptions = {},
  ): Promise<EngineCode[]> {
    // No async function: each promise less is a microtask less, which small transfers feel.
    return new Promise((resolve, reject) => {
      const { endpoint } = this.#use();
      const operations = this.#operations(requests);
      const timeoutMs = this.#timeoutOf(options);
      const traffic = trafficOf(options);
      if (operations.length === 1) {
        const done = (code: EngineCode) => resolve([code]);
        endpoint.begin(operations[0], timeoutMs, traffic, done, reject);
        return;
      }
      const moved = endpoint.transfer(operations, timeoutMs, traffic);
      moved.then((codes) => resolve(Array.from(codes) as EngineCode[]), reject);
    });
  }

  /** One line on why a request ended with a code. */
  explain(request: TransferRequest, code: EngineCode): string {
    return this.#use().endpoint.explain(request.segment.name, code);
  }

  /**
   * Leaves a message with the engine behind a segment's name. `EngineError` `METADATA` when that is
   * not found, `REJECT_HANDSHAKE` when it does not take the message.
   */
  async notify(segmentName: string, message: string, from = this.localName): Promise<void> {
    this.#use();
    const { host, port } = await this.#addressOf(segmentName);
    try {
      await sendNotification(host, port, { name: from, message }, this.#handshake);
    } catch (cause) {
      throw new EngineError(EngineCode.REJECT_HANDSHAKE, errorText(cause), { cause });
    }
  }

  /** Takes the messages that peers have left, in the order of their arrival. */
  receiveNotifications(): Notification[] {
    return this.#notifications.splice(0);
  }

  /** Whether the engine behind a segment's name answers. Never rejects. */
  async probe(segmentName: string): Promise<boolean> {
    try {
      const { host, port } = await this.#addressOf(segmentName);
      return await probeAddress(host, port, this.#handshake);
    } catch {
      return false;
    }
  }

  /**
   * The RDMA devices of this machine by location of memory, such as `cpu:0`: those that lie close to
   * it and the others. `INVALID_ARGUMENT` for a `topologyFile` that is none.
   */
  getLocalTopology(): ReadonlyMap<string, DevicePreference> {
    const { deviceName = "", topologyFile = "" } = this.#options;
    try {
      return findDevices({ deviceName, topologyFile }).matrix;
    } catch (cause) {
      throw new EngineError(EngineCode.INVALID_ARGUMENT, errorText(cause), { cause });
    }
  }

  /** CRC-32C of bytes, by the shim where there is one. */
  crc32c(bytes: Uint8Array): number {
    const { crc32c: sum = crc32c } = this.#use().transports.mover;
    return sum(bytes, 0, bytes.length);
  }

  /** What this engine has served to peers. */
  stats(): TransferStats {
    return this.#use().transports.mover.stats();
  }

  /** Takes the name and the memory back and closes every connection. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#starting;
    this.#segments.clear();
    if (this.#running === null) await this.#metadata.close();
    else await this.#running.endpoint.close();
  }

  async #install(given: string): Promise<void> {
    if (this.#closed) throw closed();
    const chosen = transportNamed(given, this.#options);
    if (chosen.kind === "nvmeof") {
      const { transports } = this.#running ?? await this.#start("tcp", { kind: "tcp" });
      return this.#files.install(transports.mover);
    }
    const name = given;
    const running = this.#running ?? await this.#start(name, chosen);
    if (running.transports.names.includes(name)) return;
    if (name === "shm") throw missing(name, running.transports.noShm ?? "it is not there");
    throw new EngineError(
      EngineCode.INVALID_ARGUMENT,
      `Transport "${name}" has to be installed first: ${running.transports.names[0]} is running`,
    );
  }

  async #start(first: TransportName, chosen: ChosenTransport): Promise<Running> {
    const { tls } = this.#handshake;
    const transports = openTransports(first, chosen, this.#options, tls);
    transports.mover.setIdentity(crypto.getRandomValues(new Uint8Array(16)));
    const { localServerName = "127.0.0.1", advertisedHost = "", ports, log } = this.#options;
    const { bindAddress = "", forceTcp = false } = this.#options;
    const endpoint = new TransferEndpoint({
      engine: transports.mover,
      ...(tls && { tls }),
      metadata: this.#metadata,
      named: this.#named,
      clock: this.#handshake.clock,
      random: Math.random,
      localHostname: localServerName,
      advertisedHost,
      dataPort: 0,
      bindAddress,
      minPort: ports?.first ?? 15_000,
      maxPort: ports?.last ?? 17_000,
      handshakeTimeoutMs: this.#handshake.timeoutMs,
      handshakeMaxLength: this.#handshake.maxLength,
      maxProtocolVersion: 2,
      forceTcp,
      memcpy: true,
      localPaths: () => this.#files.localPaths(this.localName),
      onNotify: (notification) => this.#receive(notification),
      log: log ?? (() => {}),
    });
    this.#running = { transports, endpoint };
    try {
      await endpoint.start();
    } catch (cause) {
      this.#closed = true;
      await endpoint.close();
      const message = `Cannot start the transfer engine: ${errorText(cause)}`;
      throw new EngineError(EngineCode.METADATA, message, { cause });
    }
    return this.#running;
  }

  #use(): Running {
    if (this.#closed) throw closed();
    if (this.#running !== null) return this.#running;
    const message = 'No transport is installed: installTransport("tcp") does that';
    throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
  }

  #operations(requests: readonly TransferRequest[]): EndpointOperation[] {
    return operationsOf(requests, this.#memory, this.#segments);
  }

  #timeoutOf({ timeoutMs }: SubmitOptions): number {
    const ms = timeoutMs ?? this.#options.transferTimeoutMs ?? TRANSFER_TIMEOUT_MS;
    if (!Number.isInteger(ms) || ms < 1 || ms > 0x7fff_ffff) {
      refuse("timeoutMs", ms, `an integer from 1 to ${0x7fff_ffff}`);
    }
    return ms;
  }

  async #addressOf(segmentName: string) {
    try {
      return await this.#metadata.handshakeAddress(segmentName);
    } catch (cause) {
      throw new EngineError(EngineCode.METADATA, errorText(cause), { cause });
    }
  }

  /** Throwing refuses the message, which the sender learns. */
  #receive(notification: Notification): void {
    const { onNotify, maxNotifications = MAX_NOTIFICATIONS } = this.#options;
    if (onNotify !== undefined) return onNotify(notification);
    if (this.#notifications.length >= maxNotifications) throw new Error("too many messages wait");
    this.#notifications.push(notification);
  }
}

const NO_TRAFFIC: Traffic = {};

function trafficOf({ priority, signal }: SubmitOptions): Traffic {
  if (priority === undefined && signal === undefined) return NO_TRAFFIC;
  if (priority !== undefined && !PRIORITIES.includes(priority)) {
    refuse("priority", priority, PRIORITIES.join(", "));
  }
  return { ...(priority && { priority }), ...(signal && { signal }) };
}

function closed(): EngineError {
  return new EngineError(EngineCode.INVALID_ARGUMENT, "The transfer engine is closed");
}

function codeOfLending(cause: unknown): EngineCode {
  if (cause instanceof TypeError || cause instanceof RangeError) {
    return EngineCode.INVALID_ARGUMENT;
  }
  const errno = (cause as { errno?: unknown }).errno;
  return errno === "ENOMEM" || Math.abs(Number(errno)) === 12
    ? EngineCode.MEMORY
    : EngineCode.METADATA;
}

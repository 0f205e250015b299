import type { JsonValue } from "../../proto/json_exact.ts";
import { documentTimestamp, type SegmentDocument } from "../../proto/metadata/segment_document.ts";
import type { BufferDescriptor } from "../../proto/types.ts";
import { formatHostPort, parseHostPort } from "./address.ts";
import { within } from "./clock.ts";
import { TransferDoor, type TransferTraffic } from "./door.ts";
import type { EndpointOptions } from "./endpoint_options.ts";
import {
  type Done,
  type Failed,
  type MemoryPlacement,
  type PeerId,
  type Region,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
} from "./engine.ts";
import { errorText } from "./error_text.ts";
import { exchangeHandshake } from "./handshake_client.ts";
import { HandshakeServer } from "./handshake_server.ts";
import { type MemoryToLend, publishedRegion } from "./lent_memory.ts";
import { LentRegions, locationOf, type OwnMemory } from "./lent_regions.ts";
import { PeerDirectory, STALE_PEER_CODES } from "./peer_directory.ts";
import { listenAtChoice } from "./port_choice.ts";
import { TlsWatch } from "./tls.ts";

const NO_TRAFFIC: TransferTraffic = {};
const first = (done: Done) => ([code]: Int32Array) => done(code as TransferCode);

/** How often published documents are compared with what the metadata server holds. */
const GUARD_INTERVAL_MS = 5000;
const WITHDRAW_LIMIT_MS = 2000;

/** A transfer whose peer is given by the name under which it publishes its memory. */
export interface EndpointOperation extends TransferOperation {
  endpoint: string;
  /** Set when it was run again after it had failed: bytes of the first time may still come. */
  isRepeated?: boolean;
}

/** The peer of an operation before its endpoint has been looked up. */
export const UNKNOWN_PEER: PeerId = 0;

/**
 * This process as a transfer endpoint: an engine, the memory that it publishes, and the peers that
 * it moves bytes to and from. One port, for handshakes and data, is opened when the first memory is
 * published; a process that publishes none listens nowhere.
 */
export class TransferEndpoint {
  readonly engine: TransferEngine;
  readonly #options: EndpointOptions;
  readonly #door: TransferDoor;
  readonly #directory: PeerDirectory;
  readonly #tlsWatch: TlsWatch;
  readonly #lent: LentRegions;
  #starting: Promise<void> | null = null;
  #server: HandshakeServer | null = null;
  #name = "";
  /** Of handshakes and data; 0 before there is one. */
  #port = 0;
  #publishing: Promise<void> = Promise.resolve();
  #stopGuard: () => void = () => {};
  #closed = false;

  constructor(options: EndpointOptions) {
    this.engine = options.engine;
    this.#options = options;
    this.#door = new TransferDoor(options.engine, options.clock, options.limits);
    this.#lent = new LentRegions(() => options.clock.now(), options.engine.crc32c);
    const handshake = {
      clock: options.clock,
      timeoutMs: options.handshakeTimeoutMs,
      maxLength: options.handshakeMaxLength,
      ...(options.tls && { tls: options.tls }),
    };
    this.#tlsWatch = new TlsWatch(options.engine, options.clock, options.log, options.tls);
    this.#directory = new PeerDirectory(options.engine, options.metadata, {
      ...options,
      handshake: (host, port, type, body) => exchangeHandshake(host, port, type, body, handshake),
    });
  }

  /** The name that peers use for this process; empty until memory is published. */
  get name(): string {
    return this.#name;
  }

  /** Host under which this process is reached. */
  get host(): string {
    const { advertisedHost, localHostname } = this.#options;
    const host = advertisedHost || (parseHostPort(localHostname)?.host ?? localHostname);
    return host === "localhost" ? "127.0.0.1" : host;
  }

  /** Whether reads that are in flight end soon when they are told to. */
  get endsReads(): boolean {
    return this.engine.rdma === undefined && this.engine.plugin === undefined;
  }

  /** Serves peers without memory, too. Rejects as {@linkcode lend}. */
  async start(): Promise<void> {
    await this.#ensureStarted();
    await this.#publish();
  }

  /**
   * Allocates memory of `length` bytes and publishes it to peers; `location` is a device, or empty
   * for memory of the host, which lies as `placement` says. Rejects with `Error` when there is
   * no memory, no port, or the metadata cannot be stored; nothing is left behind then.
   */
  async lend(length: number, location = "", placement?: MemoryPlacement): Promise<Region> {
    return (await this.lendAll([{ length, location, ...(placement && { placement }) }]))[0];
  }

  /** {@linkcode lend} of several, allocated here or the caller's own, published as one change. */
  async lendAll(memories: readonly MemoryToLend[]): Promise<Region[]> {
    await this.#ensureStarted();
    const regions: Region[] = [];
    try {
      for (const memory of memories) regions.push(publishedRegion(this.engine, memory));
      this.#lent.add(regions);
      await this.#publish();
    } catch (error) {
      this.#lent.dispose(regions);
      throw error;
    }
    return regions;
  }

  /**
   * Takes published memory back and frees what was allocated; peers that still use it are refused.
   * Never rejects: a document that cannot be stored now is stored later.
   */
  async reclaim(...regions: readonly Region[]): Promise<void> {
    const lent = regions.filter((region) => this.#lent.has(region));
    if (lent.length === 0) return;
    this.#lent.dispose(lent);
    try {
      await this.#publish();
    } catch (error) {
      this.#options.log(`cannot publish the documents of ${this.#name}: ${errorText(error)}`);
    }
  }

  /** Finds a way to an endpoint now. Rejects with `Error` when there is none. */
  async reach(name: string): Promise<void> {
    await this.#directory.open(name);
  }

  /** Closes the connections to a peer; operations in flight with it complete with `SOCKET`. */
  release(name: string): void {
    this.#directory.close(name);
  }

  /** Puts documents back that somebody replaced or deleted. Never rejects. */
  async restoreDocuments(): Promise<void> {
    if (this.#name === "") return;
    try {
      if (await this.#options.metadata.restore()) {
        this.#options.log(`the documents of ${this.#name} had been changed and were put back`);
      }
    } catch (error) {
      this.#options.log(`cannot check the documents of ${this.#name}: ${errorText(error)}`);
    }
  }

  /**
   * Runs a batch and resolves with one {@linkcode TransferCode} per operation, in order. A peer that
   * moved to another port, and a connection that had died, cost one more attempt and no error.
   * Fills in the `peer` of each operation.
   */
  transfer(
    ops: readonly EndpointOperation[],
    timeoutMs: number,
    traffic?: TransferTraffic,
  ): Promise<Int32Array> {
    if (ops.length === 0) return Promise.resolve(new Int32Array(0));
    if (ops.length === 1) {
      return new Promise((resolve, reject) => {
        const done = (code: TransferCode) => resolve(Int32Array.of(code));
        this.begin(ops[0], timeoutMs, traffic, done, reject);
      });
    }
    if (this.#closed) return Promise.resolve(new Int32Array(ops.length).fill(TransferCode.SOCKET));
    for (let i = 0; i < ops.length; i++) {
      const op = ops[i];
      const peer = this.#isOwn(op) ? undefined : this.#directory.known(op.endpoint);
      if (peer === undefined) return this.#transferMixed(ops, timeoutMs, traffic);
      op.peer = peer;
    }
    return this.#run(ops, timeoutMs, traffic);
  }

  /** {@linkcode transfer} of one operation without a promise, as {@linkcode TransferEngine.begin}. */
  begin(
    op: EndpointOperation,
    timeoutMs: number,
    traffic: TransferTraffic | undefined,
    done: Done,
    failed: Failed,
  ): void {
    if (this.#closed) return done(TransferCode.SOCKET);
    const peer = this.#isOwn(op) ? undefined : this.#directory.known(op.endpoint);
    if (peer === undefined) {
      return void this.#transferMixed([op], timeoutMs, traffic).then(first(done), failed);
    }
    op.peer = peer;
    const { clock } = this.#options;
    // Read when the bytes are on their way: what fails before that has taken no time.
    let startedAt = Infinity;
    this.#door.begin(op, timeoutMs, traffic ?? NO_TRAFFIC, (code) => {
      if (code === TransferCode.OK) return done(code);
      const passedMs = Math.max(0, clock.now() - startedAt);
      this.#secondTry([op], Int32Array.of(code), timeoutMs - passedMs, traffic)
        .then(first(done), failed);
    }, failed);
    startedAt = clock.now();
  }

  /** The lent memory that a descriptor names, or `null` when it is that of another process. */
  ownMemory(buffer: BufferDescriptor): OwnMemory | null {
    if (this.#name === "" || buffer.transportEndpoint !== this.#name) return null;
    return this.#lent.find(buffer.bufferAddress, buffer.size);
  }

  /** Keeps a writer out of lent memory, as {@linkcode TransferEngine.fence}. */
  fence(address: bigint, length: number, keepMs: number, writer: Uint8Array): Promise<boolean> {
    if (!this.#lent.fence(address, length, keepMs)) return Promise.resolve(false);
    return this.engine.fence(address, length, keepMs, writer);
  }

  /** Why operations with an endpoint fail, for a message. */
  explain(endpoint: string, code: number): string {
    const failure = this.#directory.failureOf(endpoint);
    if (code === TransferCode.METADATA && failure !== undefined) return failure.message;
    const name = Object.entries(TransferCode).find(([, value]) => value === code)?.[0];
    const why = this.#directory.troubleOf(endpoint) ||
      this.#tlsWatch.about(this.#directory.addressOf(endpoint));
    return `the transfer with ${endpoint} ended with ${name ?? "code"} ${code}${why}`;
  }

  /**
   * Withdraws the documents, stops serving and frees all memory. A metadata server that does not
   * answer is waited for two seconds. Never rejects.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopGuard();
    this.#tlsWatch.stop();
    this.#door.close();
    await within(this.#options.clock, WITHDRAW_LIMIT_MS, this.#withdraw());
    await this.#options.metadata.close();
    this.#server?.close();
    this.#directory.clear();
    this.#lent.dispose(this.#lent.all);
    await this.engine[Symbol.asyncDispose]();
  }

  async #withdraw(): Promise<void> {
    await this.#starting?.catch(() => {});
    await this.#publishing.catch(() => {});
    if (this.#name === "") return;
    try {
      await this.#options.metadata.withdraw();
    } catch (error) {
      this.#options.log(`cannot withdraw the documents of ${this.#name}: ${errorText(error)}`);
    }
  }

  async #ensureStarted(): Promise<void> {
    this.#starting ??= this.#start();
    try {
      await this.#starting;
    } catch (error) {
      this.#starting = null;
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { metadata, clock, onNotify } = this.#options;
    const { rdma } = this.engine;
    if (this.#port === 0) {
      const server = this.#server = new HandshakeServer({
        clock,
        timeoutMs: this.#options.handshakeTimeoutMs,
        maxLength: this.#options.handshakeMaxLength,
        document: () => metadata.handshakeAnswer(),
        ...(onNotify && { onNotify }),
        ...(rdma && { onConnection: (body: JsonValue) => rdma.accept(body) }),
      });
      this.#port = await listenAtChoice(
        this.#options,
        this.host,
        (at) =>
          this.engine.listen({
            ...at,
            onHandshake: (socket, first) => server.accept(socket, first),
          }),
      );
    }
    this.#name = this.#chooseName(this.#port);
    if (rdma) rdma.serverName = this.#name;
    if (this.#options.named) this.#guard();
  }

  #chooseName(port: number): string {
    const { named, localHostname } = this.#options;
    const given = parseHostPort(localHostname);
    if (named && given !== null && given.port !== null) return localHostname;
    return formatHostPort(this.host, port);
  }

  #guard(): void {
    this.#stopGuard = this.#options.clock.after(GUARD_INTERVAL_MS, async () => {
      await this.#publishing.catch(() => {});
      await this.restoreDocuments();
      if (!this.#closed) this.#guard();
    });
  }

  #publish(): Promise<void> {
    const { metadata } = this.#options;
    const handshake = { host: this.host, port: this.#port };
    this.#publishing = this.#publishing.catch(() => {}).then(() =>
      metadata.publish(this.#document(), handshake)
    );
    return this.#publishing;
  }

  #document(): SegmentDocument {
    const { rdma, plugin } = this.engine;
    const devices = rdma === undefined ? [] : [...rdma.devices];
    return {
      name: this.#name,
      protocols: [rdma === undefined ? "tcp" : "rdma"],
      buffers: this.#lent.all.map((region) => {
        const keys = rdma?.keysOf(region) ?? { rkeys: [], lkeys: [] };
        return {
          name: rdma === undefined ? this.#name : locationOf(region) ?? rdma.location,
          addr: region.remoteBase ?? 0n,
          length: region.length,
          protocol: "",
          ...keys,
          ...(plugin && { key: plugin.keyOf(region) }),
        };
      }),
      tcpDataHost: this.host,
      tcpDataPort: this.#port,
      tcpProtoVersion: 2,
      localName: this.#options.forceTcp ? "" : this.engine.localName,
      ...(plugin && { plugin: { name: plugin.name, address: plugin.address } }),
      ...(this.#options.tls && { tls: true }),
      rdmaServerName: "",
      devices,
      priorities: rdma?.priorities ?? new Map(),
      timestamp: documentTimestamp(this.#options.clock.wallTime()),
    };
  }

  /** Whether both ends are memory that this thread can copy. */
  #isOwn(op: EndpointOperation): boolean {
    if (!this.#options.memcpy || op.endpoint !== this.#name || this.#name === "") return false;
    if (!(op.local instanceof Uint8Array) && op.local.device !== undefined) return false;
    return this.#lent.find(op.remoteAddress, op.length)?.local.device === undefined;
  }

  async #run(
    ops: readonly EndpointOperation[],
    timeoutMs: number,
    traffic: TransferTraffic | undefined,
  ): Promise<Int32Array> {
    const { clock } = this.#options;
    const startedAt = clock.now();
    const codes = await this.#door.transfer(ops, timeoutMs, traffic);
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === TransferCode.OK) continue;
      return await this.#secondTry(ops, codes, timeoutMs - (clock.now() - startedAt), traffic);
    }
    return codes;
  }

  async #secondTry(
    ops: readonly EndpointOperation[],
    codes: Int32Array,
    restMs: number,
    traffic: TransferTraffic | undefined,
  ): Promise<Int32Array> {
    if (restMs >= 1 && !this.#closed) await this.#retry(ops, codes, Math.floor(restMs), traffic);
    return codes;
  }

  /** Copies within this process, runs what goes to known peers, and looks the others up meanwhile. */
  async #transferMixed(
    ops: readonly EndpointOperation[],
    timeoutMs: number,
    traffic: TransferTraffic | undefined,
  ): Promise<Int32Array> {
    const codes = new Int32Array(ops.length);
    const known: number[] = [];
    const unknown = new Map<string, number[]>();
    for (const [i, op] of ops.entries()) {
      if (this.#isOwn(op)) codes[i] = this.#lent.copy(op);
      else if (this.#directory.known(op.endpoint) !== undefined) known.push(i);
      else if (!unknown.get(op.endpoint)?.push(i)) unknown.set(op.endpoint, [i]);
    }
    await Promise.all([
      this.#runSome(ops, known, codes, timeoutMs, traffic),
      ...Array.from(unknown, async ([name, which]) => {
        const { clock } = this.#options;
        const startedAt = clock.now();
        await within(clock, timeoutMs, this.#directory.open(name), traffic?.signal);
        const restMs = Math.floor(timeoutMs - (clock.now() - startedAt));
        if (traffic?.signal?.aborted) { for (const i of which) codes[i] = TransferCode.CANCELLED; }
        else if (restMs >= 1) await this.#runSome(ops, which, codes, restMs, traffic);
        else for (const i of which) codes[i] = TransferCode.TIMEOUT;
      }),
    ]);
    return codes;
  }

  /** Runs some of the operations, with peers that were looked up, and sets their codes. */
  async #runSome(
    ops: readonly EndpointOperation[],
    which: readonly number[],
    codes: Int32Array,
    timeoutMs: number,
    traffic: TransferTraffic | undefined,
  ): Promise<void> {
    const found: number[] = [];
    for (const i of which) {
      const peer = this.#directory.known(ops[i].endpoint);
      if (peer === undefined) codes[i] = TransferCode.METADATA;
      else {
        ops[i].peer = peer;
        found.push(i);
      }
    }
    if (found.length === 0) return;
    const results = await this.#run(found.map((i) => ops[i]), timeoutMs, traffic);
    found.forEach((i, at) => codes[i] = results[at]);
  }

  /** Runs failed operations once more where that can help, and updates their codes. */
  async #retry(
    ops: readonly EndpointOperation[],
    codes: Int32Array,
    timeoutMs: number,
    traffic: TransferTraffic | undefined,
  ): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.now();
    const moved = new Map<string, boolean>();
    const suspects = new Set<string>();
    for (let i = 0; i < ops.length; i++) {
      if (STALE_PEER_CODES.includes(codes[i])) suspects.add(ops[i].endpoint);
    }
    const lookups = Array.from(suspects, async (name) => {
      moved.set(name, await this.#directory.refresh(name).catch(() => false));
    });
    if (suspects.size > 0) await within(clock, timeoutMs, Promise.all(lookups), traffic?.signal);
    const restMs = Math.floor(timeoutMs - (clock.now() - startedAt));
    if (restMs < 1) return;
    const again: number[] = [];
    for (let i = 0; i < ops.length; i++) {
      const { endpoint } = ops[i];
      const peer = this.#directory.known(endpoint);
      if (!STALE_PEER_CODES.includes(codes[i]) || peer === undefined) continue;
      if (codes[i] !== TransferCode.SOCKET && moved.get(endpoint) !== true) continue;
      ops[i].peer = peer;
      ops[i].isRepeated = true;
      again.push(i);
    }
    if (again.length === 0) return;
    const results = await this.#door.transfer(again.map((i) => ops[i]), restMs, traffic);
    again.forEach((i, at) => codes[i] = results[at]);
  }
}

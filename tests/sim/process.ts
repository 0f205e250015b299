/** A client or store node: the real client code on a simulated clock, wire and engine. */
import { type StoreContext, writeNumbers } from "../../client/context.ts";
import { Hedges } from "../../client/hedges.ts";
import { KnownPlaces } from "../../client/known_places.ts";
import { MasterClient } from "../../client/master_client.ts";
import { defaultConfig } from "../../client/put_options.ts";
import { ReplicaChoice } from "../../client/replica_choice.ts";
import { ReservedPuts } from "../../client/reserved_puts.ts";
import { SegmentTable } from "../../client/segments.ts";
import { MasterSession } from "../../client/session.ts";
import { TaskRunner } from "../../client/task_runner.ts";
import { type Clock, pause } from "../../client/transfer/clock.ts";
import { TransferEndpoint } from "../../client/transfer/endpoint.ts";
import type { EndpointOptions } from "../../client/transfer/endpoint_options.ts";
import type { Region } from "../../client/transfer/engine.ts";
import type { OwnMemory } from "../../client/transfer/lent_regions.ts";
import { ValueChecks } from "../../client/value_checks.ts";
import type { MetadataStore } from "../../client/transfer/metadata_store.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { BufferDescriptor, Segment, Uuid } from "../../proto/types.ts";
import type { Random } from "../support/random.ts";
import type { ControlPlane } from "./control_plane.ts";
import { type Fabric, SimEngine } from "./fabric.ts";
import type { Profile } from "./profile.ts";
import type { Host, Scheduler } from "./scheduler.ts";

/** How long a node waits before it tries to mount again. */
const MOUNT_PAUSE_MS = 300;

/** The clock of one process: its timers die with it. */
class HostClock implements Clock {
  readonly #skewMs: number;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly host: Host,
    random: Random,
  ) {
    this.#skewMs = random.below(1_000_000);
  }

  now(): number {
    return this.scheduler.nowMs + this.#skewMs;
  }

  wallTime(): number {
    return this.now();
  }

  after(ms: number, run: () => void): () => void {
    const timer = this.scheduler.after(ms, this.host, run);
    return () => timer.cancelled = true;
  }
}

/** An endpoint whose memory is reached through a fabric instead of sockets. */
class SimEndpoint extends TransferEndpoint {
  readonly #name: string;
  readonly #engine: SimEngine;

  constructor(options: EndpointOptions & { engine: SimEngine }) {
    super(options);
    this.#name = options.localHostname;
    this.#engine = options.engine;
  }

  override get name(): string {
    return this.#name;
  }

  override lend(length: number): Promise<Region> {
    return Promise.resolve(this.#engine.allocate(length, { publish: true }));
  }

  override reclaim(region: Region): Promise<void> {
    region[Symbol.dispose]();
    return Promise.resolve();
  }

  override ownMemory(buffer: BufferDescriptor): OwnMemory | null {
    if (buffer.transportEndpoint !== this.#name) return null;
    const own = this.#engine.find(buffer.bufferAddress, buffer.size);
    return own && { local: own.region, localOffset: own.offset, length: buffer.size };
  }
}

/** Names of the form `host:port` are their own addresses. */
const namesAreAddresses: MetadataStore = {
  lookup: (name) => {
    const [host, port] = name.split(":");
    const document = {
      ...{ name, protocols: ["tcp"], buffers: [], tcpDataHost: host, tcpDataPort: Number(port) },
      ...{
        tcpProtoVersion: 2,
        localName: "",
        rdmaServerName: "",
        devices: [],
        priorities: new Map(),
      },
      timestamp: "",
    };
    return Promise.resolve({ document, dataHost: host });
  },
  handshakeAddress: () => Promise.reject(new Error("nobody shakes hands here")),
  publish: () => Promise.resolve(),
  restore: () => Promise.resolve(false),
  withdraw: () => Promise.resolve(),
  handshakeAnswer: () => null,
  close: () => Promise.resolve(),
};

export interface ProcessOptions {
  scheduler: Scheduler;
  fabric: Fabric;
  random: Random;
  master: ControlPlane;
  profile: Profile;
  host: Host;
  /** `host:port`; a process that comes back keeps it. */
  name: string;
  clientId: Uuid;
  /** Segments to lend. */
  segments: number;
  log: (line: string) => void;
}

/** One life of a process. */
export class StoreProcess {
  readonly store: StoreContext;
  readonly segments: SegmentTable;
  readonly host: Host;
  readonly clientId: Uuid;
  readonly #options: ProcessOptions;
  readonly #session: MasterSession;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.host = options.host;
    this.clientId = options.clientId;
    const { scheduler, fabric, random, profile, host, name, clientId, log } = options;
    const clock = new HostClock(scheduler, host, random);
    const engine = new SimEngine(fabric, host);
    fabric.engines.set(name, engine);
    const link = options.master.connect(host, clock, log);
    const master = new MasterClient(link.rpc);
    const endpoint = new SimEndpoint({
      ...{ engine, clock, log, metadata: namesAreAddresses, named: false },
      ...{ random: () => random.u32() / 0x1_0000_0000, localHostname: name, advertisedHost: "" },
      ...{ dataPort: 1, bindAddress: "", minPort: 1, maxPort: 1 },
      ...{ handshakeTimeoutMs: 1000, handshakeMaxLength: 1 << 20 },
      ...{ maxProtocolVersion: 2, memcpy: true, forceTcp: false },
    });
    const choice = new ReplicaChoice(clock, random.u32());
    const tenantId = new TextEncoder().encode("default");
    const reserves = profile.reservesPuts && profile.numbersWrites;
    this.store = {
      ...{ master, endpoint, clock, clientId, choice },
      hedges: new Hedges(5),
      places: new KnownPlaces(
        profile.remembersPlaces && profile.checksValues ? "on" : "off",
        profile.takesHolds,
      ),
      checks: new ValueChecks({ enabled: profile.checksValues, log }),
      reserved: new ReservedPuts({
        ...{ choice: reserves ? "on" : "off", master, clock, clientId, tenantId, peers: choice },
      }),
      tenantId,
      defaultConfig: defaultConfig(""),
      transferTimeoutMs: profile.transferTimeoutMs,
      replicaPatienceMs: 50,
      ...{ opBudgetMs: 60_000, answerWithinMs: Infinity },
      beginWithinMs: profile.requestTimeoutMs + profile.transferTimeoutMs,
      nextWriteId: profile.numbersWrites ? writeNumbers() : () => 0,
    };
    this.segments = new SegmentTable({
      ...{
        master,
        endpoint,
        clock,
        clientId,
        localHostname: name,
        location: "",
        populate: false,
        log,
      },
      newId: () => `${random.u32()}-${random.u32()}`,
    });
    const tasks = new TaskRunner(this.store, log);
    this.#session = new MasterSession(this.store, this.segments, tasks, { log, checked: false });
    link.onChange = () => this.#session.hurry();
  }

  /** Begins the session and lends what there is to lend. */
  async start(): Promise<void> {
    void this.#session.start();
    for (let i = 0; i < this.#options.segments; i++) await this.mount();
  }

  /** Lends a segment, however long the master is away. */
  async mount(): Promise<Segment> {
    for (;;) {
      try {
        return await this.segments.mount(this.#options.profile.segmentBytes);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        await pause(this.store.clock, MOUNT_PAUSE_MS);
      }
    }
  }

  /** Takes a segment back, at once or gracefully, however long that takes, and lends another one. */
  async replaceSegment(graceMs: number): Promise<void> {
    const [segment] = this.segments.segments;
    if (segment === undefined) return;
    const { signal } = new AbortController();
    for (let gone = false; !gone;) {
      try {
        await this.segments.unmount(segment.id, graceMs, signal);
        gone = true;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        gone = error.code === ErrorCode.SEGMENT_NOT_FOUND;
        if (!gone) await pause(this.store.clock, MOUNT_PAUSE_MS);
      }
    }
    await this.mount();
  }
}

import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Segment, Uuid } from "../proto/types.ts";
import { Departure, isLost } from "./departure.ts";
import { type MasterClient, valueOf } from "./master_client.ts";
import { formatSize } from "./size.ts";
import { isLoopback, parseHostPort } from "./transfer/address.ts";
import { type Clock, pause, within } from "./transfer/clock.ts";
import type { TransferEndpoint } from "./transfer/endpoint.ts";
import type { DeviceMemory, MemoryPlacement, Region } from "./transfer/engine.ts";
import { errorText } from "./transfer/error_text.ts";
import { type MemorySurvey, sumSurveys } from "./transfer/memory_maps.ts";

/** How often a gracefully unmounted segment is asked for until the master has let it go. */
const POLL_MS = 500;

export interface SegmentTableOptions {
  master: MasterClient;
  endpoint: TransferEndpoint;
  clock: Clock;
  clientId: Uuid;
  /** `host` or `host:port`; with a port it names the segments. */
  localHostname: string;
  /** Device that the memory lies on; empty = memory of the host. */
  location: string;
  /** How memory of the host lies; default wherever the system puts it. */
  placement?: MemoryPlacement;
  /** Have the system provide the memory ahead of its first use. */
  populate: boolean;
  newId: () => Uuid;
  log: (line: string) => void;
}

/** A segment that the master knows, or may know. */
interface Known {
  readonly segment: Segment;
  readonly region: Region;
  /** The master has agreed to have it. */
  mounted: boolean;
  /** On its way out, which is for good: a master that restarts must not hear of it again. */
  departure: Departure | null;
}

/** The memory that one client lends to the pool. Changes are made one after the other. */
export class SegmentTable {
  readonly #options: SegmentTableOptions;
  readonly #known = new Map<Uuid, Known>();
  #last: Promise<unknown> = Promise.resolve();
  #settling = false;
  #populating: Promise<unknown> = Promise.resolve();
  /** What has been said about the place of the memory. */
  readonly #noted = new Set<string>();

  constructor(options: SegmentTableOptions) {
    this.#options = options;
  }

  /** Segments that the master should know, in the order in which they were mounted. */
  get segments(): Segment[] {
    return Array.from(this.#known.values())
      .filter(({ mounted, departure }) => mounted && departure === null)
      .map(({ segment }) => segment);
  }

  /** Bytes lent. */
  get size(): number {
    return this.segments.reduce((sum, { size }) => sum + size, 0);
  }

  /** The device that lent memory lies on, or `null` for memory of the host. */
  get device(): DeviceMemory | null {
    for (const { region } of this.#known.values()) {
      if (region.device !== undefined) return region.device;
    }
    return null;
  }

  /** Resolves when the system has provided the memory lent so far, or could not. Never rejects. */
  get populated(): Promise<void> {
    return this.#populating.then(() => {});
  }

  /** Where lent memory of the host lies now, or `null` where that cannot be told. */
  async survey(): Promise<MemorySurvey | null> {
    const hosts = Array.from(this.#known.values(), ({ region }) => region.host);
    const surveys = [];
    for (const host of hosts) if (host !== undefined) surveys.push(await host.survey());
    return surveys.length === 0 ? null : sumSurveys(surveys);
  }

  /** The host part of this client's name; empty for one that only this machine understands. */
  get hostId(): string {
    const host = parseHostPort(this.#options.localHostname)?.host ?? "";
    return isLoopback(host) ? "" : host;
  }

  /**
   * Lends `size` bytes. `StoreError` when the memory cannot be had or published or the master refuses
   * it; nothing is kept then. When the master does not answer, the memory is freed as well, and the
   * master told so by {@linkcode SegmentTable.settle} as soon as it answers: until then it may place
   * objects there, which cannot be written, for no address is used twice. `address` is that of memory
   * of the caller, which stays until the endpoint is closed; absent: memory is allocated.
   */
  mount(size: number, address?: bigint): Promise<Segment> {
    return this.#inTurn(async () => {
      const { master, endpoint, clientId, newId, location, placement } = this.#options;
      const what = `Cannot mount a segment of ${formatSize(size)}`;
      const lending = address === undefined
        ? endpoint.lend(size, location, placement)
        : endpoint.lendAll([{ address, length: size }]).then(([lent]) => lent);
      const region = await lending.catch((cause) => {
        if (cause instanceof StoreError) throw cause;
        const message = `${what}: ${errorText(cause)}`;
        throw new StoreError(ErrorCode.INVALID_PARAMS, message, { cause });
      });
      this.#note(region);
      const segment: Segment = {
        id: newId(),
        name: this.#segmentName(),
        base: region.remoteBase ?? 0n,
        size,
        teEndpoint: endpoint.name,
        protocol: endpoint.engine.rdma === undefined ? "tcp" : "rdma",
        hostId: this.hostId,
      };
      const known: Known = { segment, region, mounted: false, departure: null };
      this.#known.set(segment.id, known);
      try {
        valueOf(await master.mountSegment({ segment, clientId }), what);
      } catch (error) {
        if (isLost(error)) known.departure = this.#departure(segment.id, 0, true);
        else this.#known.delete(segment.id);
        await endpoint.reclaim(region);
        throw error;
      }
      known.mounted = true;
      if (this.#options.populate) {
        this.#populating = Promise.all([this.#populating, this.#populate(segment.id, region)]);
      }
      return segment;
    });
  }

  /**
   * Takes a segment out of the pool and frees its memory. With a grace period the master stops
   * placing objects in it at once and drops those that are there after `graceMs`; the promise
   * resolves when that is done. `StoreError`: `SEGMENT_NOT_FOUND` for an unknown id; `RPC_FAIL` or
   * `RPC_TIMEOUT` when the master does not answer. In that case the segment leaves as soon as it does,
   * see {@linkcode SegmentTable.settle}, and the call may be repeated to wait for that.
   */
  async unmount(id: Uuid, graceMs: number, signal: AbortSignal): Promise<void> {
    const known = this.#known.get(id);
    if (known === undefined || !known.mounted || known.departure?.awaited) {
      throw new StoreError(ErrorCode.SEGMENT_NOT_FOUND, `Cannot unmount segment ${id}`);
    }
    if (graceMs === 0) known.departure?.hurry();
    const departure = known.departure ??= this.#departure(id, graceMs, false);
    departure.awaited = true;
    try {
      while (!await this.#inTurn(() => departure.step())) {
        await pause(this.#options.clock, departure.waitMs(POLL_MS), signal);
        if (signal.aborted) return;
      }
    } catch (error) {
      if (!isLost(error)) known.departure = null;
      throw error;
    } finally {
      departure.awaited = false;
    }
    await this.#drop(known);
  }

  /** Goes on with unmounts that nobody waits for and that the master has not answered. Never rejects. */
  async settle(): Promise<void> {
    const open = Array.from(this.#known.values()).filter(({ departure }) =>
      departure !== null && !departure.awaited
    );
    if (this.#settling || open.length === 0) return;
    this.#settling = true;
    try {
      await this.#inTurn(() => Promise.all(open.map((known) => this.#goOn(known))));
    } finally {
      this.#settling = false;
    }
  }

  /** Tells the master about every segment again, and the peers where they are. */
  remount(): Promise<void> {
    return this.#inTurn(async () => {
      const { master, endpoint, clientId } = this.#options;
      const answer = await master.reMountSegment({ segments: this.segments, clientId });
      valueOf(answer, "Cannot mount the segments again");
      await endpoint.restoreDocuments();
    });
  }

  /**
   * Tells the master that all memory is gone, for at most `limitMs`; a master that is away notices by
   * itself. Never rejects.
   */
  async unmountAll(limitMs: number): Promise<void> {
    const { master, clientId, clock } = this.#options;
    const unmounts = Array.from(
      this.#known.keys(),
      (segmentId) => master.unmountSegment({ segmentId, clientId }).catch(() => {}),
    );
    this.#known.clear();
    await within(clock, limitMs, Promise.all(unmounts));
  }

  #segmentName(): string {
    const { localHostname, endpoint } = this.#options;
    const given = parseHostPort(localHostname);
    return given !== null && given.port !== null ? localHostname : endpoint.name;
  }

  async #populate(id: Uuid, region: Region): Promise<void> {
    try {
      await region.populate();
    } catch (error) {
      if (!this.#known.has(id)) return;
      this.#options.log(`the memory of segment ${id} cannot be provided: ${errorText(error)}`);
    }
  }

  #note({ host }: Region): void {
    for (const note of host?.notes ?? []) {
      if (this.#noted.has(note)) continue;
      this.#noted.add(note);
      this.#options.log(note);
    }
  }

  #departure(id: Uuid, graceMs: number, mayMountLate: boolean): Departure {
    const { master, clock, clientId } = this.#options;
    return new Departure({ master, clock, clientId, id, graceMs, mayMountLate });
  }

  async #goOn(known: Known): Promise<void> {
    const { departure } = known;
    if (departure === null || departure.awaited) return;
    try {
      if (await departure.step()) await this.#drop(known);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }

  async #drop({ segment, region }: Known): Promise<void> {
    this.#known.delete(segment.id);
    await this.#options.endpoint.reclaim(region);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run, run);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

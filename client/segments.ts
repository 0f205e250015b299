import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { Segment, Uuid } from "../proto/types.ts";
import { type MasterClient, valueOf } from "./master_client.ts";
import { formatSize } from "./size.ts";
import { isLoopback, parseHostPort } from "./transfer/address.ts";
import { type Clock, pause, within } from "./transfer/clock.ts";
import type { TransferEndpoint } from "./transfer/endpoint.ts";
import type { Region } from "./transfer/engine.ts";
import { errorText } from "./transfer/error_text.ts";

/** How often a gracefully unmounted segment is asked for until the master has let it go. */
const POLL_MS = 500;
/** How much longer than the grace period the master may take. */
const POLL_LIMIT_MS = 60_000;

export interface SegmentTableOptions {
  master: MasterClient;
  endpoint: TransferEndpoint;
  clock: Clock;
  clientId: Uuid;
  /** `host` or `host:port`; with a port it names the segments. */
  localHostname: string;
  /** Have the system provide the memory ahead of its first use. */
  populate: boolean;
  newId: () => Uuid;
  log: (line: string) => void;
}

interface Mounted {
  readonly segment: Segment;
  readonly region: Region;
  /** Being unmounted: a master that restarts must not hear of it again. */
  leaving: boolean;
}

/** The memory that one client lends to the pool. Changes are made one after the other. */
export class SegmentTable {
  readonly #options: SegmentTableOptions;
  readonly #mounted = new Map<Uuid, Mounted>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: SegmentTableOptions) {
    this.#options = options;
  }

  /** Segments that the master should know, in the order in which they were mounted. */
  get segments(): Segment[] {
    return Array.from(this.#mounted.values()).filter(({ leaving }) => !leaving)
      .map(({ segment }) => segment);
  }

  /** Bytes lent. */
  get size(): number {
    return this.segments.reduce((sum, { size }) => sum + size, 0);
  }

  /** The host part of this client's name; empty for one that only this machine understands. */
  get hostId(): string {
    const host = parseHostPort(this.#options.localHostname)?.host ?? "";
    return isLoopback(host) ? "" : host;
  }

  /**
   * Lends `size` bytes. `StoreError` when the memory cannot be had or published or the master refuses
   * it; nothing is kept then.
   */
  mount(size: number): Promise<Segment> {
    return this.#inTurn(async () => {
      const { master, endpoint, clientId, newId } = this.#options;
      const what = `Cannot mount a segment of ${formatSize(size)}`;
      const region = await endpoint.lend(size).catch((cause) => {
        if (cause instanceof StoreError) throw cause;
        const message = `${what}: ${errorText(cause)}`;
        throw new StoreError(ErrorCode.INVALID_PARAMS, message, { cause });
      });
      const segment: Segment = {
        id: newId(),
        name: this.#segmentName(),
        base: region.remoteBase ?? 0n,
        size,
        teEndpoint: endpoint.name,
        protocol: "tcp",
        hostId: this.hostId,
      };
      try {
        valueOf(await master.mountSegment({ segment, clientId }), what);
      } catch (error) {
        await endpoint.reclaim(region);
        throw error;
      }
      this.#mounted.set(segment.id, { segment, region, leaving: false });
      if (this.#options.populate) this.#populate(segment.id, region);
      return segment;
    });
  }

  /**
   * Takes a segment out of the pool and frees its memory. With a grace period the master stops
   * placing objects in it at once and drops those that are there after `graceMs`; the promise
   * resolves when that is done. `StoreError` with `SEGMENT_NOT_FOUND` for an unknown id.
   */
  async unmount(id: Uuid, graceMs: number, signal: AbortSignal): Promise<void> {
    const mounted = this.#mounted.get(id);
    const what = `Cannot unmount segment ${id}`;
    if (mounted === undefined || mounted.leaving) {
      throw new StoreError(ErrorCode.SEGMENT_NOT_FOUND, what);
    }
    const { master, clientId } = this.#options;
    mounted.leaving = true;
    try {
      await this.#inTurn(async () => {
        const answer = graceMs > 0
          ? await master.gracefulUnmountSegment({ segmentId: id, clientId, gracePeriodMs: graceMs })
          : await master.unmountSegment({ segmentId: id, clientId });
        if (answer.code !== ErrorCode.SEGMENT_NOT_FOUND) valueOf(answer, what);
      });
    } catch (error) {
      mounted.leaving = false;
      throw error;
    }
    if (graceMs > 0) await this.#awaitGone(id, graceMs, signal);
    await this.#drop(id);
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
      this.#mounted.keys(),
      (segmentId) => master.unmountSegment({ segmentId, clientId }).catch(() => {}),
    );
    this.#mounted.clear();
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
      if (!this.#mounted.has(id)) return;
      this.#options.log(`the memory of segment ${id} cannot be provided: ${errorText(error)}`);
    }
  }

  async #awaitGone(segmentId: Uuid, graceMs: number, signal: AbortSignal): Promise<void> {
    const { clock, master } = this.#options;
    const giveUpAt = clock.now() + graceMs + POLL_LIMIT_MS;
    await pause(clock, graceMs, signal);
    while (!signal.aborted && clock.now() < giveUpAt) {
      try {
        const { code } = await master.querySegmentStatusById({ segmentId });
        if (code === ErrorCode.SEGMENT_NOT_FOUND) return;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
      await pause(clock, POLL_MS, signal);
    }
  }

  async #drop(id: Uuid): Promise<void> {
    const mounted = this.#mounted.get(id);
    if (mounted === undefined) return;
    this.#mounted.delete(id);
    await this.#options.endpoint.reclaim(mounted.region);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run, run);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

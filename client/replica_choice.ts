import type { BufferDescriptor, ReplicaDescriptor } from "../proto/types.ts";
import { ReplicaStatus } from "../proto/types.ts";
import { PeerWatch } from "./peer_watch.ts";
import type { Clock } from "./transfer/clock.ts";
import { CoolDowns } from "./transfer/cool_downs.ts";

/** How long a peer is asked last after a transfer with it failed; doubles with each failure. */
const COOL_DOWN_MS = 2000;
const MAX_COOL_DOWN_MS = 32_000;
/** Reads in a row that were quicker elsewhere, after which a peer counts as failed. */
const LOST_IN_A_ROW = 3;

/**
 * Decides from which replica an object is read. A replica in this process comes first, then the
 * other memory replicas in turn, so that readers spread over equals; peers whose last transfer
 * failed come last for a while.
 */
export class ReplicaChoice {
  readonly #failed: CoolDowns;
  /** Reads in a row that were quicker elsewhere. */
  readonly #lost = new Map<string, number>();
  /** Reads that peers have refused because the address was of memory that they do not lend any more. */
  readsFenced = 0;
  /** What the master is told of peers. */
  readonly watch = new PeerWatch();
  #turn: number;

  /** `turn` is where the round over equal replicas starts; a random number spreads clients. */
  constructor(clock: Clock, turn: number) {
    this.#failed = new CoolDowns(() => clock.now(), COOL_DOWN_MS, MAX_COOL_DOWN_MS);
    this.#turn = turn >>> 0;
  }

  /** Where the object can be read, best first; empty when no complete replica is in memory. */
  order(replicas: readonly ReplicaDescriptor[], ownEndpoint: string): BufferDescriptor[] {
    const buffers: BufferDescriptor[] = [];
    for (const { location, status } of replicas) {
      if (status === ReplicaStatus.COMPLETE && location.kind === "memory") {
        buffers.push(location.buffer);
      }
    }
    if (buffers.length < 2) return buffers;
    const turn = this.#turn++ % buffers.length;
    const turned = [...buffers.slice(turn), ...buffers.slice(0, turn)];
    return turned
      .map((buffer) => ({ buffer, rank: this.#rank(buffer.transportEndpoint, ownEndpoint) }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ buffer }) => buffer);
  }

  /** Notes how a transfer with a peer ended; `answered`: it failed because the peer refused it. */
  note(endpoint: string, succeeded: boolean, answered = false): void {
    if (this.#lost.size > 0) this.#lost.delete(endpoint);
    if (succeeded) {
      this.#failed.worked(endpoint);
      this.watch.worked(endpoint);
    } else {
      this.#failed.failed(endpoint);
      this.watch.failed(endpoint, answered);
    }
  }

  /** Notes that a read was slow, and quicker elsewhere though it was begun later there. */
  lost(endpoint: string): void {
    const count = (this.#lost.get(endpoint) ?? 0) + 1;
    if (count < LOST_IN_A_ROW) this.#lost.set(endpoint, count);
    else this.note(endpoint, false);
  }

  /** Whether a transfer with a peer failed a short while ago. */
  isSuspected(endpoint: string): boolean {
    return this.#failed.restMs(endpoint) > 0;
  }

  #rank(endpoint: string, ownEndpoint: string): number {
    if (endpoint === ownEndpoint) return 0;
    return this.isSuspected(endpoint) ? 2 : 1;
  }
}

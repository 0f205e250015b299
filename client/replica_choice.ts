import type { BufferDescriptor, ReplicaDescriptor } from "../proto/types.ts";
import { ReplicaStatus } from "../proto/types.ts";
import type { Clock } from "./transfer/clock.ts";

/** How long a peer is asked last after a transfer with it failed. */
const COOL_DOWN_MS = 2000;
const MAX_REMEMBERED = 4096;

/**
 * Decides from which replica an object is read. A replica in this process comes first, then the
 * other memory replicas in turn, so that readers spread over equals; peers whose last transfer
 * failed come last for a while.
 */
export class ReplicaChoice {
  readonly #clock: Clock;
  readonly #failedUntil = new Map<string, number>();
  #turn: number;

  /** `turn` is where the round over equal replicas starts; a random number spreads clients. */
  constructor(clock: Clock, turn: number) {
    this.#clock = clock;
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

  /** Notes how a transfer with a peer ended. */
  note(endpoint: string, succeeded: boolean): void {
    if (succeeded) {
      if (this.#failedUntil.size > 0) this.#failedUntil.delete(endpoint);
      return;
    }
    if (this.#failedUntil.size >= MAX_REMEMBERED) this.#failedUntil.clear();
    this.#failedUntil.set(endpoint, this.#clock.now() + COOL_DOWN_MS);
  }

  #rank(endpoint: string, ownEndpoint: string): number {
    if (endpoint === ownEndpoint) return 0;
    if (this.#failedUntil.size === 0) return 1;
    const until = this.#failedUntil.get(endpoint);
    return until !== undefined && this.#clock.now() < until ? 2 : 1;
  }
}

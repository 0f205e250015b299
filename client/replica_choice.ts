import type { BufferDescriptor, ReplicaDescriptor } from "../proto/types.ts";
import { ReplicaStatus } from "../proto/types.ts";
import type { Clock } from "./transfer/clock.ts";

/** How long a peer is asked last after a transfer with it failed; doubles with each failure. */
const COOL_DOWN_MS = 2000;
const MAX_COOL_DOWN_MS = 32_000;
const MAX_REMEMBERED = 4096;

/**
 * Decides from which replica an object is read. A replica in this process comes first, then the
 * other memory replicas in turn, so that readers spread over equals; peers whose last transfer
 * failed come last for a while.
 */
export class ReplicaChoice {
  readonly #clock: Clock;
  readonly #failed = new Map<string, { untilMs: number; coolDownMs: number }>();
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
      if (this.#failed.size > 0) this.#failed.delete(endpoint);
      return;
    }
    if (this.#failed.size >= MAX_REMEMBERED) this.#failed.clear();
    const before = this.#failed.get(endpoint);
    const now = this.#clock.now();
    if (before !== undefined && now < before.untilMs) return;
    const coolDownMs = before === undefined
      ? COOL_DOWN_MS
      : Math.min(before.coolDownMs * 2, MAX_COOL_DOWN_MS);
    this.#failed.set(endpoint, { untilMs: now + coolDownMs, coolDownMs });
  }

  #rank(endpoint: string, ownEndpoint: string): number {
    if (endpoint === ownEndpoint) return 0;
    const failed = this.#failed.get(endpoint);
    return failed !== undefined && this.#clock.now() < failed.untilMs ? 2 : 1;
  }
}

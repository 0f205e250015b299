/** Memory that the master has promised to somebody, by address: nobody else may be given it. */
import type { ReplicaDescriptor } from "../../proto/types.ts";

interface Promised {
  readonly endpoint: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly untilMs: number;
  readonly to: string;
}

/**
 * Every range that a reader may read until its lease ends, or a writer may write until its time is
 * up, whatever has become of the object or of the segment in the master's mind since.
 */
export class Promises {
  #promised: Promised[] = [];

  /** Notes that somebody may use these replicas until a time. */
  promise(replicas: readonly ReplicaDescriptor[], untilMs: number, to: string): void {
    for (const { location } of replicas) {
      if (location.kind !== "memory") continue;
      const { bufferAddress: start, size, transportEndpoint: endpoint } = location.buffer;
      const end = start + BigInt(size);
      this.#promised.push({ endpoint, start, end, untilMs, to });
    }
  }

  /** Throws when one of these replicas, now given to a writer, lies in what was promised before. */
  checkGiven(replicas: readonly ReplicaDescriptor[], nowMs: number, to: string): void {
    this.#promised = this.#promised.filter(({ untilMs }) => untilMs > nowMs);
    for (const { location } of replicas) {
      if (location.kind !== "memory") continue;
      const { bufferAddress: start, size, transportEndpoint: endpoint } = location.buffer;
      const end = start + BigInt(size);
      const other = this.#promised.find((one) =>
        one.endpoint === endpoint && one.start < end && one.end > start
      );
      if (other === undefined) continue;
      throw new Error(
        `${to} was given ${endpoint} ${start}-${end} at ${nowMs}, which is promised to ` +
          `${other.to} until ${other.untilMs}`,
      );
    }
  }

  /** Forgets what was promised to a writer: it has said that it is done. */
  release(to: string): void {
    this.#promised = this.#promised.filter((one) => one.to !== to);
  }
}

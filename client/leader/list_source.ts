import { ServiceReady } from "../../proto/messages.ts";
import { parseHostPort } from "../transfer/address.ts";
import type { Clock } from "../transfer/clock.ts";
import { callFailure } from "./absence.ts";
import { type Dial, dialTcp } from "./dial.ts";
import type { LeaderSource } from "./source.ts";

/** Time in which a master has to answer: one that leads does so at once. */
const PROBE_MS = 500;

/**
 * Finds the leader among masters that are known by address: it is the one that answers, as a standby
 * takes no connections and a master whose lease has ended says nothing.
 */
export class ListLeaderSource implements LeaderSource {
  readonly cheap = false;
  nobody = "none was asked";
  readonly #addresses: readonly string[];
  readonly #clock: Clock;
  readonly #dial: Dial;

  constructor(addresses: readonly string[], clock: Clock, dial: Dial = dialTcp) {
    this.#addresses = addresses;
    this.#clock = clock;
    this.#dial = dial;
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  async find(): Promise<string | null> {
    const probes = this.#addresses.map((address) => this.#probe(address));
    return await Promise.any(probes).catch(({ errors }: AggregateError) => {
      const each = errors.map((error, i) => `${this.#addresses[i]}: ${callFailure(error)}`);
      this.nobody = each.join(", ");
      return null;
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #probe(address: string): Promise<string> {
    const { host, port } = parseHostPort(address)!;
    const rpc = this.#dial({
      ...{ host, port: port!, clock: this.#clock },
      ...{ connectTimeoutMs: PROBE_MS, requestTimeoutMs: PROBE_MS },
    });
    try {
      await rpc.call(ServiceReady, null);
      return address;
    } finally {
      await rpc.close();
    }
  }
}

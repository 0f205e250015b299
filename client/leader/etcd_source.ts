import type { Etcd3 } from "etcd3";
import { openEtcd } from "../transfer/etcd_client.ts";
import { errorText } from "../transfer/error_text.ts";
import { connectionFailure } from "./absence.ts";
import type { LeaderAccess, LeaderSource } from "./source.ts";

const TIMEOUT_MS = 1000;

/** Finds the leader in the key that the reference's clients read, too. */
export class EtcdLeaderSource implements LeaderSource {
  readonly cheap = true;
  readonly #endpoints: readonly string[];
  readonly #access: LeaderAccess;
  #opening: Promise<Etcd3> | null = null;
  #failure = "";

  constructor(endpoints: readonly string[], access: LeaderAccess) {
    this.#endpoints = endpoints;
    this.#access = access;
  }

  async open(): Promise<void> {
    await (this.#opening ??= this.#load());
  }

  async find(): Promise<string | null> {
    const etcd = await (this.#opening ??= this.#load());
    try {
      return await etcd.get(this.#key);
    } catch (cause) {
      // A client that has failed several times says no more than that it does not try.
      if (!/circuit breaker/.test(errorText(cause))) this.#failure = connectionFailure(cause);
      throw new Error(`etcd cannot be asked: ${this.#failure}`, { cause });
    }
  }

  get nobody(): string {
    return `etcd has no key ${this.#key}`;
  }

  get #key(): string {
    return `mooncake-store/${this.#access.clusterId}/master_view`;
  }

  async close(): Promise<void> {
    const etcd = await this.#opening?.catch(() => null);
    etcd?.close();
  }

  #load(): Promise<Etcd3> {
    return openEtcd(this.#endpoints, this.#access, TIMEOUT_MS);
  }
}

import type { Etcd3 } from "etcd3";
import { openEtcd } from "../transfer/etcd_client.ts";
import type { LeaderAccess, LeaderSource } from "./source.ts";

const TIMEOUT_MS = 1000;

/** Finds the leader in the key that the reference's clients read, too. */
export class EtcdLeaderSource implements LeaderSource {
  readonly cheap = true;
  readonly #endpoints: readonly string[];
  readonly #access: LeaderAccess;
  #opening: Promise<Etcd3> | null = null;

  constructor(endpoints: readonly string[], access: LeaderAccess) {
    this.#endpoints = endpoints;
    this.#access = access;
  }

  async open(): Promise<void> {
    await (this.#opening ??= this.#load());
  }

  async find(): Promise<string | null> {
    const etcd = await (this.#opening ??= this.#load());
    return await etcd.get(`mooncake-store/${this.#access.clusterId}/master_view`);
  }

  async close(): Promise<void> {
    const etcd = await this.#opening?.catch(() => null);
    etcd?.close();
  }

  #load(): Promise<Etcd3> {
    return openEtcd(this.#endpoints, this.#access, TIMEOUT_MS);
  }
}

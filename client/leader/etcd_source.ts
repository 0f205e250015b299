import { readFileSync } from "node:fs";
import type { Etcd3, IOptions } from "etcd3";
import { loadOptional } from "./optional_package.ts";
import type { LeaderAccess, LeaderSource } from "./source.ts";

const ETCD_VERSION = "1.1.2";
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

  async #load(): Promise<Etcd3> {
    const { Etcd3 } = await loadOptional<typeof import("etcd3")>("etcd3", ETCD_VERSION);
    const { user, password, tlsCa, tlsCert, tlsKey } = this.#access;
    const scheme = tlsCa === "" ? "http://" : "https://";
    const options: IOptions = {
      hosts: this.#endpoints.map((host) => host.includes("://") ? host : scheme + host),
      ...(tlsCa !== "" && {
        credentials: {
          rootCertificate: readFileSync(tlsCa),
          ...(tlsCert !== "" && {
            certChain: readFileSync(tlsCert),
            privateKey: readFileSync(tlsKey),
          }),
        },
      }),
      ...(user !== "" && { auth: { username: user, password } }),
      defaultCallOptions: () => ({ deadline: Date.now() + TIMEOUT_MS }),
      grpcOptions: {
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1000,
      },
    };
    return new Etcd3(options);
  }
}

import { readFileSync } from "node:fs";
import type { Redis } from "ioredis";
import { loadOptional } from "./optional_package.ts";
import type { LeaderAccess, LeaderSource } from "./source.ts";

const IOREDIS_VERSION = "6.0.0";
const TIMEOUT_MS = 1000;
const RECONNECT_MS = 200;

/** Finds the leader in the key with which our masters elect it in Redis. */
export class RedisLeaderSource implements LeaderSource {
  readonly cheap = true;
  readonly #url: string;
  readonly #access: LeaderAccess;
  #opening: Promise<Redis> | null = null;

  constructor(url: string, access: LeaderAccess) {
    this.#url = url;
    this.#access = access;
  }

  async open(): Promise<void> {
    await (this.#opening ??= this.#load());
  }

  async find(): Promise<string | null> {
    const redis = await (this.#opening ??= this.#load());
    return await redis.get(`mooncake-store/${this.#access.clusterId}/master_view`);
  }

  async close(): Promise<void> {
    const redis = await this.#opening?.catch(() => null);
    redis?.disconnect();
  }

  async #load(): Promise<Redis> {
    const { Redis } = await loadOptional<typeof import("ioredis")>("ioredis", IOREDIS_VERSION);
    const { user, password, tlsCa, tlsCert, tlsKey } = this.#access;
    const redis = new Redis(this.#url, {
      ...(user !== "" && { username: user }),
      ...(password !== "" && { password }),
      ...(tlsCa !== "" && {
        tls: {
          ca: readFileSync(tlsCa),
          ...(tlsCert !== "" && { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) }),
        },
      }),
      ...{ lazyConnect: true, maxRetriesPerRequest: 1, noDelay: true },
      ...{ connectTimeout: TIMEOUT_MS, commandTimeout: TIMEOUT_MS },
      retryStrategy: () => RECONNECT_MS,
    });
    redis.on("error", () => {});
    return redis as Redis;
  }
}

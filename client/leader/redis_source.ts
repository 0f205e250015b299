import type { Redis } from "ioredis";
import { openRedis } from "../transfer/redis_client.ts";
import type { LeaderAccess, LeaderSource } from "./source.ts";

const TIMEOUT_MS = 1000;

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

  #load(): Promise<Redis> {
    return openRedis(this.#url, this.#access, TIMEOUT_MS);
  }
}

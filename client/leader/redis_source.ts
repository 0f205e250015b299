import type { Redis } from "ioredis";
import { openRedis, redisFailure } from "../transfer/redis_client.ts";
import { connectionFailure } from "./absence.ts";
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
    try {
      return await redis.get(this.#key);
    } catch (error) {
      const cause = redisFailure(redis, error);
      throw new Error(`Redis cannot be asked: ${connectionFailure(cause)}`, { cause });
    }
  }

  get nobody(): string {
    return `Redis has no key ${this.#key}`;
  }

  get #key(): string {
    return `mooncake-store/${this.#access.clusterId}/master_view`;
  }

  async close(): Promise<void> {
    const redis = await this.#opening?.catch(() => null);
    redis?.disconnect();
  }

  #load(): Promise<Redis> {
    return openRedis(this.#url, this.#access, TIMEOUT_MS);
  }
}

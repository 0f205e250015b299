import type { Redis } from "ioredis";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { errorText } from "./error_text.ts";
import type { MetadataKv } from "./kv_metadata.ts";
import { openRedis, redisFailure } from "./redis_client.ts";
import type { ServiceAccess } from "./service_access.ts";

const TIMEOUT_MS = 3000;
const SCAN_COUNT = 1000;

/** Texts in Redis, under plain keys. */
export class RedisKv implements MetadataKv {
  readonly #url: string;
  readonly #access: ServiceAccess;
  #opening: Promise<Redis> | null = null;

  constructor(url: string, access: ServiceAccess) {
    this.#url = url;
    this.#access = access;
  }

  get(key: string): Promise<string | null> {
    return this.#ask((redis) => redis.get(key));
  }

  put(key: string, text: string): Promise<void> {
    return this.#ask(async (redis) => {
      await redis.set(key, text);
    });
  }

  async claim(key: string, text: string): Promise<boolean> {
    const stored = await this.#ask((redis) => redis.set(key, text, "NX"));
    return stored === "OK" || await this.get(key) === text;
  }

  delete(key: string): Promise<void> {
    return this.#ask(async (redis) => {
      await redis.del(key);
    });
  }

  list(prefix: string): Promise<string[]> {
    const pattern = `${prefix.replace(/[\\*?[\]]/g, "\\$&")}*`;
    return this.#ask(async (redis) => {
      const found = new Set<string>();
      let cursor = "0";
      do {
        const [next, keys] = await redis.scan(cursor, "MATCH", pattern, "COUNT", SCAN_COUNT);
        for (const key of keys) found.add(key);
        cursor = next;
      } while (cursor !== "0");
      return [...found].sort();
    });
  }

  async close(): Promise<void> {
    const redis = await this.#opening?.catch(() => null);
    redis?.disconnect();
  }

  async #ask<T>(call: (redis: Redis) => Promise<T>): Promise<T> {
    let redis: Redis | null = null;
    try {
      redis = await (this.#opening ??= openRedis(this.#url, this.#access, TIMEOUT_MS));
      return await call(redis);
    } catch (error) {
      const cause = redis === null ? error : redisFailure(redis, error);
      const message = `The Redis at ${this.#url} cannot be asked: ${errorText(cause)}`;
      throw new StoreError(ErrorCode.RPC_FAIL, message, { cause });
    }
  }
}

/** The part of Redis that elections and the log use, over npm `ioredis`. */
import { Buffer } from "node:buffer";
import type { Redis } from "ioredis";
import { EngineError, LogRefusal } from "./fact_log.ts";

/** How Redis is reached. */
export interface RedisConnectionOptions {
  /** `redis://host:port/db`, or `rediss://` for TLS. */
  url: string;
  /** PEM texts; `null` = the system's authorities with `rediss://`. */
  tls: { ca: string; cert: string; key: string } | null;
  /** "" = none. */
  user: string;
  /** "" = none. */
  password: string;
  /** For one call. */
  timeoutMs: number;
}

/** What Redis answers: bytes, whole numbers, nothing, or lists of these. */
export type RedisAnswer = Uint8Array | number | null | RedisAnswer[];

const decoder = new TextDecoder();
const RECONNECT_MS = 100;

/** The text of an answer; "" when there is none. */
export function textOf(answer: RedisAnswer | undefined): string {
  return answer instanceof Uint8Array ? decoder.decode(answer) : String(answer ?? "");
}

/** One connection to Redis. Calls reject with `EngineError`, or `LogRefusal` where Redis refuses. */
export class RedisClient {
  readonly #redis: Redis;

  private constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** Loads the library; connects with the first call, and again whenever it has to. */
  static async open(options: RedisConnectionOptions): Promise<RedisClient> {
    const { Redis } = await import("ioredis");
    const { url, tls, user, password, timeoutMs } = options;
    const settings = {
      ...(user !== "" && { username: user }),
      ...(password !== "" && { password }),
      ...(tls !== null && {
        tls: { ca: tls.ca, ...(tls.cert !== "" && { cert: tls.cert, key: tls.key }) },
      }),
      ...{ lazyConnect: true, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 1 },
      ...{ connectTimeout: timeoutMs, commandTimeout: timeoutMs, noDelay: true },
      retryStrategy: () => RECONNECT_MS,
    };
    const redis = new Redis(url, settings);
    redis.on("error", () => {});
    return new RedisClient(redis);
  }

  /** Runs one command. */
  async call(command: string, ...args: (string | number | Uint8Array)[]): Promise<RedisAnswer> {
    try {
      // deno-lint-ignore no-explicit-any
      return await (this.#redis as any).callBuffer(command, ...args.map(argument));
    } catch (error) {
      throw translated(error);
    }
  }

  /** Runs a Lua script, which Redis does as a whole or not at all. */
  evaluate(
    script: string,
    keys: readonly string[],
    ...args: (string | number | Uint8Array)[]
  ): Promise<RedisAnswer> {
    return this.call("EVAL", script, keys.length, ...keys, ...args);
  }

  close(): void {
    this.#redis.disconnect();
  }
}

/** The library knows bytes as `Buffer` only. */
function argument(value: string | number | Uint8Array): string | number | Uint8Array {
  if (!(value instanceof Uint8Array)) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.length);
}

function translated(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const refused = /^(OOM|MISCONF|READONLY|NOAUTH|NOPERM|WRONGPASS|WRONGTYPE|ERR |NOREPLICAS)/;
  return refused.test(message)
    ? new LogRefusal(`redis refuses: ${message}`)
    : new EngineError(`redis: ${message}`);
}

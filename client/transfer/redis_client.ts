import { readFileSync } from "node:fs";
import type { Redis } from "ioredis";
import { loadOptional } from "./optional_package.ts";
import type { ServiceAccess } from "./service_access.ts";

const IOREDIS_VERSION = "6.0.0";
const RECONNECT_MS = 200;

/** What the connection of a client met last. */
const troubles = new WeakMap<Redis, Error>();

/**
 * A client of the Redis server at `url` (`redis://host:port/db`, `rediss://...`). Rejects when the
 * package is not there; nothing is connected yet.
 */
export async function openRedis(
  url: string,
  access: ServiceAccess,
  timeoutMs: number,
): Promise<Redis> {
  const { Redis } = await loadOptional<typeof import("ioredis")>("ioredis", IOREDIS_VERSION);
  const { user, password, tlsCa, tlsCert, tlsKey } = access;
  const redis = new Redis(url, {
    ...(user !== "" && { username: user }),
    ...(password !== "" && { password }),
    ...(tlsCa !== "" && {
      tls: {
        ca: readFileSync(tlsCa),
        ...(tlsCert !== "" && { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) }),
      },
    }),
    ...{ lazyConnect: true, maxRetriesPerRequest: 1, noDelay: true },
    ...{ connectTimeout: timeoutMs, commandTimeout: timeoutMs },
    retryStrategy: () => RECONNECT_MS,
  });
  redis.on("error", (error: Error) => troubles.set(redis, error));
  return redis;
}

/** Why a command failed: the trouble of the connection, where the command was given up for that. */
export function redisFailure(redis: Redis, error: unknown): unknown {
  return (error as Error).name === "MaxRetriesPerRequestError"
    ? troubles.get(redis) ?? error
    : error;
}

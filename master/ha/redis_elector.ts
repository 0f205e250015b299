import { type Candidacy, type Elector, validUntil } from "./elector.ts";
import { type RedisClient, textOf } from "./redis_client.ts";

/** The key in which the leader of a cluster is found; its value is `host:port` and nothing else. */
export function leaderKey(clusterId: string): string {
  return `mooncake-store/${clusterId}/master_view`;
}

/** KEYS: leader, epoch. ARGV: address, milliseconds. */
const CAMPAIGN = `
local leader = redis.call('GET', KEYS[1])
if leader then return {0, leader, redis.call('GET', KEYS[2])} end
local epoch = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, '', epoch}`;

/** KEYS as above. ARGV: epoch, milliseconds; none = the epoch ends. */
const RENEW = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('DEL', KEYS[1])`;

export interface RedisElectorOptions {
  client: RedisClient;
  clusterId: string;
  leaseMs: number;
  /** Milliseconds, monotonic. */
  clock: () => number;
}

/**
 * Elects with a key that expires, and a counter that only a new leader raises: whoever raised it last
 * leads for as long as the key is there. Redis counts the time with the clock of its machine: where
 * that is set forward, a lease ends too soon.
 */
export class RedisElector implements Elector {
  readonly #options: RedisElectorOptions;
  readonly #keys: readonly string[];

  constructor(options: RedisElectorOptions) {
    this.#options = options;
    this.#keys = [leaderKey(options.clusterId), `snowskin/${options.clusterId}/epoch`];
  }

  async campaign(address: string): Promise<Candidacy> {
    const { client, leaseMs, clock } = this.#options;
    const sentMs = clock();
    const answer = await client.evaluate(CAMPAIGN, this.#keys, address, leaseMs);
    const [won, leader, epoch] = answer as [number, Uint8Array, Uint8Array | number];
    if (won === 1) {
      return { won: true, epoch: Number(epoch), validUntilMs: validUntil(sentMs, leaseMs) };
    }
    return { won: false, leader: { address: textOf(leader), epoch: Number(textOf(epoch)) } };
  }

  async renew(epoch: number): Promise<number | null> {
    const { client, leaseMs, clock } = this.#options;
    const sentMs = clock();
    const renewed = await client.evaluate(RENEW, this.#keys, epoch, leaseMs);
    return renewed === 1 ? validUntil(sentMs, leaseMs) : null;
  }

  async resign(epoch: number): Promise<void> {
    await this.#options.client.evaluate(RENEW, this.#keys, epoch);
  }

  /** Nothing tells: members ask often enough by themselves. */
  watch(): void {}

  close(): Promise<void> {
    this.#options.client.close();
    return Promise.resolve();
  }
}

/**
 * The log in Redis. Under `snowskin/<cluster>/`:
 *
 * ```
 * log_head   hash: format, id, base, last = the last group, epoch = the leader that may append
 * log        stream: one entry for each group, `<sequence>-0`, its bytes in field `g`
 * members    hash: what each master tells about itself, with the time until which that counts
 * ```
 *
 * Every change is one script that compares the epoch. Groups are appended in their order: one whose
 * predecessor is missing is refused until that has come.
 */
import {
  EarlyGroupError,
  endsEarly,
  EngineError,
  type FactLog,
  FencedError,
  type LogFollower,
  type LogGroup,
  type LogHead,
  type MemberRecord,
  parseMember,
} from "./fact_log.ts";
import { type RedisAnswer, type RedisClient, textOf } from "./redis_client.ts";

const FORMAT = 1;
const PAGE_GROUPS = 32;
const FOLLOW_AGAIN_MS = 300;
/** How long Redis holds a question for what is new. */
const BLOCK_MS = 1000;

/** KEYS: head. ARGV: epoch, format, id, base. Answers the head, or nothing for an older epoch. */
const TAKE = `
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if epoch > tonumber(ARGV[1]) then return nil end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[2], 'id', ARGV[3], 'base', ARGV[4], 'last', ARGV[4])
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return redis.call('HMGET', KEYS[1], 'format', 'id', 'base', 'last')`;

/** KEYS: head, log. ARGV: epoch, sequence, bytes. Answers 1 kept, 0 fenced, -1 comes too early. */
const APPEND = `
local head = redis.call('HMGET', KEYS[1], 'epoch', 'last')
if head[1] ~= ARGV[1] then return 0 end
local last = tonumber(head[2])
local sequence = tonumber(ARGV[2])
if sequence <= last then return 1 end
if sequence > last + 1 then return -1 end
redis.call('XADD', KEYS[2], ARGV[2] .. '-0', 'g', ARGV[3])
redis.call('HSET', KEYS[1], 'last', ARGV[2])
return 1`;

/** KEYS: head, log. ARGV: epoch, group. */
const TRIM = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'base', ARGV[2])
redis.call('XTRIM', KEYS[2], 'MINID', (tonumber(ARGV[2]) + 1) .. '-0')
return 1`;

/** KEYS: members. ARGV: id, milliseconds, text. */
const ANNOUNCE = `
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', until_ms) .. ARGV[3])
return 1`;

/** KEYS: members. */
const MEMBERS = `
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local space = string.find(all[i + 1], ' ', 1, true)
  if tonumber(string.sub(all[i + 1], 1, space)) > now_ms then
    found[#found + 1] = string.sub(all[i + 1], space + 1)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return found`;

export interface RedisLogOptions {
  client: RedisClient;
  /** Opens a connection that waits for what is new, with so much time for a call. */
  openWaiting: (timeoutMs: number) => Promise<RedisClient>;
  clusterId: string;
  warn: (line: string) => void;
}

export class RedisLog implements FactLog {
  readonly #client: RedisClient;
  readonly #options: RedisLogOptions;
  readonly #head: string;
  readonly #log: string;
  readonly #members: string;
  #self: string | null = null;

  constructor(options: RedisLogOptions) {
    this.#client = options.client;
    this.#options = options;
    const root = `snowskin/${options.clusterId}/`;
    this.#head = `${root}log_head`;
    this.#log = `${root}log`;
    this.#members = `${root}members`;
  }

  /** Says what the server's settings mean for a log; nothing where it does not tell them. */
  async examine(): Promise<void> {
    const { warn } = this.#options;
    const setting = async (name: string) => {
      const answer = await this.#client.call("CONFIG", "GET", name).catch(() => []);
      return textOf((answer as RedisAnswer[])[1]);
    };
    if (await setting("appendonly") === "no") {
      warn("redis keeps nothing on its disk (appendonly no): with it ends the log");
    } else if (await setting("appendfsync") !== "always") {
      warn("redis may lose the last second when its machine fails (appendfsync is not always)");
    }
    const policy = await setting("maxmemory-policy");
    if (policy !== "" && policy !== "noeviction") {
      warn(`redis may evict the log (maxmemory-policy ${policy}); set it to noeviction`);
    }
  }

  async head(): Promise<LogHead | null> {
    const head = parseHead(await this.#client.call("HMGET", this.#head, "format", "id", "base"));
    return head;
  }

  async take(epoch: number, first: LogHead, known: number): Promise<LogHead> {
    const answer = await this.#client.evaluate(
      ...[TAKE, [this.#head]] as const,
      ...[epoch, FORMAT, first.id, first.base],
    );
    if (answer === null) throw new FencedError("another master leads");
    const head = parseHead(answer)!;
    const last = Number(textOf((answer as RedisAnswer[])[3]));
    if (last < known) throw endsEarly(known);
    return head;
  }

  async has(sequence: number): Promise<boolean> {
    const answer = await this.#client.call("HGET", this.#head, "last");
    return answer !== null && Number(textOf(answer)) >= sequence;
  }

  async append(epoch: number, { sequence, bytes }: LogGroup): Promise<void> {
    const keys = [this.#head, this.#log];
    const kept = await this.#client.evaluate(APPEND, keys, epoch, sequence, bytes);
    if (kept === 0) throw new FencedError("another master leads");
    if (kept === -1) throw new EarlyGroupError(`redis: group ${sequence} has come too early`);
  }

  async read(after: number): Promise<LogGroup[] | null> {
    const entries = await this.#client.call(
      ...["XRANGE", this.#log, `${after + 1}-0`, "+", "COUNT", PAGE_GROUPS] as const,
    );
    return await this.#checked(after, groupsOf(entries));
  }

  follow(after: number, follower: LogFollower): () => void {
    let stopped = false;
    let waiting: RedisClient | null = null;
    let last = after;
    const run = async () => {
      waiting = await this.#options.openWaiting(BLOCK_MS * 3);
      while (!stopped) {
        try {
          const behind = await this.#checked(
            last,
            groupsOf(
              await waiting.call("XRANGE", this.#log, `${last + 1}-0`, "+", "COUNT", PAGE_GROUPS),
            ),
          );
          if (stopped) break;
          if (behind === null) return follower.trimmed();
          follower.trouble(null);
          if (behind.length > 0) {
            last = behind.at(-1)!.sequence;
            follower.groups(behind);
          } else {
            await waiting.call(
              ...["XREAD", "COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS"] as const,
              ...[this.#log, `${last}-0`],
            );
          }
        } catch (error) {
          if (stopped) break;
          follower.trouble(error instanceof Error ? error.message : String(error));
          await new Promise((resolve) => setTimeout(resolve, FOLLOW_AGAIN_MS));
        }
      }
    };
    void run().finally(() => waiting?.close());
    return () => {
      stopped = true;
      waiting?.close();
    };
  }

  async trim(epoch: number, through: number): Promise<void> {
    const head = await this.head();
    if (head === null || head.base >= through) return;
    const trimmed = await this.#client.evaluate(TRIM, [this.#head, this.#log], epoch, through);
    if (trimmed === 0) throw new FencedError("another master leads");
  }

  async announce(record: MemberRecord, ttlMs: number): Promise<void> {
    this.#self = record.id;
    const text = JSON.stringify(record);
    await this.#client.evaluate(ANNOUNCE, [this.#members], record.id, ttlMs, text);
  }

  async members(): Promise<MemberRecord[]> {
    const found = await this.#client.evaluate(MEMBERS, [this.#members]);
    return (found as RedisAnswer[]).flatMap((text) => parseMember(textOf(text)) ?? []);
  }

  async close(): Promise<void> {
    if (this.#self !== null) {
      await this.#client.call("HDEL", this.#members, this.#self).catch(() => {});
    }
    this.#client.close();
  }

  /** Groups that follow `after`; `null` when the first of them are gone. */
  async #checked(after: number, groups: LogGroup[]): Promise<LogGroup[] | null> {
    if (groups.length > 0) return groups[0].sequence === after + 1 ? groups : null;
    const head = await this.head();
    return head !== null && head.base > after ? null : [];
  }
}

function parseHead(answer: RedisAnswer): LogHead | null {
  const [format, id, base] = (answer as RedisAnswer[]).map(textOf);
  if (id === "") return null;
  if (Number(format) !== FORMAT) {
    throw new EngineError(`redis: the log has format ${format}; this master reads ${FORMAT}`);
  }
  return { id, base: Number(base) };
}

function groupsOf(entries: RedisAnswer): LogGroup[] {
  return (entries as [Uint8Array, [Uint8Array, Uint8Array]][]).map(([id, [, bytes]]) => ({
    sequence: Number.parseInt(textOf(id)),
    bytes: new Uint8Array(bytes),
  }));
}

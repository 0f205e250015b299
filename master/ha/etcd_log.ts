/**
 * The log in etcd. Under `snowskin/<cluster>/`:
 *
 * ```
 * log_head                           {"format":1,"id":...,"base":n}
 * log/<sequence>.<part>.<parts>      bytes of a group, at most 1 MiB each; numbers have 16 and 4 digits
 * members/<id>                       what a master tells about itself, on a lease of its own
 * ```
 *
 * Every transaction of a leader compares the create revision of its key, so that the appends of an
 * earlier leader fail however late they come. Appends may overtake each other: what lies behind a gap
 * does not count.
 */
import {
  type EtcdClient,
  type EtcdEntry,
  type EtcdStep,
  MAX_VALUE_BYTES,
  prefixEnd,
} from "./etcd_client.ts";
import { leaderKey } from "./etcd_elector.ts";
import {
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
import { LogAssembler, type LogPart } from "./log_assembler.ts";

const FORMAT = 1;
/** Groups dropped by one transaction, which holds up the others. */
const TRIM_GROUPS = 1000;
/** Keys read at a time. */
const PAGE_KEYS = 16;
const FOLLOW_AGAIN_MS = 300;
/** etcd keeps every version of a key until it is told to forget them. */
const COMPACT_EVERY_MS = 300_000;

export interface EtcdLogOptions {
  client: EtcdClient;
  clusterId: string;
  /** Have etcd forget old versions; off where somebody else does that. */
  compact: boolean;
  /** Milliseconds, monotonic. */
  clock: () => number;
}

export class EtcdLog implements FactLog {
  readonly #client: EtcdClient;
  readonly #options: EtcdLogOptions;
  readonly #leader: string;
  readonly #root: string;
  readonly #entries: string;
  #memberLease: { id: string; ttlMs: number } | null = null;
  #compactedAtMs: number;

  constructor(options: EtcdLogOptions) {
    this.#client = options.client;
    this.#options = options;
    this.#leader = leaderKey(options.clusterId);
    this.#root = `snowskin/${options.clusterId}/`;
    this.#entries = `${this.#root}log/`;
    this.#compactedAtMs = options.clock();
  }

  async head(): Promise<LogHead | null> {
    const { entries } = await this.#client.range(`${this.#root}log_head`);
    return entries.length === 0 ? null : parseHead(entries[0]);
  }

  async take(epoch: number, first: LogHead, known: number): Promise<LogHead> {
    let head = await this.head();
    if (head === null) {
      await this.#transact(epoch, [this.#headStep(first)]);
      head = first;
    }
    if (head.base > known) return head;
    if (head.base < known && !await this.#has(known)) throw endsEarly(known);
    const { assembler } = await this.#page(known, () => {});
    const behind = this.#key(assembler.last + 1);
    await this.#transact(epoch, [{ delete: behind, end: prefixEnd(this.#entries) }]);
    return head;
  }

  async append(epoch: number, { sequence, bytes }: LogGroup): Promise<void> {
    const parts = Math.max(1, Math.ceil(bytes.length / MAX_VALUE_BYTES));
    for (let part = 0; part < parts; part++) {
      const at = part * MAX_VALUE_BYTES;
      const value = parts === 1 ? bytes : bytes.subarray(at, at + MAX_VALUE_BYTES);
      await this.#transact(epoch, [{ put: `${this.#key(sequence)}${digits(part, parts)}`, value }]);
    }
  }

  async read(after: number): Promise<LogGroup[] | null> {
    const found: LogGroup[] = [];
    await this.#page(after, (groups) => found.push(...groups));
    if (found.length > 0) return found;
    const head = await this.head();
    return head !== null && head.base > after ? null : [];
  }

  async has(sequence: number): Promise<boolean> {
    const head = await this.head();
    return head !== null && (head.base >= sequence || await this.#has(sequence));
  }

  follow(after: number, follower: LogFollower): () => void {
    let stopped = false;
    let unwatch = () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = after;
    const deliver = (groups: LogGroup[]) => {
      if (stopped || groups.length === 0) return;
      last = groups.at(-1)!.sequence;
      follower.groups(groups);
    };
    const again = (why: string) => {
      if (stopped) return;
      follower.trouble(why);
      timer = setTimeout(begin, FOLLOW_AGAIN_MS);
    };
    const catchUp = async () => {
      const { assembler, revision } = await this.#page(last, deliver);
      if (assembler.last === last && (await this.head())?.base! > last) {
        if (!stopped) follower.trimmed();
        return;
      }
      if (stopped) return;
      follower.trouble(null);
      const prefix = this.#entries;
      unwatch = this.#client.watch(prefix, prefixEnd(prefix), revision + 1, {
        events: (events) => {
          for (const { key, value } of events) {
            if (value === null) assembler.drop(parseKey(key));
            else assembler.put(parseKey(key), value);
          }
          deliver(assembler.take());
        },
        ended: again,
      });
    };
    const begin = () => void catchUp().catch((error: Error) => again(error.message));
    begin();
    return () => {
      stopped = true;
      clearTimeout(timer);
      unwatch();
    };
  }

  async trim(epoch: number, through: number): Promise<void> {
    const head = await this.head();
    if (head === null) return;
    if (head.base < through) {
      await this.#transact(epoch, [this.#headStep({ id: head.id, base: through })]);
      for (let end = head.base; end < through;) {
        end = Math.min(through, end + TRIM_GROUPS);
        await this.#transact(epoch, [{ delete: this.#entries, end: this.#key(end + 1) }]);
      }
    }
    const idle = this.#options.clock() - this.#compactedAtMs < COMPACT_EVERY_MS;
    if (this.#options.compact && (head.base < through || !idle)) await this.#compact();
  }

  async announce(record: MemberRecord, ttlMs: number): Promise<void> {
    const put = (lease: string) =>
      this.#client.transact([], [{
        ...{ put: `${this.#root}members/${record.id}`, value: JSON.stringify(record), lease },
      }]);
    const lease = this.#memberLease;
    if (lease !== null && lease.ttlMs === ttlMs && await this.#client.keepAlive(lease.id)) {
      await put(lease.id);
      return;
    }
    const id = await this.#client.grantLease(Math.ceil(ttlMs / 1000));
    this.#memberLease = { id, ttlMs };
    await put(id);
  }

  async members(): Promise<MemberRecord[]> {
    const prefix = `${this.#root}members/`;
    const { entries } = await this.#client.range(prefix, prefixEnd(prefix));
    return entries.flatMap(({ value }) => parseMember(new TextDecoder().decode(value)) ?? []);
  }

  async close(): Promise<void> {
    const lease = this.#memberLease;
    if (lease !== null) await this.#client.revokeLease(lease.id).catch(() => {});
    this.#client.close();
  }

  #key(sequence: number): string {
    return `${this.#entries}${String(sequence).padStart(16, "0")}`;
  }

  #headStep({ id, base }: LogHead): EtcdStep {
    return { put: `${this.#root}log_head`, value: JSON.stringify({ format: FORMAT, id, base }) };
  }

  /** Does `steps` if the epoch still runs. */
  async #transact(epoch: number, steps: readonly EtcdStep[]): Promise<number> {
    const condition = { key: this.#leader, createRevision: epoch };
    const { succeeded, revision } = await this.#client.transact([condition], steps);
    if (!succeeded) throw new FencedError("another master leads");
    return revision;
  }

  async #has(sequence: number): Promise<boolean> {
    const { entries } = await this.#client.range(this.#key(sequence), this.#key(sequence + 1), 1);
    return entries.length > 0;
  }

  /**
   * Reads what lies behind `after`, hands out what has no gap and leaves the rest in the assembler;
   * every later change has a higher revision than the returned one.
   */
  async #page(
    after: number,
    deliver: (groups: LogGroup[]) => void,
  ): Promise<{ assembler: LogAssembler; revision: number }> {
    const assembler = new LogAssembler(after);
    let from = this.#key(after + 1);
    let first: number | null = null;
    for (;;) {
      const page = await this.#client.range(from, prefixEnd(this.#entries), PAGE_KEYS);
      first ??= page.revision;
      for (const { key, value } of page.entries) assembler.put(parseKey(key), value);
      const groups = assembler.take();
      if (groups.length > 0) deliver(groups);
      if (!page.more) return { assembler, revision: first };
      from = `${page.entries.at(-1)!.key}\0`;
    }
  }

  /** Has etcd forget the versions of keys that are not the present ones. */
  async #compact(): Promise<void> {
    const { revision } = await this.#client.range(`${this.#root}log_head`);
    await this.#client.compact(revision);
    this.#compactedAtMs = this.#options.clock();
  }
}

function digits(part: number, parts: number): string {
  return `.${String(part).padStart(4, "0")}.${String(parts).padStart(4, "0")}`;
}

function parseKey(key: string): LogPart {
  const [sequence, part, parts] = key.slice(key.lastIndexOf("/") + 1).split(".").map(Number);
  return { sequence, part, parts };
}

function parseHead({ value }: EtcdEntry): LogHead {
  const text = new TextDecoder().decode(value);
  const { format, id, base } = JSON.parse(text) as LogHead & { format: number };
  if (format !== FORMAT) {
    throw new EngineError(`etcd: the log has format ${format}; this master reads ${FORMAT}`);
  }
  return { id, base };
}

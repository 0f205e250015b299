/** A core with a clock that tests move by hand, and its calls with texts for keys and clients. */
import assert from "node:assert/strict";
import type { Checksum, CoreConfig, MatchSink, Writer } from "../../master/core/api.ts";
import { defaultCoreConfig } from "../../master/core/config.ts";
import { MasterCore } from "../../master/core/core.ts";
import type { KeyPage } from "../../master/core/inspect.ts";
import { SeededRng } from "../../master/core/rng.ts";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import {
  type ReplicateConfig,
  ReplicaType,
  type Segment,
  SoftPinAction,
  type Uuid,
} from "../../proto/types.ts";

export const MIB = 2 ** 20;

/** One replica as the core described it. */
export interface SeenReplica {
  kind: "memory" | "disk" | "local_disk";
  id: number;
  status: number;
  size: number;
  segment: number;
  offset: number;
  path: string;
}

/** A checksum as the core takes it. */
export function halves(checksum: bigint): Checksum {
  return { low: Number(checksum & 0xffff_ffffn), high: Number(checksum >> 32n) };
}

/** Keeps what the core describes. */
export class RecordingSink implements MatchSink {
  /** Of the object described last. */
  replicas: SeenReplica[] = [];
  /** What walks over many keys described. */
  readonly matches: { key: string; replicas: SeenReplica[] }[] = [];
  leaseTtlMs = -1;
  /** The checksum. */
  sum: bigint | null = null;
  announced = 0;
  #walking = false;

  key(bytes: Uint8Array, start: number, end: number): void {
    const key = new TextDecoder().decode(bytes.subarray(start, end));
    this.matches.push({ key, replicas: [] });
    this.#walking = true;
  }

  begin(count: number, leaseTtlMs: number): void {
    this.replicas = this.#walking ? this.matches.at(-1)!.replicas : [];
    this.#walking = false;
    this.announced = count;
    this.leaseTtlMs = leaseTtlMs;
    this.sum = null;
  }

  checksum(low: number, high: number): void {
    this.sum = BigInt(high >>> 0) << 32n | BigInt(low >>> 0);
  }

  memory(id: number, status: number, size: number, segment: number, offset: number): void {
    this.replicas.push({ kind: "memory", id, status, size, segment, offset, path: "" });
  }

  disk(id: number, status: number, size: number, filePath: string): void {
    this.#other("disk", id, status, size, filePath);
  }

  localDisk(id: number, status: number, size: number, client: Uuid, endpoint: string): void {
    this.#other("local_disk", id, status, size, `${client}@${endpoint}`);
  }

  #other(
    kind: "disk" | "local_disk",
    id: number,
    status: number,
    size: number,
    path: string,
  ): void {
    this.replicas.push({ kind, id, status, size, segment: -1, offset: -1, path });
  }
}

export function replicateConfig(changes: Partial<ReplicateConfig> = {}): ReplicateConfig {
  return {
    replicaNum: 1,
    nofReplicaNum: 0,
    dfsReplicaNum: 0,
    softPinAction: SoftPinAction.PRESERVE,
    softPinTtlMs: null,
    withHardPin: false,
    preferredSegments: [],
    preferredSegment: "",
    preferredNofSegments: [],
    preferAllocInSameNode: false,
    dataType: 0,
    hostId: "",
    groupIds: null,
    ...changes,
  };
}

export function segmentOf(id: number, name: string, size: number, hostId = ""): Segment {
  const base = 0x7f00_0000_0000n + BigInt(id) * 0x100_0000_0000n;
  const endpoint = `${name}-endpoint`;
  return { id: `${id}-${id}`, name, base, size, teEndpoint: endpoint, protocol: "tcp", hostId };
}

/** The id of a test client. */
export function clientId(client: number): Uuid {
  return `${client}-${client * 7}`;
}

const encoder = new TextEncoder();

export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

export interface StartOptions extends Partial<ReplicateConfig> {
  client?: number;
  /** The client's number of the write, 0 = none. */
  writeId?: number;
  group?: string;
  upsert?: boolean;
}

export class CoreDriver {
  readonly core: MasterCore;
  readonly sink = new RecordingSink();
  nowMs = 1_000_000;
  /** Whose keys the calls are about. */
  tenant = 0;

  constructor(changes: Partial<CoreConfig> = {}, seed = 1) {
    const config = defaultCoreConfig({ epochOffsetMs: 1_700_000_000_000, ...changes });
    this.core = new MasterCore(config, new SeededRng(seed));
    this.core.tick(this.nowMs);
  }

  /** Mounts a segment of a client and remounts the client, so that it counts as alive. */
  mount(id: number, size: number, options: { client?: number; name?: string; host?: string } = {}) {
    const { client = 1, name = `segment-${id}`, host = "" } = options;
    const segment = segmentOf(id, name, size, host);
    this.ok(this.core.cluster.mountSegment(segment, clientId(client)));
    this.ok(this.core.cluster.remountSegments([segment], clientId(client)));
    return segment;
  }

  /** Begins a put or upsert; the code. What it described is in `sink`. */
  start(key: string, size: number, options: StartOptions = {}): number {
    const { client = 1, writeId = 0, group, upsert = false, ...config } = options;
    const bytes = bytesOf(key);
    const method = upsert ? this.core.upsertStart : this.core.putStart;
    return method.call(
      this.core,
      this.writer(client, writeId),
      this.tenant,
      bytes,
      0,
      bytes.length,
      size,
      replicateConfig(config),
      group === undefined ? null : bytesOf(group),
      this.nowMs,
      this.sink,
    );
  }

  writer(client: number, writeId = 0): Writer {
    return { client: this.core.internClientUuid(clientId(client)), writeId };
  }

  end(
    key: string,
    client = 1,
    type: number = ReplicaType.ALL,
    checksum: bigint | null = null,
    writeId = 0,
  ): number {
    const bytes = bytesOf(key);
    const writer = this.writer(client, writeId);
    return this.core.putEnd(
      writer,
      this.tenant,
      bytes,
      0,
      bytes.length,
      checksum === null ? null : halves(checksum),
      type,
      this.nowMs,
    );
  }

  revoke(key: string, client = 1, type: number = ReplicaType.ALL, writeId = 0): number {
    const bytes = bytesOf(key);
    const writer = this.writer(client, writeId);
    return this.core.putRevoke(writer, this.tenant, bytes, 0, bytes.length, type, this.nowMs);
  }

  /** Reserves memory for a write of a client; the code. What it described is in `sink`. */
  reserve(writeId: number, size: number, options: Omit<StartOptions, "writeId"> = {}): number {
    const { client = 1, ...config } = options;
    const { core: { reservations }, tenant, nowMs, sink } = this;
    const writer = this.writer(client, writeId);
    return reservations.reserve(writer, tenant, size, replicateConfig(config), nowMs, sink);
  }

  /** Ends a put into that. */
  endReserved(
    key: string,
    writeId: number,
    client = 1,
    checksum: bigint | null = null,
  ): number {
    const bytes = bytesOf(key);
    const sum = checksum === null ? null : halves(checksum);
    const writer = this.writer(client, writeId);
    const { core: { reservations }, tenant, nowMs } = this;
    return reservations.end(writer, tenant, bytes, 0, bytes.length, sum, nowMs);
  }

  giveBack(writeId: number, written = true, client = 1): void {
    const { core: { reservations }, tenant, nowMs } = this;
    this.ok(reservations.giveBack(clientId(client), tenant, [{ writeId, written }], nowMs));
  }

  /** A whole put; its replicas as they were handed out. */
  put(key: string, size: number, options: StartOptions = {}): SeenReplica[] {
    this.ok(this.start(key, size, options));
    const { replicas } = this.sink;
    this.ok(this.end(key, options.client ?? 1));
    return replicas;
  }

  exist(key: string): number {
    const bytes = bytesOf(key);
    return this.core.existKey(this.tenant, bytes, 0, bytes.length, this.nowMs);
  }

  /** The code of a get; what it described is in `sink`. */
  get(key: string): number {
    const bytes = bytesOf(key);
    return this.core.getReplicaList(this.tenant, bytes, 0, bytes.length, this.nowMs, this.sink);
  }

  /** Whether each of the keys of a batch was found. */
  getMany(keys: readonly string[]): boolean[] {
    const starts: number[] = [];
    const ends: number[] = [];
    let at = 0;
    for (const key of keys) {
      starts.push(at);
      ends.push(at += bytesOf(key).length);
    }
    const list = {
      count: keys.length,
      starts: Uint32Array.from(starts),
      ends: Uint32Array.from(ends),
    };
    this.core.locate(this.tenant, bytesOf(keys.join("")), list, true);
    return keys.map((_, i) =>
      this.core.getReplicaListAt(i, this.nowMs, this.sink) === ErrorCode.OK
    );
  }

  /** A get by somebody who takes a hold: for how many milliseconds it got one. */
  hold(key: string): number {
    assert.deepEqual(this.getMany([key]), [true]);
    return this.core.grantHoldAt(0, this.nowMs);
  }

  /** What a key is, without a lease; `null` = there is no such key. */
  peek(key: string) {
    return this.core.inspection.keyDetail(this.tenant, bytesOf(key));
  }

  remove(key: string, force = false): number {
    const bytes = bytesOf(key);
    return this.core.remove(this.tenant, bytes, 0, bytes.length, force, this.nowMs);
  }

  /** A removal of all, in one go: the number of objects removed, or a code. */
  removeAll(force = false, tenant = this.tenant): number {
    const removal = this.core.scans.removal(tenant, null, force);
    assert(removal.step({ left: Infinity }, this.nowMs));
    return removal.code === ErrorCode.OK ? removal.removed : removal.code;
  }

  /** The same of those whose keys match. */
  removeByRegex(pattern: string, force = false): number {
    const removal = this.core.scans.removal(this.tenant, bytesOf(pattern), force);
    assert(removal.step({ left: Infinity }, this.nowMs));
    return removal.code === ErrorCode.OK ? removal.removed : removal.code;
  }

  /** The number of objects whose keys match, or a code; what was described is in `sink`. */
  listByRegex(pattern: string): number {
    const listing = this.core.scans.listing(this.tenant, bytesOf(pattern), this.sink);
    assert(listing.step({ left: Infinity }, this.nowMs));
    return listing.code === ErrorCode.OK ? listing.matches : listing.code;
  }

  ping(client = 1) {
    return this.core.cluster.ping(clientId(client));
  }

  /** Lets time pass as a running master sees it: a tick every 100 ms, pings of the given clients. */
  pass(ms: number, pinging: number[] = [1]): void {
    const stop = this.nowMs + ms;
    while (this.nowMs < stop) {
      this.nowMs = Math.min(stop, this.nowMs + 100);
      for (const client of pinging) this.ping(client);
      this.settle();
    }
  }

  /** Ticks until nothing is left to do at this moment. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) if (this.core.tick(this.nowMs) > 0) return;
    assert.fail("the core never comes to rest");
  }

  keys(): string[] {
    const keys: string[] = [];
    for (let cursor: number | null = 0; cursor !== null;) {
      const page: KeyPage = this.core.inspection.listKeys(cursor, 1e6, 1e9, this.tenant);
      keys.push(...unpack(page.bytes, page.ends));
      cursor = page.next;
    }
    return keys.sort();
  }

  /** Keys in the order in which they would be evicted. */
  evictionOrder(): string[] {
    const page = this.core.inspection.leastRecentlyUsed(1e6, this.tenant);
    return unpack(page.bytes, page.ends);
  }

  ok(code: number): void {
    assert.equal(errorName(code), errorName(ErrorCode.OK));
  }
}

/** Compares codes by name, so that a failure can be read. */
export function assertCode(actual: number, expected: number): void {
  assert.equal(errorName(actual), errorName(expected));
}

function unpack(bytes: Uint8Array, ends: Uint32Array): string[] {
  const decoder = new TextDecoder();
  return Array.from(
    ends,
    (end, i) => decoder.decode(bytes.subarray(i === 0 ? 0 : ends[i - 1], end)),
  );
}

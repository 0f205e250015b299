import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type { QueryTaskResponse, ReplicaDescriptor, Segment, Uuid } from "../proto/types.ts";
import { readBatch } from "./batch_read.ts";
import { beginCall } from "./budget.ts";
import { writeBatch } from "./batch_write.ts";
import type { StoreBuffer } from "./buffer_pool.ts";
import type { Result, StoreContext } from "./context.ts";
import { checkItems, type GetIntoItem, type PutItem, type RemoveOptions } from "./items.ts";
import { describe, type Key, keyBytes, keysBytes } from "./key.ts";
import { existBatch, exists, lookUp, sizeOf } from "./lookup.ts";
import { valueOf } from "./master_client.ts";
import { answerValue, objectError } from "./object_call.ts";
import { type Memory, sliceOf, slicesOf, type Value } from "./memory.ts";
import { placed, splitPlacing } from "./placing.ts";
import { type PutOptions, replicateConfig } from "./put_options.ts";
import {
  checkInside,
  checkRanges,
  rangePieces,
  type ReadRange,
  type ReadRangeInto,
} from "./ranges.ts";
import { readObject } from "./read.ts";
import type { ReadPiece } from "./read_piece.ts";
import { removeAll, removeBatch, removeByRegex, removeObject } from "./remove.ts";
import { type ClientParts, closeClient, openClient, type StoreOptions } from "./setup.ts";
import { parseSize } from "./size.ts";
import { onlyTraffic, orAborted, splitTraffic } from "./traffic.ts";
import type { Traffic } from "./transfer/door.ts";
import type { DeviceMemory, TransferStats } from "./transfer/engine.ts";
import type { MemorySurvey } from "./transfer/memory_maps.ts";
import { type WriteKind, writeObject, type WriteOutcome } from "./write.ts";

/**
 * A client of a store: puts objects into memory that a cluster's nodes lend, and may lend its own.
 *
 * A single operation rejects with `StoreError` when it fails; a batch resolves with one
 * {@linkcode Result} per item, in order, and rejects only for a closed client. A call longer than
 * `opBudgetMs` ends with `DEADLINE_EXCEEDED`; one whose signal is aborted rejects with its reason, or
 * has `CANCELLED` for the items that were not done. Wrong arguments reject with `TypeError` or
 * `RangeError` at once. The caller's memory must not change until the promise has settled.
 *
 * @example
 * ```ts ignore
 * await using client = await StoreClient.connect({ masterServerAddress: "127.0.0.1:50051" });
 * await client.put("layer/0", new Uint8Array([1, 2, 3]));
 * console.log(await client.get("layer/0"));
 * ```
 */
export class StoreClient implements AsyncDisposable {
  readonly #parts: ClientParts;
  readonly #store: StoreContext;
  readonly #closing = new AbortController();
  #closed: Promise<void> | null = null;

  private constructor(parts: ClientParts) {
    this.#parts = parts;
    this.#store = parts.store;
  }

  /**
   * Connects to a master, lends memory if asked to, and keeps the client known to the master until
   * {@linkcode close}. `RangeError` or `TypeError` for a bad option; `StoreError`: `INVALID_PARAMS`
   * when there is nothing to do or memory cannot be lent, `RPC_FAIL` or `RPC_TIMEOUT` without an
   * answer of the master, `INVALID_VERSION` when it speaks another protocol.
   */
  static async connect(options: StoreOptions = {}): Promise<StoreClient> {
    return new StoreClient(await openClient(options));
  }

  /** This client's id with the master. */
  get clientId(): Uuid {
    return this.#store.clientId;
  }

  /** Name of the memory that this client lends; empty while it lends none. */
  get hostname(): string {
    return this.segments[0]?.name ?? "";
  }

  /** The memory that this client lends. */
  get segments(): Segment[] {
    return this.#parts.segments.segments;
  }

  /** Whether the master answered the last heartbeat, at most about a second ago. */
  get connected(): boolean {
    return this.#closed === null && this.#parts.session.connected;
  }

  /** The transport with a library of its own, and what that has been run on; `null` without. */
  get plugin(): { readonly name: string; readonly standing: string } | null {
    return this.#parts.endpoint.engine.plugin ?? null;
  }

  /** Which transfer engine moves the bytes: `tcp-native`, `rdma-native`, `tcp-typescript`, ... */
  get engine(): string {
    return this.#parts.endpoint.engine.name;
  }

  /** What this client's memory has served to peers so far. */
  transferStats(): TransferStats {
    return this.#parts.endpoint.engine.stats();
  }

  /** Reads begun a second time at another replica so far, and those of them that were used. */
  get hedgedReads(): { begun: number; won: number } {
    const { begun, won } = this.#store.hedges;
    return { begun, won };
  }

  /** Reads begun before the master's answer so far, and those of them that it confirmed. */
  get earlyReads(): { begun: number; used: number } {
    const { begun, used } = this.#store.places;
    return { begun, used };
  }

  /** Objects read so far without asking the master, because they were held. */
  get heldReads(): { count: number } {
    return { count: this.#store.places.held };
  }

  /** Puts into memory reserved ahead so far: those that were stored, and those of a taken key. */
  get reservedPuts(): { stored: number; inVain: number } {
    const { stored, inVain } = this.#store.reserved;
    return { stored, inVain };
  }

  /** Reads refused by peers so far, as of memory that they do not lend any more; others were read. */
  get fencedReads(): number {
    return this.#store.choice.readsFenced;
  }

  /**
   * How many replicas this client has read whose bytes were not those that were written. They are not
   * returned: another replica is, or the object counts as missing.
   */
  get checksumMismatches(): number {
    return this.#store.checks.mismatches;
  }

  /**
   * Stores an object. Resolves with `exists`, and leaves the old value, when the key has a value or
   * is being written by somebody else. `StoreError`: `INVALID_PARAMS` for an empty key or value,
   * `NO_AVAILABLE_HANDLE` without room, `TRANSFER_FAIL` when a replica could not be written.
   */
  put(key: Key, value: Value, options?: PutOptions): Promise<WriteOutcome> {
    return this.#write("put", key, value, options);
  }

  /**
   * Stores or replaces an object: readers see the old or the new value. Of overlapping upserts of one
   * key, those replaced before they were done reject with `ILLEGAL_CLIENT`. Errors as `put`.
   */
  async upsert(key: Key, value: Value, options?: PutOptions): Promise<void> {
    await this.#write("upsert", key, value, options);
  }

  /**
   * Reads an object; `null` when there is none. `StoreError`: `TRANSFER_FAIL` when no replica could
   * be read, `LEASE_EXPIRED` when it took longer than the master guards the bytes.
   */
  async get(key: Key, options?: Traffic): Promise<Uint8Array | null> {
    const bytes = keyBytes(key);
    const traffic = onlyTraffic(options);
    this.#checkData();
    let value = new Uint8Array(0);
    const found = await this.#move(traffic, (store) =>
      readObject(store, bytes, (size) => {
        value = new Uint8Array(size);
        return [{ offset: 0, length: size, local: value, localOffset: 0 }];
      }, false));
    return found ? value : null;
  }

  /**
   * Reads an object into memory and resolves with its size; `null` when there is none. Errors as
   * `get`, and `INVALID_PARAMS` when the memory is too short. Memory that the object does not fill, all
   * of it where there is none, may be zeroed (see `earlyReads`); after an error it may hold anything.
   */
  async getInto(key: Key, target: Memory, options?: Traffic): Promise<number | null> {
    const bytes = keyBytes(key);
    const traffic = onlyTraffic(options);
    const slice = sliceOf(target, "A target");
    this.#checkData();
    let length = 0;
    const found = await this.#move(traffic, (store) =>
      readObject(store, bytes, (size) => {
        if (size > slice.length) {
          const why = `its ${size} bytes do not fit into ${slice.length}`;
          throw objectError(ErrorCode.INVALID_PARAMS, "read", bytes, why);
        }
        length = size;
        return [{ offset: 0, length, local: slice.local, localOffset: slice.localOffset }];
      }));
    return found ? length : null;
  }

  /**
   * Reads parts of an object; `null` when there is none. Errors as `get`, and `INVALID_PARAMS` for a
   * range that reaches beyond the object.
   */
  async getRanges(key: Key, ranges: readonly ReadRange[]): Promise<Uint8Array[] | null> {
    checkRanges(ranges);
    const values = ranges.map(({ length }) => new Uint8Array(length));
    const into = ranges.map((range, i) => ({ ...range, target: values[i] }));
    return await this.getIntoRanges(key, into) === null ? null : values;
  }

  /** Reads parts of an object into memory and resolves with their bytes. Errors as `getRanges`. */
  async getIntoRanges(key: Key, ranges: readonly ReadRangeInto[]): Promise<number | null> {
    const bytes = keyBytes(key);
    const pieces = rangePieces(ranges);
    this.#checkData();
    const found = await readObject(this.#begin(), bytes, (size) => {
      checkInside(pieces, size, bytes);
      return pieces;
    });
    return found ? pieces.reduce((sum, { length }) => sum + length, 0) : null;
  }

  /** Bytes of an object; `null` when there is none. */
  async getSize(key: Key): Promise<number | null> {
    const replicas = await this.replicas(key);
    return replicas === null || replicas.length === 0 ? null : sizeOf(replicas[0]);
  }

  /** Whether an object can be read. */
  async isExist(key: Key): Promise<boolean> {
    const bytes = keyBytes(key);
    this.#checkOpen();
    return await exists(this.#begin(), bytes);
  }

  /** Where an object is stored; `null` when there is none. */
  async replicas(key: Key): Promise<ReplicaDescriptor[] | null> {
    const bytes = keyBytes(key);
    this.#checkOpen();
    return (await lookUp(this.#begin(), bytes))?.replicas ?? null;
  }

  /**
   * Removes an object. `StoreError`: `OBJECT_NOT_FOUND`, `OBJECT_HAS_LEASE` unless forced,
   * `REPLICA_IS_NOT_READY` while it is being written.
   */
  async remove(key: Key, options: RemoveOptions = {}): Promise<void> {
    const bytes = keyBytes(key);
    this.#checkOpen();
    await removeObject(this.#begin(), bytes, options.force ?? false);
  }

  /**
   * Removes the objects in whose key an ECMAScript pattern is found, and resolves with how many.
   * `StoreError` with `INVALID_PARAMS` for a bad pattern.
   */
  async removeByRegex(pattern: string, options: RemoveOptions = {}): Promise<number> {
    if (typeof pattern !== "string") {
      throw new TypeError(`A pattern is a string, not ${describe(pattern)}`);
    }
    this.#checkOpen();
    return await removeByRegex(this.#begin(), pattern, options.force ?? false);
  }

  /** Removes every object that is not leased, or every object, and resolves with how many. */
  async removeAll(options: RemoveOptions = {}): Promise<number> {
    this.#checkOpen();
    return await removeAll(this.#begin(), options.force ?? false);
  }

  /** `put` of several objects in a few calls; results carry `stored` or `exists`. */
  batchPut(items: readonly PutItem[], options?: PutOptions): Promise<Result<WriteOutcome>[]> {
    return this.#writeBatch("put", items, options);
  }

  /** `upsert` of several objects in a few calls. */
  batchUpsert(items: readonly PutItem[], options?: PutOptions): Promise<Result<WriteOutcome>[]> {
    return this.#writeBatch("upsert", items, options);
  }

  /** `get` of several objects; a missing one has the code `OBJECT_NOT_FOUND`. */
  async batchGet(keys: readonly Key[], options?: Traffic): Promise<Result<Uint8Array>[]> {
    const bytes = keysBytes(keys);
    const traffic = onlyTraffic(options);
    this.#checkData();
    const values: Uint8Array[] = new Array(bytes.length);
    const codes = await readBatch(this.#begin(traffic), bytes, (i, size) => {
      const value = values[i] = new Uint8Array(size);
      return [{ offset: 0, length: size, local: value, localOffset: 0 }];
    }, false);
    return Array.from(codes, (code, i) => ({ code, value: code === 0 ? values[i] : null }));
  }

  /** `getInto` of several objects; results carry bytes, or `INVALID_PARAMS` for short memory. */
  async batchGetInto(items: readonly GetIntoItem[], options?: Traffic): Promise<Result<number>[]> {
    checkItems(items);
    const traffic = onlyTraffic(options);
    const bytes = items.map(({ key }) => keyBytes(key));
    const slices = items.map(({ target }) => sliceOf(target, "A target"));
    this.#checkData();
    const sizes = new Float64Array(items.length);
    const codes = await readBatch(this.#begin(traffic), bytes, (i, size): ReadPiece[] | number => {
      if (size > slices[i].length) return ErrorCode.INVALID_PARAMS;
      sizes[i] = size;
      return [{ ...slices[i], offset: 0, length: size }];
    });
    return Array.from(codes, (code, i) => ({ code, value: code === 0 ? sizes[i] : null }));
  }

  /** `isExist` of several objects. */
  async batchIsExist(keys: readonly Key[]): Promise<Result<boolean>[]> {
    const bytes = keysBytes(keys);
    this.#checkOpen();
    return await existBatch(this.#begin(), bytes);
  }

  /** `remove` of several objects. */
  async batchRemove(keys: readonly Key[], options: RemoveOptions = {}): Promise<Result<null>[]> {
    const bytes = keysBytes(keys);
    this.#checkOpen();
    return await removeBatch(this.#begin(), bytes, options.force ?? false);
  }

  /**
   * Native memory that values can be stored from and read into, up to the client's local buffer
   * size; its contents are undefined. `RangeError` for a bad length, `StoreError` with
   * `BUFFER_OVERFLOW` above the limit. With `location`, as `cuda:0`, it is zeroed memory of that
   * device, which the limit is not for: `INVALID_PARAMS` when that cannot be had.
   */
  allocateBuffer(length: number, { location = "" }: { location?: string } = {}): StoreBuffer {
    this.#checkData();
    if (location !== "") return this.#parts.pool.allocateOn(location, length);
    return this.#parts.pool.allocate(length);
  }

  /**
   * Memory of a device that the caller has allocated, as a buffer that values are stored from and
   * read into. It must stay until the buffer has been disposed, and work of the device that writes it
   * must be over before it is used. `StoreError` with `INVALID_PARAMS` when the range is not memory
   * of that device.
   */
  useDeviceMemory(location: string, address: bigint, length: number): StoreBuffer {
    this.#checkData();
    if (typeof address !== "bigint" || address <= 0n || address >= 1n << 64n) {
      throw new RangeError(`address is ${String(address)}; allowed: 1n to 2n ** 64n - 1n`);
    }
    if (location === "") throw new RangeError("location is empty; allowed: cuda:N, npu:N");
    return this.#parts.pool.allocateOn(location, length, address);
  }

  /** The device that lent memory lies on, or `null`. */
  get device(): Pick<DeviceMemory, "location" | "name" | "standing"> | null {
    return this.#parts.segments.device;
  }

  /** The DAX device or file that lent memory is, and which of the two; `null` without. */
  get memoryFile(): { readonly path: string; readonly kind: string } | null {
    return this.#parts.file;
  }

  /** Resolves when the system has provided the memory lent so far, or could not. Never rejects. */
  get populated(): Promise<void> {
    return this.#parts.segments.populated;
  }

  /**
   * Where the lent memory lies: bytes by NUMA node and by size of page. `null` without memory of the
   * host, and with the engine in TypeScript. Takes the longer the more ordinary pages there are.
   */
  surveyMemory(): Promise<MemorySurvey | null> {
    return this.#parts.segments.survey();
  }

  /**
   * Lends further memory, given in bytes or as text (`"1gb"`). `StoreError` when it cannot be had, or
   * the master refuses it or does not answer; the memory is freed then.
   */
  async mountSegment(size: number | string): Promise<Segment> {
    const bytes = parseSize("size", size);
    if (bytes === 0) throw new RangeError("A segment needs at least one byte");
    this.#checkOpen();
    return await this.#parts.segments.mount(bytes);
  }

  /**
   * Takes lent memory back. Objects in it are lost at once, or, with `graceMs`, stay readable so
   * long; the promise resolves when the memory is free. `StoreError`: `SEGMENT_NOT_FOUND` for an
   * unknown id; `RPC_FAIL` or `RPC_TIMEOUT` when the master does not answer, and then the memory is
   * freed as soon as it does, whether or not the call is repeated.
   */
  async unmountSegment(id: Uuid, { graceMs = 0 }: { graceMs?: number } = {}): Promise<void> {
    if (!Number.isSafeInteger(graceMs) || graceMs < 0) {
      throw new RangeError(`graceMs is ${describe(graceMs)}; allowed: integers from 0`);
    }
    this.#checkOpen();
    await this.#parts.segments.unmount(id, graceMs, this.#closing.signal);
  }

  /**
   * Orders copies of an object on further segments, given by name, and resolves with the task's id;
   * the owner of the object does it. `StoreError`: `OBJECT_NOT_FOUND`, `INVALID_PARAMS` for an
   * unknown segment, `TASK_PENDING_LIMIT_EXCEEDED`.
   */
  async createCopyTask(key: Key, targets: readonly string[]): Promise<Uuid> {
    const bytes = keyBytes(key);
    this.#checkOpen();
    const { master, tenantId } = this.#begin();
    const answer = await master.createCopyTask({ key: bytes, tenantId, targets: [...targets] });
    return answerValue(answer, "order copies of", bytes);
  }

  /** Orders the move of an object from one segment to another. Errors as `createCopyTask`. */
  async createMoveTask(key: Key, source: string, target: string): Promise<Uuid> {
    const bytes = keyBytes(key);
    this.#checkOpen();
    const { master, tenantId } = this.#begin();
    const answer = await master.createMoveTask({ key: bytes, tenantId, source, target });
    return answerValue(answer, "order the move of", bytes);
  }

  /** How a task stands. `StoreError` with `TASK_NOT_FOUND` for an unknown id. */
  async queryTask(id: Uuid): Promise<QueryTaskResponse> {
    this.#checkOpen();
    return valueOf(await this.#begin().master.queryTask({ taskId: id }), `Cannot query task ${id}`);
  }

  /**
   * Takes lent memory back and gives every socket and timer up. Operations in flight fail; later ones
   * reject with `StoreError`, `UNAVAILABLE_IN_CURRENT_STATUS`. Never rejects; may be called again.
   */
  close(): Promise<void> {
    this.#closing.abort();
    return this.#closed ??= closeClient(this.#parts);
  }

  /** {@linkcode close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #write(
    kind: WriteKind,
    key: Key,
    value: Value,
    options: PutOptions | undefined,
  ): Promise<WriteOutcome> {
    const bytes = keyBytes(key);
    const slices = slicesOf(value);
    const { traffic, rest } = splitTraffic(options);
    const { placing, rest: wanted } = splitPlacing(rest);
    const config = replicateConfig(wanted, this.#store.defaultConfig, 1);
    this.#checkData();
    return await this.#move(
      traffic,
      (store) => writeObject(placed(store, placing), kind, bytes, slices, config),
    );
  }

  async #writeBatch(
    kind: WriteKind,
    items: readonly PutItem[],
    options: PutOptions | undefined,
  ): Promise<Result<WriteOutcome>[]> {
    checkItems(items);
    const writes = items.map(({ key, value }) => ({ key: keyBytes(key), slices: slicesOf(value) }));
    const { traffic, rest } = splitTraffic(options);
    const { placing, rest: wanted } = splitPlacing(rest);
    const config = replicateConfig(wanted, this.#store.defaultConfig, items.length);
    this.#checkData();
    return await writeBatch(placed(this.#begin(traffic), placing), kind, writes, config);
  }

  /** The store for one call, whose time begins now. */
  #begin(traffic?: Traffic): StoreContext {
    return beginCall(this.#store, traffic);
  }

  /** Runs one call that moves bytes; the reason of its signal is the error when it is cancelled. */
  #move<T>(traffic: Traffic, call: (store: StoreContext) => Promise<T>): Promise<T> {
    const { signal } = traffic;
    if (signal === undefined) return call(this.#begin(traffic));
    return orAborted(signal, () => call(this.#begin(traffic)));
  }

  #checkOpen(): void {
    if (this.#closed === null) return;
    throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, "The client is closed");
  }

  /** A pure server lends memory and moves no objects of its own. */
  #checkData(): void {
    this.#checkOpen();
    if (this.#parts.settings.localBufferSize > 0) return;
    const why = "A client without a local buffer is a pure server and may not move objects";
    throw new StoreError(ErrorCode.ILLEGAL_CLIENT, why);
  }
}

import { type Segment, SegmentStatus, type Uuid } from "../../proto/types.ts";
import { type ExtentPool, SegmentAllocator } from "./allocator.ts";
import type { SegmentView } from "./api.ts";
import { MAX_SEGMENTS } from "./replicas.ts";

const MIN_UNIT_BYTES = 64;
/** Longest name, endpoint or protocol: every answer about an object in the segment repeats it. */
const MAX_TEXT_LENGTH = 4096;
const MAX_UNITS = 2 ** 32 - 1;

/** Values of the column that says what becomes of a segment's contents. */
const GONE = 0;
const ATTACHED = 1;
const AWAITING = 2;

/** A segment that is mounted, or whose remains are being swept up. */
export interface SegmentEntry {
  readonly index: number;
  readonly view: SegmentView;
  readonly owner: number;
  readonly allocator: SegmentAllocator;
  /** Extents are counted in units of so many bytes, a power of two: 64, more over 256 GiB. */
  readonly unitBytes: number;
  status: SegmentStatus;
  /** When a graceful unmount ends, `Infinity` without one. */
  unmountAtMs: number;
  readonly name: SegmentName;
  /** When it joined, in the time of `ClientTable.awakeMs`; `-Infinity` = before this process began. */
  joinedMs: number;
}

/** Segments that share a name; replicas of an object go to different names. */
export interface SegmentName {
  readonly name: string;
  readonly mounted: SegmentEntry[];
  /** Those that take new data. */
  readonly open: SegmentEntry[];
}

/** What a mount has to satisfy before anything is changed. */
export function isMountable(segment: Segment): boolean {
  return segment.base > 0n && segment.size > 0 && Number.isSafeInteger(segment.size) &&
    isCleanText(segment.name) && isCleanText(segment.teEndpoint) && isCleanText(segment.protocol);
}

/** Short, without control characters and without anything that could not be decoded. */
function isCleanText(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return text.length <= MAX_TEXT_LENGTH && !/[\x00-\x1f\x7f\ufffd]/.test(text);
}

/** Memory segments: by index, id, name and owner. */
export class SegmentTable {
  readonly #pool: ExtentPool;
  readonly #entries: (SegmentEntry | null)[] = [];
  readonly #unused: number[] = [];
  #alive = new Uint8Array(64);
  readonly #byId = new Map<Uuid, SegmentEntry>();
  readonly #byName = new Map<string, SegmentName>();
  readonly #byOwner = new Map<number, SegmentEntry[]>();
  readonly #openNames: SegmentName[] = [];
  readonly #graceful = new Set<SegmentEntry>();
  readonly #dead: SegmentEntry[] = [];
  readonly #awaiting = new Set<SegmentEntry>();
  readonly #encoder = new TextEncoder();
  #longestText = 0;

  constructor(pool: ExtentPool) {
    this.#pool = pool;
  }

  /** Every index in use is below this. */
  get limit(): number {
    return this.#entries.length;
  }

  /** Names under which something can be allocated. Do not change the array. */
  get openNames(): readonly SegmentName[] {
    return this.#openNames;
  }

  /** Segments that wait for a graceful unmount. */
  get graceful(): ReadonlySet<SegmentEntry> {
    return this.#graceful;
  }

  /** Unmounted segments that still have records, oldest first. */
  get dead(): readonly SegmentEntry[] {
    return this.#dead;
  }

  /** Segments whose owners have not come back since this core took over. */
  get awaiting(): ReadonlySet<SegmentEntry> {
    return this.#awaiting;
  }

  /** Whether the segment is mounted: what lies in it is kept, and readable unless it is awaited. */
  isAlive(index: number): boolean {
    return this.#alive[index] !== GONE;
  }

  /** Whether what lies in the segment can be read. */
  isAttached(index: number): boolean {
    return this.#alive[index] === ATTACHED;
  }

  /** The segment at an index in use. */
  at(index: number): SegmentEntry {
    return this.#entries[index]!;
  }

  /** The segment at an index, `null` when there is none. */
  find(index: number): SegmentEntry | null {
    return this.#entries[index] ?? null;
  }

  /** The view of a mounted segment, or of one being swept up. */
  view(index: number): SegmentView {
    return this.#entries[index]!.view;
  }

  byId(id: Uuid): SegmentEntry | null {
    return this.#byId.get(id) ?? null;
  }

  byName(name: string): SegmentName | null {
    return this.#byName.get(name) ?? null;
  }

  /** The mounted segments of a client, in the order of their mounts. */
  byOwner(client: number): readonly SegmentEntry[] {
    return this.#byOwner.get(client) ?? [];
  }

  /** All mounted segments. */
  mounted(): IterableIterator<SegmentEntry> {
    return this.#byId.values();
  }

  /** Mounted segments. */
  get count(): number {
    return this.#byId.size;
  }

  /** Length in bytes of the longest text that any description of a replica can hold. */
  get longestText(): number {
    return this.#longestText;
  }

  /** Notes that descriptions can hold a text of so many bytes. */
  noteText(bytes: number): void {
    this.#longestText = Math.max(this.#longestText, bytes);
  }

  /** An index for a new segment, -1 when there is no more room. */
  nextIndex(): number {
    if (this.#unused.length > 0) return this.#unused[this.#unused.length - 1];
    return this.#entries.length < MAX_SEGMENTS ? this.#entries.length : -1;
  }

  /** Adds a segment whose id is not mounted, at an index that is not in use. */
  add(index: number, segment: Segment, owner: number): SegmentEntry {
    const listed = this.#unused.lastIndexOf(index);
    if (listed >= 0) this.#unused.splice(listed, 1);
    while (this.#entries.length < index) {
      this.#unused.push(this.#entries.length);
      this.#entries.push(null);
    }
    if (index >= this.#alive.length) {
      const alive = new Uint8Array(Math.max(index + 1, this.#alive.length * 2));
      alive.set(this.#alive);
      this.#alive = alive;
    }
    let unitBytes = MIN_UNIT_BYTES;
    while (Math.floor(segment.size / unitBytes) > MAX_UNITS) unitBytes *= 2;
    const units = Math.floor(segment.size / unitBytes);
    let name = this.#byName.get(segment.name);
    if (name === undefined) {
      name = { name: segment.name, mounted: [], open: [] };
      this.#byName.set(segment.name, name);
    }
    const entry: SegmentEntry = {
      index,
      view: {
        index,
        segment: { ...segment },
        protocolBytes: this.#encoder.encode(segment.protocol),
        endpointBytes: this.#encoder.encode(segment.teEndpoint),
      },
      owner,
      allocator: new SegmentAllocator(this.#pool, index, units),
      unitBytes,
      status: SegmentStatus.OK,
      unmountAtMs: Infinity,
      joinedMs: -Infinity,
      name,
    };
    this.noteText(entry.view.protocolBytes.length);
    this.noteText(entry.view.endpointBytes.length);
    this.#entries[index] = entry;
    this.#alive[index] = ATTACHED;
    this.#byId.set(segment.id, entry);
    name.mounted.push(entry);
    const owned = this.#byOwner.get(owner);
    if (owned === undefined) this.#byOwner.set(owner, [entry]);
    else owned.push(entry);
    this.#open(entry);
    return entry;
  }

  /** Changes the status of a mounted segment; only one that is OK takes new data. */
  setStatus(entry: SegmentEntry, status: SegmentStatus, unmountAtMs: number): void {
    const wasOpen = this.#isOpen(entry);
    entry.status = status;
    entry.unmountAtMs = unmountAtMs;
    if (wasOpen && !this.#isOpen(entry)) this.#close(entry);
    if (!wasOpen && this.#isOpen(entry)) this.#open(entry);
    if (status === SegmentStatus.GRACEFULLY_UNMOUNTING) this.#graceful.add(entry);
    else this.#graceful.delete(entry);
  }

  /**
   * Keeps everything in a mounted segment as it is, but neither readable nor joined by new data,
   * until {@linkcode SegmentTable.attach}.
   */
  await(entry: SegmentEntry): void {
    if (this.#isOpen(entry)) this.#close(entry);
    this.#alive[entry.index] = AWAITING;
    this.#awaiting.add(entry);
  }

  /** Makes an awaited segment what it was before. */
  attach(entry: SegmentEntry): void {
    if (!this.#awaiting.delete(entry)) return;
    this.#alive[entry.index] = ATTACHED;
    if (this.#isOpen(entry)) this.#open(entry);
  }

  /** Makes everything in a segment unreadable; its records wait to be swept up. */
  kill(entry: SegmentEntry): void {
    this.setStatus(entry, SegmentStatus.UNMOUNTING, Infinity);
    this.#alive[entry.index] = GONE;
    this.#awaiting.delete(entry);
    this.#byId.delete(entry.view.segment.id);
    remove(entry.name.mounted, entry);
    if (entry.name.mounted.length === 0) this.#byName.delete(entry.name.name);
    const owned = this.#byOwner.get(entry.owner)!;
    remove(owned, entry);
    if (owned.length === 0) this.#byOwner.delete(entry.owner);
    entry.allocator.close();
    this.#dead.push(entry);
  }

  /** Gives back the index of a killed segment to which nothing refers any more. */
  forget(entry: SegmentEntry): void {
    remove(this.#dead, entry);
    this.#entries[entry.index] = null;
    this.#unused.push(entry.index);
  }

  /** Length in units of an extent for `bytes`. */
  unitsFor(entry: SegmentEntry, bytes: number): number {
    return Math.ceil(bytes / entry.unitBytes);
  }

  /** Whether an extent for `bytes` could lie in some segment that takes new data, were it empty. */
  couldHold(bytes: number): boolean {
    return this.#openNames.some(({ open }) =>
      open.some((entry) => {
        const units = Math.floor(entry.view.segment.size / entry.unitBytes);
        return this.unitsFor(entry, bytes) <= units;
      })
    );
  }

  #isOpen(entry: SegmentEntry): boolean {
    return entry.status === SegmentStatus.OK && this.isAttached(entry.index);
  }

  #open(entry: SegmentEntry): void {
    if (entry.name.open.length === 0) this.#openNames.push(entry.name);
    entry.name.open.push(entry);
  }

  #close(entry: SegmentEntry): void {
    remove(entry.name.open, entry);
    if (entry.name.open.length === 0) remove(this.#openNames, entry.name);
  }
}

function remove<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}

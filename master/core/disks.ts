import { RecordPool } from "./records.ts";

const REPLICA = 0;
const PREVIOUS = 1;
const NEXT = 2;
const DISK = 3;
const ENDPOINT = 4;
const WORDS = 5;

/** The disk that a client lends, and what its owner is to fetch with its next heartbeats. */
export interface Disk {
  readonly index: number;
  readonly client: number;
  /** The owner takes objects to store. */
  enabled: boolean;
  capacityBytes: number;
  usedBytes: number;
  /** Objects to write to the disk, by slot. */
  readonly offloads: Set<number>;
  /** Objects to bring back into memory, by slot. */
  readonly promotions: Set<number>;
  /** The owner is to wipe the disk. */
  removeAll: boolean;
  /** The owner has not come back since this core took over. */
  awaiting: boolean;
  /** What was asked of the owner of a killed disk has been cancelled. */
  swept: boolean;
  /** First entry, see {@linkcode DiskTable.next}. */
  first: number;
}

/** Disks of clients and an entry for each replica on one of them. */
export class DiskTable {
  readonly #entries = new RecordPool(WORDS);
  readonly #disks: (Disk | null)[] = [null];
  readonly #unused: number[] = [];
  #alive = new Uint8Array(64);
  readonly #byClient = new Map<number, Disk>();
  readonly #dead: Disk[] = [];
  readonly #endpoints: string[] = [];
  readonly #endpointIndex = new Map<string, number>();

  /** The disk of a client, or `null`. */
  of(client: number): Disk | null {
    return this.#byClient.get(client) ?? null;
  }

  all(): IterableIterator<Disk> {
    return this.#byClient.values();
  }

  /** Disks that are gone but still have entries. */
  get dead(): readonly Disk[] {
    return this.#dead;
  }

  /** Adds the disk of a client that has none. */
  mount(client: number, enabled: boolean): Disk {
    const index = this.#unused.pop() ?? this.#disks.length;
    if (index >= this.#alive.length) {
      const alive = new Uint8Array(this.#alive.length * 2);
      alive.set(this.#alive);
      this.#alive = alive;
    }
    const disk: Disk = {
      index,
      client,
      enabled,
      capacityBytes: 0,
      usedBytes: 0,
      offloads: new Set(),
      promotions: new Set(),
      removeAll: false,
      awaiting: false,
      swept: false,
      first: 0,
    };
    this.#disks[index] = disk;
    this.#alive[index] = 1;
    this.#byClient.set(client, disk);
    return disk;
  }

  /** Makes everything on a disk unreadable; its entries wait to be swept up. */
  kill(disk: Disk): void {
    this.#alive[disk.index] = 0;
    this.#byClient.delete(disk.client);
    this.#dead.push(disk);
  }

  /** Gives back a killed disk without entries. */
  forget(disk: Disk): void {
    this.#dead.splice(this.#dead.indexOf(disk), 1);
    this.#disks[disk.index] = null;
    this.#unused.push(disk.index);
  }

  /** An entry for a replica that is about to be created. */
  add(disk: Disk, endpoint: string): number {
    const entry = this.#entries.allocate();
    this.#entries.setWord(entry, DISK, disk.index);
    this.#entries.setWord(entry, NEXT, disk.first);
    if (disk.first !== 0) this.#entries.setWord(disk.first, PREVIOUS, entry);
    disk.first = entry;
    this.setEndpoint(entry, endpoint);
    return entry;
  }

  setReplica(entry: number, replica: number): void {
    this.#entries.setWord(entry, REPLICA, replica);
  }

  release(entry: number): void {
    const disk = this.disk(entry);
    const previous = this.#entries.word(entry, PREVIOUS);
    const next = this.#entries.word(entry, NEXT);
    if (previous === 0) disk.first = next;
    else this.#entries.setWord(previous, NEXT, next);
    if (next !== 0) this.#entries.setWord(next, PREVIOUS, previous);
    this.#entries.release(entry);
  }

  replica(entry: number): number {
    return this.#entries.word(entry, REPLICA);
  }

  /** The next entry of the same disk, or 0. */
  next(entry: number): number {
    return this.#entries.word(entry, NEXT);
  }

  disk(entry: number): Disk {
    return this.#disks[this.#entries.word(entry, DISK)]!;
  }

  /** Whether the entry's disk is mounted. */
  isAlive(entry: number): boolean {
    return this.#alive[this.#entries.word(entry, DISK)] === 1;
  }

  /** Whether the owner of the entry's disk is there to serve it. */
  isAttached(entry: number): boolean {
    return this.isAlive(entry) && !this.disk(entry).awaiting;
  }

  /** Where the owner serves the replica. */
  endpoint(entry: number): string {
    return this.#endpoints[this.#entries.word(entry, ENDPOINT)];
  }

  setEndpoint(entry: number, endpoint: string): void {
    let index = this.#endpointIndex.get(endpoint);
    if (index === undefined) {
      index = this.#endpoints.push(endpoint) - 1;
      this.#endpointIndex.set(endpoint, index);
    }
    this.#entries.setWord(entry, ENDPOINT, index);
  }
}

/** What facts say, for people and programs: the fields of every kind under their names. */
import { ObjectDataType, ReplicaStatus, ReplicaType, SegmentStatus } from "../../proto/types.ts";
import { SoftPinAction } from "../../proto/types.ts";
import { ExtentState, segmentOfHome, windowOfHome } from "./allocator.ts";
import type { FactReader } from "./fact_reader.ts";
import { FactKind, WriteOption } from "./facts.ts";
import { KeptObject, KeptReplica, KeptWrite } from "./snapshot.ts";
import { SmallTable } from "./small_tables.ts";
import { TransferKind } from "./transfers.ts";
import { readUuidBytes, UUID_BYTES } from "./uuid.ts";

/** The name of a kind, as in {@linkcode FactKind}. */
export type FactName = keyof typeof FactKind;

/** A moment, in milliseconds of the Unix epoch; 0 = none. */
export class Moment {
  constructor(readonly ms: number) {}
}

/** Bytes that a fact holds: a key, a name. They last as long as what was read. */
export type FieldValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Moment
  | Uint8Array
  | readonly FieldValue[]
  | { readonly [name: string]: FieldValue };

/** Fields of a fact, in the order in which it holds them. */
export type Fields = Record<string, FieldValue>;

/** One fact. A `key` among the fields comes with the index of its `tenant`. */
export interface DescribedFact {
  readonly kind: FactName;
  readonly fields: Fields;
}

/**
 * Reads one fact to its end; the reader's clock must be that of the epoch (an offset of 0). Throws a
 * `ProtocolError` for bytes that are no fact.
 */
export function describeFact(reader: FactReader): DescribedFact {
  const number = reader.u8();
  const kind = names.get(number);
  if (kind === undefined) throw reader.malformed(`kind ${number} is unknown`);
  const fields = layouts[kind](reader);
  if (reader.more) throw reader.malformed(`a fact of kind ${kind} ends before its bytes do`);
  return { kind, fields };
}

/** Every kind that this version knows, in the order of their numbers. */
export const factNames: readonly FactName[] = Object.keys(FactKind) as FactName[];

const names = new Map<number, FactName>(factNames.map((name) => [FactKind[name], name]));

/** How each kind is read. What a field means is said where `FactWriter` writes it. */
const layouts: Readonly<Record<FactName, (read: FactReader) => Fields>> = {
  TENANT_ADDED: (read) => ({ tenant: read.u32(), name: read.blob() }),
  CLIENT_ADDED: (read) => ({ client: read.u32(), id: readUuidBytes(read.blob(), 0) }),
  SEGMENT_MOUNTED: (read) => ({
    segment: read.u32(),
    client: read.u32(),
    id: read.text(),
    name: read.text(),
    base: read.u64(),
    size: read.f64(),
    endpoint: read.text(),
    protocol: read.text(),
    host: read.text(),
  }),
  SEGMENT_STATUS: (read) => ({
    segment: read.u32(),
    status: nameOf(SegmentStatus, read.u32()),
    until: moment(read),
  }),
  SEGMENT_KILLED: (read) => ({ segment: read.u32() }),
  SEGMENT_FORGOTTEN: (read) => ({ segment: read.u32() }),
  DISK_MOUNTED: (read) => ({ client: read.u32() }),
  DISK_KILLED: (read) => ({ client: read.u32() }),
  DISK_FORGOTTEN: (read) => ({ client: read.u32() }),
  OBJECT_ADDED: (read) => ({
    ...object(read),
    client: read.u32(),
    size: read.f64(),
    since: read.u32(),
  }),
  OBJECT_ERASED: (read) => ({ ...object(read), held_until: moment(read) }),
  WRITE_STARTED: (read) => {
    const head = { ...object(read), ...write(read) };
    const options = read.u8();
    const group = (options & WriteOption.GROUP) !== 0 ? read.blob() : null;
    return {
      ...head,
      hard_pin: (options & WriteOption.HARD_PIN) !== 0,
      new_object: (options & WriteOption.NEW_OBJECT) !== 0,
      key_group: group,
      extents: list(read.u8(), () => extent(read)),
      ...((options & WriteOption.SHARED_DISK) !== 0 && { disk_replica: read.f64() }),
    };
  },
  WRITE_NAMED: (read) => ({ ...object(read), key: read.blob() }),
  WRITE_ENDED: (read) => ({ ...object(read), ...writeEnd(read) }),
  WRITE_ENDED_CHECKED: (read) => ({
    ...object(read),
    ...writeEnd(read),
    checksum: checksum(read),
  }),
  WRITE_ABANDONED: (read) => ({ ...object(read), end_owed: read.u8() !== 0 }),
  REPLICA_ADDED: (read) => {
    const head = { ...object(read), ...replica(read) };
    return { ...head, size: read.f64(), ...place(read, head.type) };
  },
  REPLICA_COMPLETED: (read) => ({ ...object(read), replica: read.f64() }),
  REPLICA_REMOVED: (read) => ({
    ...object(read),
    replica: read.f64(),
    held_until: moment(read),
    discarded: read.u8() !== 0,
  }),
  REPLICA_ENDPOINT: (read) => ({
    ...object(read),
    replica: read.f64(),
    endpoint: read.text(),
    size: read.f64(),
  }),
  EXTENT_FREED: (read) => ({ segment: read.u32(), offset: read.u32() }),
  CHECKSUM_SET: (read) => {
    const head = { ...object(read), present: read.u8() !== 0 };
    return { ...head, checksum: checksum(read) };
  },
  SOFT_PIN_SET: (read) => ({ ...object(read), until: moment(read) }),
  TRANSFER_STARTED: (read) => ({
    ...object(read),
    transfer: nameOf(TransferKind, read.u8()),
    client: read.u32(),
    start: moment(read),
    source: read.f64(),
    lease: read.text(),
    version: read.f64(),
    size: read.f64(),
    targets: list(read.u32(), () => read.f64()),
  }),
  TRANSFER_NUMBERED: (read) => ({ ...object(read), number: read.f64() }),
  TRANSFER_ENDED: object,
  TASK_ADDED: (read) => ({ task: read.text() }),
  TASK_CHANGED: (read) => ({ task: read.text() }),
  TASK_DROPPED: (read) => ({ task: read.text() }),
  OBJECT_KEPT: (read) => {
    const named = object(read);
    const flags = read.u8();
    return {
      ...named,
      committed: (flags & KeptObject.COMMITTED) !== 0,
      hard_pin: (flags & KeptObject.HARD_PIN) !== 0,
      client: read.u32(),
      size: read.f64(),
      since: read.u32(),
      data_type: nameOf(ObjectDataType, read.u8()),
      ...((flags & KeptObject.CHECKSUM) !== 0 && { checksum: checksum(read) }),
      ...((flags & KeptObject.SOFT_PIN) !== 0 && { soft_pin_until: moment(read) }),
      ...((flags & KeptObject.GROUP) !== 0 && { key_group: read.blob() }),
      replicas: list(read.u8(), () => keptReplica(read)),
    };
  },
  WRITE_KEPT: (read) => {
    const head = { ...object(read), ...write(read) };
    const flags = read.u8();
    return {
      ...head,
      hard_pin: (flags & KeptWrite.HARD_PIN) !== 0,
      committed: (flags & KeptWrite.COMMITTED) !== 0,
    };
  },
  EXTENT_HELD: (read) => ({
    ...units(read),
    state: nameOf(ExtentState, read.u8()),
    until: moment(read),
  }),
  NEXT_REPLICA: (read) => ({ replica: read.f64() }),
  END_OWED: (read) => ({ ...owed(read), until: moment(read) }),
  END_SETTLED: owed,
  MEMORY_PROMISED: (read) => ({
    endpoint: read.text(),
    start: read.u64(),
    end: read.u64(),
    until: moment(read),
    at: moment(read),
  }),
  SEGMENT_UNMOUNTED: (read) => ({ id: read.text(), owner: read.text() }),
  JOB_CHANGED: (read) => ({ job: read.text() }),
  JOB_DROPPED: (read) => ({ job: read.text() }),
  EXTENT_FENCED: (read) => ({
    segment: read.u32(),
    offset: read.u32(),
    units: read.u32(),
    window: read.u8(),
    until: moment(read),
  }),
  TABLE_ENTRY_SET: (read) => ({
    ...entry(read),
    bytes: read.blob().length, // the value itself may be a secret
  }),
  TABLE_ENTRY_DROPPED: entry,
};

function moment(read: FactReader): Moment {
  return new Moment(read.time());
}

/** An object has a key, or the name of the write that it is reserved for. */
function object(read: FactReader): Fields {
  const tenant = read.u16();
  const key = read.key();
  if (!read.isReserved) return { tenant, key };
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const writeId = view.getFloat64(UUID_BYTES, true);
  return { tenant, reserved_by: readUuidBytes(key, 0), reserved_write: writeId };
}

function owed(read: FactReader): Fields {
  return { client: read.text(), ...object(read) };
}

function entry(read: FactReader): Fields {
  return { table: nameOf(SmallTable, read.u8()), entry: read.blob() };
}

function write(read: FactReader): Fields {
  return {
    client: read.u32(),
    start: moment(read),
    size: read.f64(),
    soft_pin: nameOf(SoftPinAction, read.u8()),
    soft_pin_ttl_ms: read.u32(),
    data_type: nameOf(ObjectDataType, read.u8()),
    write_id: read.f64(),
  };
}

function writeEnd(read: FactReader): Fields {
  return {
    replicas: nameOf(ReplicaType, read.u8()),
    soft_pin_until: moment(read),
    since: read.u32(),
  };
}

function replica(read: FactReader): { type: string; status: string } {
  return { type: nameOf(ReplicaType, read.u8()), status: nameOf(ReplicaStatus, read.u8()) };
}

function keptReplica(read: FactReader): Fields {
  const head = replica(read);
  const flags = read.u8();
  return {
    ...head,
    staged: (flags & KeptReplica.STAGED) !== 0,
    target: (flags & KeptReplica.TARGET) !== 0,
    size: read.f64(),
    ...place(read, head.type),
  };
}

function place(read: FactReader, type: string): Fields {
  if (type === "MEMORY") return extent(read);
  return { replica: read.f64(), client: read.u32(), endpoint: read.text() };
}

function extent(read: FactReader): Fields {
  return { replica: read.f64(), ...units(read) };
}

/** Offsets and lengths are in units of the segment's allocator. */
function units(read: FactReader): Fields {
  const home = read.u32();
  return {
    segment: segmentOfHome(home),
    window: windowOfHome(home),
    offset: read.u32(),
    units: read.u32(),
  };
}

function checksum(read: FactReader): string {
  const [low, high] = [read.u32(), read.u32()].map((half) => half.toString(16).padStart(8, "0"));
  return high + low;
}

function list<T extends FieldValue>(count: number, read: () => T): T[] {
  return Array.from({ length: count }, read);
}

/** The name of a number, or the number where this version has none for it. */
function nameOf(values: Readonly<Record<string, number>>, number: number): string {
  return Object.keys(values).find((name) => values[name] === number) ?? String(number);
}

/**
 * The type table of struct_pack: what a value looks like on the wire, and the literal that its type
 * code is computed from. Literals and encodings: yalantinglibs `struct_pack`, as the reference uses
 * it. Only a {@linkcode uuid} carries alignment bytes; everything else is packed.
 */
import { ProtocolError } from "../error.ts";
import type { Uuid } from "../types.ts";
import type { Reader } from "./reader.ts";
import { readUuid, writeUuid } from "./uuid.ts";
import type { Writer } from "./writer.ts";

/** How values of one wire type are written and read. */
export interface Schema<T> {
  readonly literal: readonly number[];
  /** Bytes that the smallest value takes. */
  readonly minBytes: number;
  /** Appends a value. `RangeError` or `TypeError` when it cannot be represented. */
  write(writer: Writer, value: T): void;
  /** Takes a value. `ProtocolError` when the bytes are not one. */
  read(reader: Reader): T;
}

/** A value or an error: `code` 0 comes with the value, any other code without. */
export interface Expected<T> {
  code: number;
  value: T | null;
}

/** One of several types, by position in the declaration. */
export interface Variant<T> {
  index: number;
  value: T;
}

/** The members of a struct in wire order: the order in which they are written down. */
export type Members<T> = { [K in keyof T]: Schema<T[K]> };

const TAG = {
  I32: 0x01,
  U32: 0x02,
  I64: 0x03,
  U64: 0x04,
  I8: 0x05,
  U8: 0x06,
  I16: 0x07,
  U16: 0x08,
  BOOL: 0x0b,
  CHAR: 0x0c,
  F64: 0x12,
  STRING: 0x80,
  MAP: 0x82,
  VECTOR: 0x84,
  OPTIONAL: 0x85,
  VARIANT: 0x86,
  EXPECTED: 0x87,
  VOID: 0xfa,
  STRUCT: 0xfd,
  END: 0xff,
} as const;

const ALIGNMENT_BASE = 129;

function integer(
  tag: number,
  bytes: number,
  low: number,
  high: number,
  write: (writer: Writer, value: number) => void,
  read: (reader: Reader) => number,
): Schema<number> {
  return {
    literal: [tag],
    minBytes: bytes,
    write(writer, value) {
      if (!Number.isInteger(value) || value < low || value > high) {
        throw new RangeError(`${value} is not an integer from ${low} to ${high}`);
      }
      write(writer, value);
    },
    read,
  };
}

/** Signed 8 bits. */
export const i8: Schema<number> = integer(
  TAG.I8,
  1,
  -0x80,
  0x7f,
  (writer, value) => writer.u8(value),
  (reader) => (reader.u8() << 24) >> 24,
);
/** Unsigned 8 bits, also for enumerations declared on a byte. */
export const u8: Schema<number> = integer(
  TAG.U8,
  1,
  0,
  0xff,
  (writer, value) => writer.u8(value),
  (reader) => reader.u8(),
);
/** Signed 16 bits. */
export const i16: Schema<number> = integer(
  TAG.I16,
  2,
  -0x8000,
  0x7fff,
  (writer, value) => writer.u16(value),
  (reader) => (reader.u16() << 16) >> 16,
);
/** Unsigned 16 bits. */
export const u16: Schema<number> = integer(
  TAG.U16,
  2,
  0,
  0xffff,
  (writer, value) => writer.u16(value),
  (reader) => reader.u16(),
);
/** Signed 32 bits, also for plain enumerations. */
export const i32: Schema<number> = integer(
  TAG.I32,
  4,
  -0x8000_0000,
  0x7fff_ffff,
  (writer, value) => writer.i32(value),
  (reader) => reader.i32(),
);
/** Unsigned 32 bits. */
export const u32: Schema<number> = integer(
  TAG.U32,
  4,
  0,
  0xffff_ffff,
  (writer, value) => writer.u32(value),
  (reader) => reader.u32(),
);

/** Signed 64 bits for counts and times: safe integers only. */
export const i64: Schema<number> = {
  literal: [TAG.I64],
  minBytes: 8,
  write: (writer, value) => writer.i64Number(value),
  read: (reader) => reader.i64Number(),
};

/** Unsigned 64 bits for sizes, ids and times: integers from 0 to 2^53-1 only. */
export const u64: Schema<number> = {
  literal: [TAG.U64],
  minBytes: 8,
  write: (writer, value) => writer.u64Number(value),
  read: (reader) => reader.u64Number(),
};

/** Signed 64 bits, all of them. */
export const i64Exact: Schema<bigint> = {
  literal: [TAG.I64],
  minBytes: 8,
  write: (writer, value) => writer.i64(value),
  read: (reader) => reader.i64(),
};

/** Unsigned 64 bits for addresses and checksums: all of them. */
export const u64Exact: Schema<bigint> = {
  literal: [TAG.U64],
  minBytes: 8,
  write: (writer, value) => writer.u64(value),
  read: (reader) => reader.u64(),
};

/** An IEEE 754 double. */
export const f64: Schema<number> = {
  literal: [TAG.F64],
  minBytes: 8,
  write: (writer, value) => writer.f64(value),
  read: (reader) => reader.f64(),
};

/** One byte, 0 or 1. */
export const bool: Schema<boolean> = {
  literal: [TAG.BOOL],
  minBytes: 1,
  write: (writer, value) => writer.bool(value),
  read: (reader) => reader.bool(),
};

/** A string that need not be text: keys, tenants, groups. Decoded values are copies. */
export const bytes: Schema<Uint8Array> = {
  literal: [TAG.STRING, TAG.CHAR],
  minBytes: 1,
  write: (writer, value) => writer.blob(value),
  read: (reader) => reader.blob(),
};

/** A string that must be UTF-8: names, endpoints, messages. */
export const text: Schema<string> = {
  literal: [TAG.STRING, TAG.CHAR],
  minBytes: 1,
  write: (writer, value) => writer.text(value),
  read: (reader) => reader.text(),
};

/** `pair<u64, u64>` in the text form of {@linkcode Uuid}; the one type with alignment bytes. */
export const uuid: Schema<Uuid> = {
  literal: [TAG.STRUCT, TAG.U64, TAG.U64, ALIGNMENT_BASE + 8, ALIGNMENT_BASE + 8, TAG.END],
  minBytes: 16,
  write: writeUuid,
  read: readUuid,
};

/** The value of a call that answers nothing but its code; only inside {@linkcode expected}. */
export const nothing: Schema<null> = {
  literal: [TAG.VOID],
  minBytes: 0,
  write() {},
  read: () => null,
};

/** Any number of elements of one type. */
export function vector<T>(element: Schema<T>): Schema<T[]> {
  return {
    literal: [TAG.VECTOR, ...element.literal],
    minBytes: 1,
    write(writer, values) {
      writer.size(values.length);
      for (let i = 0; i < values.length; i++) element.write(writer, values[i]);
    },
    read(reader) {
      const count = reader.size(element.minBytes);
      const values: T[] = [];
      for (let i = 0; i < count; i++) values.push(element.read(reader));
      return values;
    },
  };
}

/** A map whose keys compare by value: text, ids and numbers. A repeated key is refused. */
export function map<K extends string | number | bigint, V>(
  key: Schema<K>,
  value: Schema<V>,
): Schema<Map<K, V>> {
  return {
    literal: [TAG.MAP, ...key.literal, ...value.literal],
    minBytes: 1,
    write(writer, entries) {
      writer.size(entries.size);
      for (const [name, item] of entries) {
        key.write(writer, name);
        value.write(writer, item);
      }
    },
    read(reader) {
      const count = reader.size(key.minBytes + value.minBytes);
      const entries = new Map<K, V>();
      for (let i = 0; i < count; i++) {
        const name = key.read(reader);
        if (entries.has(name)) throw new ProtocolError(`The map holds the key ${name} twice`);
        entries.set(name, value.read(reader));
      }
      return entries;
    },
  };
}

/** A map whose keys are bytes, as a list of pairs in wire order. */
export function pairs<K, V>(key: Schema<K>, value: Schema<V>): Schema<[K, V][]> {
  return {
    literal: [TAG.MAP, ...key.literal, ...value.literal],
    minBytes: 1,
    write(writer, entries) {
      writer.size(entries.length);
      for (const [name, item] of entries) {
        key.write(writer, name);
        value.write(writer, item);
      }
    },
    read(reader) {
      const count = reader.size(key.minBytes + value.minBytes);
      const entries: [K, V][] = [];
      for (let i = 0; i < count; i++) entries.push([key.read(reader), value.read(reader)]);
      return entries;
    },
  };
}

/** A value or `null`. */
export function optional<T>(element: Schema<T>): Schema<T | null> {
  return {
    literal: [TAG.OPTIONAL, ...element.literal],
    minBytes: 1,
    write(writer, value) {
      writer.bool(value !== null);
      if (value !== null) element.write(writer, value);
    },
    read: (reader) => reader.bool() ? element.read(reader) : null,
  };
}

/** One of several types, told apart by their position. */
export function variant<T>(...alternatives: Schema<T>[]): Schema<Variant<T>> {
  return {
    literal: [TAG.VARIANT, ...alternatives.flatMap((alternative) => alternative.literal), TAG.END],
    minBytes: 1 + Math.min(...alternatives.map((alternative) => alternative.minBytes)),
    write(writer, { index, value }) {
      if (alternatives[index] === undefined) {
        throw new RangeError(`A variant of ${alternatives.length} types has no type ${index}`);
      }
      writer.u8(index);
      alternatives[index].write(writer, value);
    },
    read(reader) {
      const index = reader.u8();
      if (index >= alternatives.length) {
        throw new ProtocolError(`A variant of ${alternatives.length} types has no type ${index}`);
      }
      return { index, value: alternatives[index].read(reader) };
    },
  };
}

/** `expected<T, ErrorCode>`: a value, or a 32-bit error other than 0. */
export function expected<T>(value: Schema<T>): Schema<Expected<T>> {
  return {
    literal: [TAG.EXPECTED, ...value.literal, TAG.I32],
    minBytes: 1 + Math.min(value.minBytes, 4),
    write(writer, result) {
      if (result.code !== 0) {
        writer.u8(0);
        i32.write(writer, result.code);
      } else {
        writer.u8(1);
        value.write(writer, result.value as T);
      }
    },
    read(reader) {
      if (reader.bool()) return { code: 0, value: value.read(reader) };
      const code = reader.i32();
      if (code === 0) throw new ProtocolError("An error carries the code of success");
      return { code, value: null };
    },
  };
}

/** A struct; the members travel in the order in which they are listed. */
export function struct<T extends object>(members: Members<T>): Schema<T> {
  const names = Object.keys(members) as (keyof T & string)[];
  const schemas = names.map((name) => members[name] as Schema<unknown>);
  return {
    literal: [TAG.STRUCT, ...schemas.flatMap((schema) => schema.literal), TAG.END],
    minBytes: schemas.reduce((sum, schema) => sum + schema.minBytes, 0),
    write(writer, value) {
      for (let i = 0; i < schemas.length; i++) schemas[i].write(writer, value[names[i]]);
    },
    read(reader) {
      const value: Partial<Record<string, unknown>> = {};
      for (let i = 0; i < schemas.length; i++) value[names[i]] = schemas[i].read(reader);
      return value as T;
    },
  };
}

/**
 * The arguments of a call as one value with named members. On the wire a single argument travels as
 * itself and several as a tuple.
 */
export function args<T extends object>(members: Members<T>): Schema<T> {
  const names = Object.keys(members) as (keyof T & string)[];
  if (names.length !== 1) return struct(members);
  const [name] = names;
  const { literal, minBytes, write, read } = members[name];
  return {
    literal,
    minBytes,
    write: (writer, value) => write(writer, value[name]),
    read: (reader) => ({ [name]: read(reader) }) as T,
  };
}

/** A type of ours that travels as `wire` does, with its own reader and writer. */
export function mapped<T>(
  wire: Schema<unknown>,
  write: (writer: Writer, value: T) => void,
  read: (reader: Reader) => T,
): Schema<T> {
  return { literal: wire.literal, minBytes: wire.minBytes, write, read };
}

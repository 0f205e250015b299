import { ProtocolError } from "../error.ts";
import { md5Head } from "./md5.ts";
import type { Reader } from "./reader.ts";
import type { Schema } from "./schema.ts";
import type { SizeWidth, Writer } from "./writer.ts";

const HAS_META = 1;
const META_LITERAL = 0x04;
const META_WIDTH_SHIFT = 3;
const META_KNOWN = 0x1c;

export interface EncodeOptions {
  /**
   * Whether the type literal is sent along. The reference always sends it and accepts bodies
   * without, which are 10 to 100 bytes smaller.
   */
  literal: boolean;
}

/** Reads and writes bodies of one root type. */
export class Codec<T> {
  readonly schema: Schema<T>;
  /** The bytes that describe the type; its MD5 gives the type code. */
  readonly literal: Uint8Array;
  /** Type code with the lowest bit clear. */
  readonly typeCode: number;
  /** Everything in front of the data, by logarithm of the width: with literal, then without. */
  readonly heads: readonly Uint8Array[];

  constructor(schema: Schema<T>) {
    this.schema = schema;
    this.literal = Uint8Array.from(schema.literal);
    this.typeCode = (md5Head(this.literal) & ~HAS_META) >>> 0;
    this.heads = [true, false].flatMap((literal) =>
      [0, 1, 2, 3].map((width) => this.#head(width, literal))
    );
  }

  /**
   * Appends a body with the smallest size width that holds its containers. When the value cannot be
   * represented (`RangeError`, `TypeError`) the writer is left as it was.
   */
  encode(writer: Writer, value: T, options: EncodeOptions): void {
    const start = writer.length;
    try {
      beginBody(writer, this, 1, options.literal);
      this.schema.write(writer, value);
      const width = writer.neededWidth;
      if (width === 1) return;
      writer.truncate(start);
      beginBody(writer, this, width, options.literal);
      this.schema.write(writer, value);
    } catch (error) {
      writer.truncate(start);
      throw error;
    }
  }

  /** Takes a whole body; bytes that follow it are refused. `ProtocolError` when it is not a `T`. */
  decode(reader: Reader): T {
    openBody(reader, this);
    const value = this.schema.read(reader);
    reader.expectEnd();
    return value;
  }

  #head(widthLog2: number, literal: boolean): Uint8Array {
    const meta = (widthLog2 << META_WIDTH_SHIFT) | (literal ? META_LITERAL : 0);
    const code = Uint8Array.of(0, 0, 0, 0);
    new DataView(code.buffer).setUint32(0, meta === 0 ? this.typeCode : this.typeCode + 1, true);
    if (meta === 0) return code;
    return Uint8Array.from([...code, meta, ...(literal ? [...this.literal, 0] : [])]);
  }
}

/**
 * Writes what precedes the data of a body, for encoders written by hand. When such an encoder finds
 * `writer.neededWidth > width` at its end, it truncates and starts again with that width.
 */
export function beginBody<T>(
  writer: Writer,
  codec: Codec<T>,
  width: SizeWidth,
  literal: boolean,
): void {
  const widthLog2 = 31 - Math.clz32(width);
  writer.raw(codec.heads[literal ? widthLog2 : widthLog2 + 4]);
  writer.startSizes(width);
}

/**
 * Checks what precedes the data of a body and sets the reader's width; afterwards the data is next.
 * `ProtocolError` when the body is of another type.
 */
export function openBody<T>(reader: Reader, codec: Codec<T>): void {
  const code = reader.u32();
  if ((code & ~HAS_META) >>> 0 !== codec.typeCode) {
    throw new ProtocolError(`The body has type code ${hex(code)}, not ${hex(codec.typeCode)}`);
  }
  if ((code & HAS_META) === 0) {
    reader.width = 1;
    return;
  }
  const meta = reader.u8();
  if ((meta & ~META_KNOWN) !== 0) throw new ProtocolError(`The metainfo ${hex(meta)} is unknown`);
  if ((meta & META_LITERAL) !== 0) checkLiteral(reader, codec.literal);
  reader.width = 1 << (meta >> META_WIDTH_SHIFT) as SizeWidth;
}

function checkLiteral(reader: Reader, literal: Uint8Array): void {
  const at = reader.skip(literal.length + 1);
  const bytes = reader.bytes;
  for (let i = 0; i < literal.length; i++) {
    if (bytes[at + i] !== literal[i]) throw new ProtocolError("The body has another type literal");
  }
  if (bytes[at + literal.length] !== 0) throw new ProtocolError("The type literal does not end");
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

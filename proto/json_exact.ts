/**
 * JSON with exact 64-bit integers, which `JSON.parse` would round: the documents of transfer engines
 * carry addresses that need all 64 bits. Input is bounded in size and depth.
 */
import { ProtocolError } from "./error.ts";

/** What JSON can say. Integers outside the safe range are `bigint`. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | JsonValue[]
  | JsonObject;

/** Decoded objects have no prototype, so any name is an ordinary member. */
export interface JsonObject {
  [name: string]: JsonValue;
}

export interface JsonLimits {
  /** Default 1 MiB. */
  maxBytes?: number;
  /** Arrays and objects inside one another; default 32. */
  maxDepth?: number;
}

const MAX_U64 = (1n << 64n) - 1n;
const MIN_I64 = -(1n << 63n);
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const INTEGER = /^-?\d+$/;
const WORD = /true|false|null/y;
const WORDS: Record<string, boolean | null> = { true: true, false: false, null: null };
const MAX_NUMBER_CHARS = 400;
const DEFAULT_MAX_BYTES = 1 << 20;
const DEFAULT_MAX_DEPTH = 32;

/**
 * Parses one JSON text, given as a string or as UTF-8. `ProtocolError` when it is not JSON, is
 * larger or deeper than the limits, or holds an integer that needs more than 64 bits. The last of
 * several members of one name counts.
 */
export function parseJsonExact(input: string | Uint8Array, limits: JsonLimits = {}): JsonValue {
  const maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
  if (input.length > maxBytes) {
    throw new ProtocolError(
      `A JSON text of ${input.length} bytes is above the limit of ${maxBytes}`,
    );
  }
  const parser = new Parser(decodeText(input), limits.maxDepth ?? DEFAULT_MAX_DEPTH);
  return parser.document();
}

/**
 * Writes a value as JSON with sorted names and no spaces, as the reference does. `TypeError` for a
 * number that JSON cannot say.
 */
export function stringifyJsonExact(value: JsonValue): string {
  switch (typeof value) {
    case "bigint":
      return value.toString();
    case "number":
      return numberText(value);
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `[${value.map(stringifyJsonExact).join(",")}]`;
      return `{${
        Object.keys(value).sort().map((name) =>
          `${JSON.stringify(name)}:${stringifyJsonExact(value[name])}`
        ).join(",")
      }}`;
    default:
      return JSON.stringify(value);
  }
}

/** Numbers beyond the safe integers get an exponent, so that they are not read back as `bigint`. */
function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError(`${value} cannot be written as JSON`);
  const rounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return rounded ? value.toExponential() : JSON.stringify(value);
}

function decodeText(input: string | Uint8Array): string {
  if (typeof input === "string") return input;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input);
  } catch (cause) {
    throw new ProtocolError("A JSON text is not valid UTF-8", { cause });
  }
}

class Parser {
  #position = 0;
  #depth = 0;

  constructor(readonly text: string, readonly maxDepth: number) {}

  document(): JsonValue {
    const value = this.#value();
    this.#match(SPACE);
    if (this.#position !== this.text.length) this.#fail("the end");
    return value;
  }

  #value(): JsonValue {
    this.#match(SPACE);
    switch (this.text[this.#position]) {
      case "{":
        return this.#nested(() => this.#object());
      case "[":
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case "t":
      case "f":
      case "n":
        return WORDS[this.#expect(WORD, "true, false or null")];
      default:
        return this.#number();
    }
  }

  #nested<T>(read: () => T): T {
    this.#position++;
    if (++this.#depth > this.maxDepth) {
      throw new ProtocolError(`A JSON text is nested deeper than ${this.maxDepth} levels`);
    }
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): JsonObject {
    const members: JsonObject = Object.create(null);
    if (this.#take("}")) return members;
    do {
      this.#match(SPACE);
      const name = this.#string();
      if (!this.#take(":")) this.#fail('":"');
      members[name] = this.#value();
    } while (this.#take(","));
    if (!this.#take("}")) this.#fail('"," or "}"');
    return members;
  }

  #array(): JsonValue[] {
    const items: JsonValue[] = [];
    if (this.#take("]")) return items;
    do items.push(this.#value()); while (this.#take(","));
    if (!this.#take("]")) this.#fail('"," or "]"');
    return items;
  }

  #string(): string {
    const at = this.#position;
    if (this.text[at] !== '"') this.#fail("a string");
    const end = this.#closingQuote(at);
    this.#position = end + 1;
    try {
      return JSON.parse(this.text.slice(at, end + 1));
    } catch (cause) {
      throw new ProtocolError(`The JSON string at ${at} is malformed`, { cause });
    }
  }

  #closingQuote(open: number): number {
    for (let quote = this.text.indexOf('"', open + 1);;) {
      if (quote < 0) this.#fail("a string that ends");
      let escape = quote;
      while (this.text[escape - 1] === "\\") escape--;
      if ((quote - escape) % 2 === 0) return quote;
      quote = this.text.indexOf('"', quote + 1);
    }
  }

  #number(): number | bigint {
    const at = this.#position;
    const digits = this.#expect(NUMBER, "a value");
    if (digits.length > MAX_NUMBER_CHARS) {
      throw new ProtocolError(`The JSON number at ${at} has ${digits.length} characters`);
    }
    const value = Number(digits);
    if (INTEGER.test(digits) && !Number.isSafeInteger(value)) {
      const exact = BigInt(digits);
      if (exact > MAX_U64 || exact < MIN_I64) {
        throw new ProtocolError(`The JSON number at ${at} needs more than 64 bits`);
      }
      return exact;
    }
    if (!Number.isFinite(value)) {
      throw new ProtocolError(`The JSON number at ${at} is out of range`);
    }
    return value;
  }

  /** Steps over spaces and then over `token`, if that is next. */
  #take(token: string): boolean {
    this.#match(SPACE);
    if (this.text[this.#position] !== token) return false;
    this.#position++;
    return true;
  }

  #expect(pattern: RegExp, wanted: string): string {
    return this.#match(pattern) ?? this.#fail(wanted);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.#position += found.length;
    return found;
  }

  #fail(wanted: string): never {
    throw new ProtocolError(`A JSON text has something other than ${wanted} at ${this.#position}`);
  }
}

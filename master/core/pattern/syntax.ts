/**
 * Reads a regular expression: the ECMAScript grammar as the reference's C++ library has it, over
 * bytes. What that library takes for something else than ECMAScript does (`\cX`, `\uNNNN` beyond one
 * byte) is refused, and so is what cannot be matched in bounded time: references back to a group.
 */
import {
  addBytes,
  ANY,
  type ByteSet,
  letterClasses,
  namedClasses,
  otherBytes,
} from "./byte_set.ts";

/** Steps that a pattern may have when its counted repetitions are written out. */
export const MAX_STEPS = 10_000;
const MAX_NESTING = 100;
/** Repetitions of repetitions, as in `a**`. */
const MAX_REPEATED = 4;
const MAX_LOOKS = 64;

/** What must be true of a place in a key. */
export const Place = { BEGIN: 0, END: 1, WORD_EDGE: 2, NO_WORD_EDGE: 3 } as const;
export type Place = (typeof Place)[keyof typeof Place];

/** A part of an expression. `steps` is how many the program of it takes, `looks` its look-aheads. */
export type Part =
  & { readonly steps: number; readonly looks: number }
  & (
    | { readonly kind: "bytes"; readonly set: ByteSet }
    | { readonly kind: "place"; readonly place: Place }
    | { readonly kind: "look"; readonly ahead: Part; readonly wanted: boolean }
    | { readonly kind: "sequence"; readonly parts: readonly Part[] }
    | { readonly kind: "choice"; readonly parts: readonly Part[] }
    | { readonly kind: "repeat"; readonly part: Part; readonly min: number; readonly max: number }
  );

/** Why a pattern is not taken; the message reads on from "the pattern". */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

const NOTHING: Part = { kind: "sequence", parts: [], steps: 0, looks: 0 };

const controlEscapes = new Map([
  ["0", 0x00],
  ["f", 0x0c],
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
  ["v", 0x0b],
]);

const singles: ByteSet[] = Array.from({ length: 256 }, (_, byte) => {
  const set = new Uint8Array(256);
  set[byte] = 1;
  return set;
});

/** Reads a pattern, one character per byte. Throws {@linkcode PatternError}. */
export function parsePattern(text: string): Part {
  return new Parser(text).parse();
}

/** What is read between brackets: one byte, which may begin a range, or a class. */
type Member = { byte: number } | { set: ByteSet };

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Part {
    const whole = this.#choice();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return whole;
  }

  #choice(): Part {
    if (++this.#depth > MAX_NESTING) {
      throw new PatternError(`nests more than ${MAX_NESTING} groups`);
    }
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    this.#depth--;
    if (parts.length === 1) return parts[0];
    return measured({ kind: "choice", parts, ...sumOf(parts, parts.length - 1) });
  }

  #sequence(): Part {
    const parts: Part[] = [];
    for (let part = this.#term(); part !== null; part = this.#term()) parts.push(part);
    if (parts.length === 1) return parts[0];
    return measured({ kind: "sequence", parts, ...sumOf(parts, 0) });
  }

  /** The next part with what repeats it; `null` where no part begins. */
  #term(): Part | null {
    const assertion = this.#assertion();
    if (assertion !== null) return assertion;
    let part = this.#atom();
    if (part === null) return null;
    for (let times = 0;; times++) {
      const next = this.#repeated(part);
      if (next === null) return part;
      if (times === MAX_REPEATED) {
        throw new PatternError(`has more than ${MAX_REPEATED} in a row of "*" and its like`);
      }
      part = next;
    }
  }

  #assertion(): Part | null {
    if (this.#take("^")) return placed(Place.BEGIN);
    if (this.#take("$")) return placed(Place.END);
    if (this.#take("\\b")) return placed(Place.WORD_EDGE);
    if (this.#take("\\B")) return placed(Place.NO_WORD_EDGE);
    const wanted = this.#take("(?=");
    if (!wanted && !this.#take("(?!")) return null;
    const ahead = this.#choice();
    this.#close();
    return measured({
      ...{ kind: "look", ahead, wanted },
      ...{ steps: ahead.steps + 2, looks: ahead.looks + 1 },
    });
  }

  #atom(): Part | null {
    const next = this.#text[this.#at];
    if (next === undefined || "|)*+?{".includes(next)) return null;
    this.#at++;
    switch (next) {
      case ".":
        return bytesOf(ANY);
      case "\\": {
        const member = this.#escaped(false);
        return bytesOf("set" in member ? member.set : singles[member.byte]);
      }
      case "[":
        return bytesOf(this.#bracket());
      case "(": {
        if (this.#peek("?") && !this.#take("?:")) {
          throw new PatternError(`has "(?${this.#text[this.#at + 1] ?? ""}", which is not known`);
        }
        const group = this.#choice();
        this.#close();
        return group;
      }
    }
    return bytesOf(singles[next.charCodeAt(0)]);
  }

  #repeated(part: Part): Part | null {
    let [min, max] = [0, Infinity];
    if (this.#take("+")) min = 1;
    else if (this.#take("?")) max = 1;
    else if (this.#take("{")) {
      min = this.#count();
      max = this.#take(",") ? this.#peek("}") ? Infinity : this.#count() : min;
      if (!this.#take("}")) throw this.#unexpected();
      if (max < min) throw new PatternError(`repeats from ${min} to ${max} times`);
    } else if (!this.#take("*")) return null;
    // Whether few or many are tried first makes no difference to whether there is a match.
    this.#take("?");
    if (part.steps === 0 || max === 0) return NOTHING;
    const copies = max === Infinity ? Math.max(1, min) : max;
    const branches = max === Infinity ? 1 : max - min;
    return measured({
      ...{ kind: "repeat", part, min, max },
      ...{ steps: copies * part.steps + branches, looks: copies * part.looks },
    });
  }

  #count(): number {
    const from = this.#at;
    while (isDigit(this.#text[this.#at])) this.#at++;
    if (this.#at === from) throw this.#unexpected();
    return Number(this.#text.slice(from, this.#at));
  }

  /** Reads on behind a backslash. */
  #escaped(inBracket: boolean): Member {
    const letter = this.#text[this.#at];
    if (letter === undefined) throw new PatternError("ends with a backslash");
    this.#at++;
    const set = letterClasses.get(letter);
    if (set !== undefined) return { set };
    if (letter === "b" && inBracket) return { byte: 0x08 };
    if (letter === "B") throw new PatternError(`has "\\B" in brackets`);
    const control = controlEscapes.get(letter);
    if (control !== undefined) return { byte: control };
    if (letter === "x") return { byte: this.#hex(2) };
    if (letter === "u") {
      const code = this.#hex(4);
      if (code > 0xff) {
        const digits = this.#text.slice(this.#at - 4, this.#at);
        throw new PatternError(`has "\\u${digits}", which is more than one byte`);
      }
      return { byte: code };
    }
    if (letter === "c") throw new PatternError(`has "\\c"; write control characters as "\\xNN"`);
    if (isDigit(letter)) {
      throw new PatternError(
        `has "\\${letter}": what a group has matched cannot be asked for again`,
      );
    }
    return { byte: letter.charCodeAt(0) };
  }

  #hex(digits: number): number {
    const text = this.#text.slice(this.#at, this.#at + digits);
    if (text.length < digits || !/^[0-9A-Fa-f]+$/.test(text)) {
      throw new PatternError(`has no ${digits} hexadecimal digits behind "\\x" or "\\u"`);
    }
    this.#at += digits;
    return Number.parseInt(text, 16);
  }

  #bracket(): ByteSet {
    const set = new Uint8Array(256);
    const negated = this.#take("^");
    /** What a dash would make a range of: a byte, or a class that cannot begin one. */
    let last: Member | null = null;
    while (!this.#take("]")) {
      const dash = last !== null && this.#peek("-") && this.#text[this.#at + 1] !== "]";
      if (!dash) {
        last = this.#member();
        addBytes(set, "set" in last ? last.set : singles[last.byte]);
        continue;
      }
      this.#at++;
      const end = this.#member();
      if (last === null || "set" in last || "set" in end || end.byte < last.byte) {
        throw new PatternError(`has a range in brackets, before ${this.#where()}, that is none`);
      }
      set.fill(1, last.byte, end.byte + 1);
      last = null;
    }
    return negated ? otherBytes(set) : set;
  }

  #member(): Member {
    const next = this.#text[this.#at];
    if (next === undefined) throw new PatternError(`lacks a "]"`);
    this.#at++;
    if (next === "\\") return this.#escaped(true);
    if (next === "[") {
      if (this.#take(":")) return { set: this.#named() };
      if (this.#peek(".") || this.#peek("=")) {
        throw new PatternError(`has "[${this.#text[this.#at]}": collation is not known`);
      }
    }
    return { byte: next.charCodeAt(0) };
  }

  #named(): ByteSet {
    const end = this.#text.indexOf(":]", this.#at);
    const name = end < 0 ? "" : this.#text.slice(this.#at, end);
    const set = namedClasses.get(name.toLowerCase());
    if (set === undefined) throw new PatternError(`names no class of bytes behind "[:"`);
    this.#at = end + 2;
    return set;
  }

  #close(): void {
    if (!this.#take(")")) throw new PatternError(`lacks a ")"`);
  }

  #peek(text: string): boolean {
    return this.#text.startsWith(text, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#peek(text)) return false;
    this.#at += text.length;
    return true;
  }

  #where(): string {
    return this.#at < this.#text.length ? `byte ${this.#at + 1}` : "its end";
  }

  #unexpected(): PatternError {
    return new PatternError(`is not understood from ${this.#where()} on`);
  }
}

function isDigit(letter: string | undefined): boolean {
  return letter !== undefined && letter >= "0" && letter <= "9";
}

function bytesOf(set: ByteSet): Part {
  return { kind: "bytes", set, steps: 1, looks: 0 };
}

function placed(place: Place): Part {
  return { kind: "place", place, steps: 1, looks: 0 };
}

function sumOf(parts: readonly Part[], more: number): { steps: number; looks: number } {
  let [steps, looks] = [more, 0];
  for (const part of parts) {
    steps += part.steps;
    looks += part.looks;
  }
  return { steps, looks };
}

/** Passes a part on unless it is too large. */
function measured(part: Part): Part {
  if (part.steps > MAX_STEPS) {
    throw new PatternError(`has more than ${MAX_STEPS} steps, repetitions written out`);
  }
  if (part.looks > MAX_LOOKS) {
    throw new PatternError(`looks ahead more than ${MAX_LOOKS} times, repetitions written out`);
  }
  return part;
}

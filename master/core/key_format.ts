/**
 * Where engines put the model and the layer into keys: templates such as `{model}@{}@{}@{}` and
 * `{}_layer{layer}_{}`, separated by `;`.
 *
 * `{}` stands for any bytes, `{model}` for 1 to 256, `{layer}` for a decimal number of at most 9
 * digits. A field ends where the text after it comes first, and the last one with the key. For each
 * label the first template counts that fits the key as a whole and names it.
 */

/** Keys that are longer have no labels. */
export const MAX_LABELLED_KEY_BYTES = 4096;
/** Longest label of a model. */
export const MAX_MODEL_BYTES = 256;

const MAX_TEMPLATES = 8;
const MAX_FORMAT_BYTES = 1024;
const MAX_DIGITS = 9;

/** What a key says of itself: a range of the bytes that were read, and a number, -1 = nothing. */
export class FoundLabels {
  modelStart = -1;
  modelEnd = -1;
  layer = -1;
}

/** A list of templates. Reading a key takes a time that grows with its length and allocates nothing. */
export class KeyFormat {
  readonly #templates: readonly Template[];
  readonly #match = new FoundLabels();

  /** `RangeError` that says what is wrong with the text, and what is allowed. */
  constructor(text: string) {
    if (new TextEncoder().encode(text).length > MAX_FORMAT_BYTES) {
      throw new RangeError(`it is too long; allowed: ${MAX_FORMAT_BYTES} bytes`);
    }
    const templates = text.split(";");
    if (templates.length > MAX_TEMPLATES) {
      throw new RangeError(`${templates.length} templates; allowed: ${MAX_TEMPLATES}`);
    }
    this.#templates = templates.map((template) => new Template(template));
  }

  /** Whether some template names the model. */
  get namesModel(): boolean {
    return this.#templates.some((template) => template.names("model"));
  }

  /** Enters what the key `bytes[start, end)` says in `found`. */
  read(bytes: Uint8Array, start: number, end: number, found: FoundLabels): void {
    found.modelStart = found.modelEnd = found.layer = -1;
    if (end - start > MAX_LABELLED_KEY_BYTES) return;
    const match = this.#match;
    for (const template of this.#templates) {
      if (!template.fits(bytes, start, end, match)) continue;
      if (found.modelStart < 0) {
        found.modelStart = match.modelStart;
        found.modelEnd = match.modelEnd;
      }
      if (found.layer < 0) found.layer = match.layer;
      if (found.modelStart >= 0 && found.layer >= 0) return;
    }
  }
}

type Field = "any" | "model" | "layer";

const FIELDS = new Map<string, Field>([["{}", "any"], ["{model}", "model"], ["{layer}", "layer"]]);
const ALLOWED = "{}, {model} and {layer} with text between them";

class Template {
  readonly #fields: Field[] = [];
  /** The texts before, between and behind the fields. */
  readonly #texts: Needle[] = [];

  constructor(template: string) {
    const parts = template.split(/(\{[^{}]*\})/);
    parts.forEach((part, i) => {
      if (i % 2 === 0) {
        if (/[{}]/.test(part)) throw bad(template, `${part} is no field`);
        if (part === "" && i > 0 && i < parts.length - 1) {
          throw bad(template, `there is nothing between ${parts[i - 1]} and ${parts[i + 1]}`);
        }
        return void this.#texts.push(new Needle(new TextEncoder().encode(part)));
      }
      const field = FIELDS.get(part);
      if (field === undefined) throw bad(template, `${part} is no field`);
      if (field !== "any" && this.names(field)) throw bad(template, `${part} is there twice`);
      this.#fields.push(field);
    });
    if (this.#fields.every((field) => field === "any")) {
      throw bad(template, "it names neither {model} nor {layer}");
    }
  }

  names(field: Field): boolean {
    return this.#fields.includes(field);
  }

  /** Whether a key is as the template says; the labels in it are entered in `found` then. */
  fits(bytes: Uint8Array, start: number, end: number, found: FoundLabels): boolean {
    found.modelStart = found.modelEnd = found.layer = -1;
    const fields = this.#fields;
    const texts = this.#texts;
    const last = texts[fields.length];
    const limit = end - last.length;
    let at = start + texts[0].length;
    if (at > limit || !texts[0].isAt(bytes, start) || !last.isAt(bytes, limit)) return false;
    for (let i = 0; i < fields.length; i++) {
      const stop = i === fields.length - 1 ? limit : texts[i + 1].find(bytes, at, limit);
      if (stop < 0) return false;
      if (fields[i] === "model") {
        if (stop === at || stop - at > MAX_MODEL_BYTES) return false;
        found.modelStart = at;
        found.modelEnd = stop;
      } else if (fields[i] === "layer") {
        found.layer = numberAt(bytes, at, stop);
        if (found.layer < 0) return false;
      }
      at = stop + texts[i + 1].length;
    }
    return true;
  }
}

function bad(template: string, why: string): RangeError {
  return new RangeError(`template "${template}": ${why}; allowed: ${ALLOWED}`);
}

/** The decimal number in a range, or -1. */
function numberAt(bytes: Uint8Array, start: number, end: number): number {
  if (start === end || end - start > MAX_DIGITS) return -1;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at] - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** A text that is looked for as Knuth, Morris and Pratt do: no byte is looked at again and again. */
class Needle {
  readonly #bytes: Uint8Array;
  /** How much of the text is there still when one more byte does not fit. */
  readonly #shorter: Int32Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#shorter = new Int32Array(bytes.length);
    for (let i = 1, matched = 0; i < bytes.length; i++) {
      while (matched > 0 && bytes[i] !== bytes[matched]) matched = this.#shorter[matched - 1];
      if (bytes[i] === bytes[matched]) matched++;
      this.#shorter[i] = matched;
    }
  }

  get length(): number {
    return this.#bytes.length;
  }

  isAt(bytes: Uint8Array, start: number): boolean {
    const text = this.#bytes;
    for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false;
    return true;
  }

  /** Where the text begins first within `bytes[start, end)`, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const text = this.#bytes;
    const shorter = this.#shorter;
    const first = text[0];
    let matched = 0;
    for (let at = start; at < end; at++) {
      if (matched === 0) {
        while (at < end && bytes[at] !== first) at++;
        if (at === end) return -1;
      }
      while (matched > 0 && bytes[at] !== text[matched]) matched = shorter[matched - 1];
      if (bytes[at] === text[matched]) matched++;
      if (matched === text.length) return at + 1 - matched;
    }
    return -1;
  }
}

import { MAX_MODEL_BYTES } from "./key_format.ts";
import { NameTable } from "./name_table.ts";

const MAX_ALIASES = 256;
const ALLOWED = "pairs ALIAS=MODEL separated by ;";

/** Other names of models, `ALIAS=MODEL` separated by `;`. Looking one up allocates nothing. */
export class ModelAliases {
  readonly #aliases = new NameTable();
  readonly #models: Uint8Array[] = [];

  /** `RangeError` that says what is wrong with the text, and what is allowed. */
  constructor(text: string) {
    const pairs = text.split(";");
    if (pairs.length > MAX_ALIASES) {
      throw new RangeError(`${pairs.length} aliases; allowed: ${MAX_ALIASES}`);
    }
    for (const pair of pairs) this.#add(pair);
    for (const model of this.#models) {
      if (this.find(model, 0, model.length) === null) continue;
      throw bad(new TextDecoder().decode(model), "it is an alias itself");
    }
  }

  /** The model that a name stands for, `null` = it is no alias. Do not change it. */
  find(bytes: Uint8Array, start: number, end: number): Uint8Array | null {
    const index = this.#aliases.find(bytes, start, end);
    return index < 0 ? null : this.#models[index];
  }

  #add(pair: string): void {
    const at = pair.indexOf("=");
    const [alias, model] = [pair.slice(0, Math.max(0, at)), pair.slice(at + 1)]
      .map((name) => new TextEncoder().encode(name));
    const fits = ({ length }: Uint8Array) => length >= 1 && length <= MAX_MODEL_BYTES;
    if (!fits(alias) || !fits(model)) {
      throw bad(pair, `it is no pair of names of 1 to ${MAX_MODEL_BYTES} bytes`);
    }
    if (this.find(alias, 0, alias.length) !== null) throw bad(pair, "the alias is there twice");
    this.#aliases.add(alias, 0, alias.length);
    this.#models.push(model);
  }
}

function bad(what: string, why: string): RangeError {
  return new RangeError(`"${what}": ${why}; allowed: ${ALLOWED}`);
}

import type { Keys } from "./api.ts";
import { FoundLabels, KeyFormat } from "./key_format.ts";
import { ModelAliases } from "./model_aliases.ts";
import { NameTable } from "./name_table.ts";

/** Models that are told apart; those beyond are counted together. */
export const MAX_MODELS = 256;
/** Layers from 0 on that are told apart. */
export const MAX_LAYERS = 1024;

/** Stands for keys that do not tell their model. */
export const NO_MODEL = 0;
/** Stands for all models that came when there were {@linkcode MAX_MODELS}. */
export const OTHER_MODELS = 1;
const FIRST_MODEL = 2;

/** Stands for layers from {@linkcode MAX_LAYERS} on. */
export const OTHER_LAYERS = MAX_LAYERS;
/** Stands for keys that do not tell their layer. */
export const NO_LAYER = MAX_LAYERS + 1;

const LAYER_BITS = 11;

/** The label that stands for all others. */
export const OTHERS = OTHER_MODELS << LAYER_BITS | OTHER_LAYERS;

/**
 * The model and the layer of keys, as the format in force reads them. A label is both in one number,
 * for {@linkcode modelOf} and {@linkcode layerOf}.
 */
export class KeyLabels {
  #format: KeyFormat | null = null;
  #aliases: ModelAliases | null = null;
  #text = "";
  #models = new NameTable();
  readonly #found = new FoundLabels();
  /** Labels of the keys of one batch. */
  #labels = new Int32Array(0);
  /** Label of the key that is served. */
  current = 0;

  /** Whether there is a format. Without one no key is labelled. */
  get isOn(): boolean {
    return this.#format !== null;
  }

  /** Whether the format in force tells models. */
  get namesModel(): boolean {
    return this.#format?.namesModel ?? false;
  }

  /**
   * Puts a format and other names of models into force, "" = none; what was learned under other ones is
   * forgotten. Returns whether they are other ones. `RangeError` as `KeyFormat` and `ModelAliases`.
   */
  setFormat(text: string, aliases: string): boolean {
    const both = JSON.stringify([text, aliases]);
    if (both === this.#text) return false;
    this.#format = text === "" ? null : new KeyFormat(text);
    this.#aliases = aliases === "" ? null : new ModelAliases(aliases);
    this.#text = both;
    this.#models = new NameTable();
    return true;
  }

  /** The label of a key. */
  read(bytes: Uint8Array, start: number, end: number): number {
    const found = this.#found;
    this.#format!.read(bytes, start, end, found);
    const { layer } = found;
    const shown = layer < 0 ? NO_LAYER : layer < MAX_LAYERS ? layer : OTHER_LAYERS;
    return this.#modelIn(bytes) << LAYER_BITS | shown;
  }

  /** The model that a name in a key is another name of, or `null`. */
  aliased(bytes: Uint8Array, start: number, end: number): Uint8Array | null {
    return this.#aliases?.find(bytes, start, end) ?? null;
  }

  /**
   * Where the model of a key begins and ends in its bytes, `modelStart` -1 = it tells none. Good until
   * the next call.
   */
  find(bytes: Uint8Array, start: number, end: number): FoundLabels {
    const found = this.#found;
    if (this.#format === null) found.modelStart = -1;
    else this.#format.read(bytes, start, end, found);
    return found;
  }

  /** Reads the keys of a batch, for {@linkcode KeyLabels.turnTo}. */
  readMany(bytes: Uint8Array, { count, starts, ends }: Keys): void {
    if (this.#labels.length < count) this.#labels = new Int32Array(count * 2);
    for (let i = 0; i < count; i++) this.#labels[i] = this.read(bytes, starts[i], ends[i]);
  }

  /** Says which key of the batch is served. */
  turnTo(i: number): void {
    this.current = this.#labels[i];
  }

  /** Names of the models by their indices; those of {@linkcode NO_MODEL} and others are made up. */
  modelNames(): string[] {
    const decoder = new TextDecoder();
    const names = Array.from(
      { length: this.#models.count },
      (_, i) => decoder.decode(this.#models.name(i)),
    );
    return ["unknown", "(others)", ...names];
  }

  #modelIn(bytes: Uint8Array): number {
    const { modelStart, modelEnd } = this.#found;
    if (modelStart < 0) return NO_MODEL;
    const aliased = this.aliased(bytes, modelStart, modelEnd);
    return aliased === null
      ? this.#indexOf(bytes, modelStart, modelEnd)
      : this.#indexOf(aliased, 0, aliased.length);
  }

  #indexOf(bytes: Uint8Array, start: number, end: number): number {
    const models = this.#models;
    let index = models.find(bytes, start, end);
    if (index < 0) {
      if (models.count === MAX_MODELS) return OTHER_MODELS;
      index = models.add(bytes, start, end);
    }
    return FIRST_MODEL + index;
  }
}

/** The index of the model in a label. */
export function modelOf(label: number): number {
  return label >> LAYER_BITS;
}

/** The layer in a label. */
export function layerOf(label: number): number {
  return label & (1 << LAYER_BITS) - 1;
}

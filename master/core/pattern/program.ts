/** An expression as a graph of steps, to be followed by {@linkcode KeyMatcher}. */
import { type ByteSet, WORD } from "./byte_set.ts";
import { type Part, Place } from "./syntax.ts";

/** What a step is. */
export const Op = {
  /** The expression, or what a look-ahead is about, is over. */
  END: 0,
  /** One byte of a set. */
  BYTES: 1,
  /** Goes on in two ways. */
  SPLIT: 2,
  /** Only where a {@linkcode Place} is. */
  PLACE: 3,
  /** Only where what is ahead matches, or does not. */
  LOOK: 4,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** One step; 0 = none in the fields that link to others. */
export interface Step {
  readonly op: Op;
  /** Where it goes on, and where a split goes on as well. */
  out: number;
  readonly other: number;
  /** The set, the place, or the step with which what is ahead begins. */
  readonly operand: number;
  readonly wanted: boolean;
  /** The look-ahead that the step belongs to, 0 = the expression itself. Inner ones are higher. */
  readonly layer: number;
}

/** A compiled expression. Step 0 is not used. */
export interface Program {
  readonly steps: readonly Step[];
  readonly start: number;
  /** The last step of each layer. */
  readonly ends: readonly number[];
  readonly sets: readonly ByteSet[];
  /** For each step those that go on to it. */
  readonly sources: readonly (readonly number[])[];
  /** Bytes of one class are members of the same sets: the class of each, and a byte of each class. */
  readonly classOf: Uint8Array;
  readonly classes: readonly number[];
  /** Whether it asks for edges of words. */
  readonly hasWordEdges: boolean;
  /** Bytes that every key begins with that matches, and whether all such keys match. */
  readonly prefix: Uint8Array;
  readonly prefixOnly: boolean;
}

/** Makes the steps of an expression. */
export function compileProgram(whole: Part): Program {
  const emitter = new Emitter();
  const start = emitter.whole(whole);
  const { steps, ends, sets } = emitter;
  const sources: number[][] = steps.map(() => []);
  for (const [step, { op, out, other }] of steps.entries()) {
    if (out !== 0) sources[out].push(step);
    if (op === Op.SPLIT && other !== out) sources[other].push(step);
  }
  const { hasWordEdges } = emitter;
  const byteClasses = classesOf(hasWordEdges ? [...sets, WORD] : sets);
  return { steps, start, ends, sets, sources, ...byteClasses, hasWordEdges, ...prefixOf(whole) };
}

class Emitter {
  readonly steps: Step[] = [stepOf(Op.END, 0)];
  readonly ends: number[] = [];
  readonly sets: ByteSet[] = [];
  hasWordEdges = false;
  readonly #setIndex = new Map<ByteSet, number>();
  #layer = 0;

  whole(part: Part): number {
    return this.#layered(part, 0);
  }

  /** The first step of a part in a layer of its own. */
  #layered(part: Part, layer: number): number {
    const outer = this.#layer;
    this.#layer = layer;
    this.ends[layer] = this.#add(stepOf(Op.END, layer));
    const start = this.#emit(part, this.ends[layer]);
    this.#layer = outer;
    return start;
  }

  /** The first step of a part that goes on to `out`. */
  #emit(part: Part, out: number): number {
    switch (part.kind) {
      case "bytes":
        return this.#add({ ...stepOf(Op.BYTES, this.#layer, out), operand: this.#setOf(part.set) });
      case "place":
        this.hasWordEdges ||= part.place === Place.WORD_EDGE || part.place === Place.NO_WORD_EDGE;
        return this.#add({ ...stepOf(Op.PLACE, this.#layer, out), operand: part.place });
      case "look": {
        const operand = this.#layered(part.ahead, this.ends.length);
        const { wanted } = part;
        return this.#add({ ...stepOf(Op.LOOK, this.#layer, out), operand, wanted });
      }
      case "sequence":
        return part.parts.reduceRight((next, one) => this.#emit(one, next), out);
      case "choice": {
        const starts = part.parts.map((one) => this.#emit(one, out));
        return starts.reduceRight((rest, start) => this.#split(start, rest));
      }
      case "repeat":
        return this.#repeat(part.part, part.min, part.max, out);
    }
  }

  #repeat(part: Part, min: number, max: number, out: number): number {
    let next = out;
    let needed = min;
    if (max === Infinity) {
      const loop = this.#split(0, out);
      this.steps[loop].out = this.#emit(part, loop);
      if (min === 0) return loop;
      next = this.steps[loop].out;
      needed--;
    } else {
      for (let i = min; i < max; i++) next = this.#split(this.#emit(part, next), out);
    }
    for (; needed > 0; needed--) next = this.#emit(part, next);
    return next;
  }

  #split(out: number, other: number): number {
    return this.#add({ ...stepOf(Op.SPLIT, this.#layer, out), other });
  }

  #setOf(set: ByteSet): number {
    let index = this.#setIndex.get(set);
    if (index === undefined) {
      index = this.sets.push(set) - 1;
      this.#setIndex.set(set, index);
    }
    return index;
  }

  #add(step: Step): number {
    return this.steps.push(step) - 1;
  }
}

function stepOf(op: Op, layer: number, out = 0): Step {
  return { op, out, other: 0, operand: 0, wanted: true, layer };
}

/** Tells bytes apart only where some set does. */
function classesOf(sets: readonly ByteSet[]): Pick<Program, "classOf" | "classes"> {
  const classOf = new Uint8Array(256);
  let count = 1;
  for (const set of sets) {
    const split = new Map<number, number>();
    const known = count;
    for (let byte = 0; byte < 256; byte++) {
      const group = classOf[byte] << 1 | set[byte];
      let found = split.get(group);
      if (found === undefined) {
        const twin = split.has(group ^ 1);
        found = twin ? count++ : classOf[byte];
        split.set(group, found);
      }
      classOf[byte] = found;
    }
    if (known === 256) break;
  }
  const classes = Array.from({ length: count }, (_, one) => classOf.indexOf(one));
  return { classOf, classes };
}

/** The bytes that an expression begins with, after a `^`. */
function prefixOf(whole: Part): Pick<Program, "prefix" | "prefixOnly"> {
  const parts = whole.kind === "sequence" ? whole.parts : [whole];
  const [first, ...rest] = parts;
  if (first?.kind !== "place" || first.place !== Place.BEGIN) {
    return { prefix: new Uint8Array(0), prefixOnly: false };
  }
  const prefix: number[] = [];
  for (const part of rest) {
    const byte = part.kind === "bytes" ? onlyMember(part.set) : -1;
    if (byte < 0) break;
    prefix.push(byte);
  }
  return { prefix: Uint8Array.from(prefix), prefixOnly: prefix.length === rest.length };
}

function onlyMember(set: ByteSet): number {
  const byte = set.indexOf(1);
  return byte === set.lastIndexOf(1) ? byte : -1;
}

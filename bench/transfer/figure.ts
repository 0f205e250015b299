/** One figure of the transfer benchmark beside what is asked of it. */
import { median, printTable, short } from "../table.ts";

/** A limit: of the ratio of ours to what it is compared with, or of ours itself without such. */
export interface Asked {
  compare: "<=" | ">=" | "<";
  limit: number;
}

export interface Figure {
  name: string;
  unit: string;
  /** What ours is compared with: `wheel`, `memcpy`; empty = nothing. */
  against: string;
  /** Medians of the rounds. */
  base: number | null;
  ours: number;
  /** `ours / base`, or `ours` without a base. */
  value: number;
  /** `null`: for information. */
  asked: Asked | null;
  met: boolean | null;
  /** One value for each round. */
  rounds: { base: number[]; ours: number[] };
}

/** Numbers for rounds and their length. */
export interface Scale {
  rounds: number;
  /** Seconds of one turn. */
  seconds: number;
}

/** Makes a figure of the values of all rounds. */
export function figure(
  name: string,
  unit: string,
  ours: number[],
  options: { against?: string; base?: number[]; asked?: Asked } = {},
): Figure {
  const { against = "", base = [], asked = null } = options;
  const one = median(ours);
  const other = base.length === 0 ? null : median(base);
  const value = other === null ? one : one / other;
  return {
    ...{ name, unit, against, base: other, ours: one, value, asked },
    met: asked === null ? null : holds(value, asked),
    rounds: { base, ours },
  };
}

function holds(value: number, { compare, limit }: Asked): boolean {
  if (compare === "<=") return value <= limit;
  return compare === "<" ? value < limit : value >= limit;
}

export function sizeLabel(bytes: number): string {
  return bytes >= 1 << 20 ? `${bytes >> 20} MiB` : `${bytes >> 10} KiB`;
}

/** Prints figures as a table with what is asked of each. */
export function printFigures(figures: readonly Figure[]): void {
  printTable(
    ["figure", "unit", "beside", "it", "ours", "ours / it", "asked", "met"],
    figures.map((one) => [
      one.name,
      one.unit,
      one.against || "-",
      one.base === null ? "-" : short(one.base),
      short(one.ours),
      one.base === null ? "-" : one.value.toFixed(3),
      one.asked === null ? "-" : `${one.asked.compare} ${one.asked.limit}`,
      one.met === null ? "-" : one.met ? "yes" : "no",
    ]),
  );
}

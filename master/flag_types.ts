/**
 * What a flag of the master can be, and short builders for the table in `flags.ts`.
 */
export type FlagValue = boolean | number | bigint | string;

interface FlagBase<N extends string> {
  readonly name: N;
  readonly group: FlagGroup;
  readonly help: string;
  /** What this version lacks; only the default is accepted then. */
  readonly unavailable?: string;
}

export interface BoolFlag<N extends string = string> extends FlagBase<N> {
  readonly type: "bool";
  readonly default: boolean;
}

/** Whole numbers. `min` and `max` are inclusive. */
export interface IntFlag<N extends string = string, V extends number | bigint = number | bigint>
  extends FlagBase<N> {
  readonly type: "int";
  readonly default: V;
  readonly min: number | bigint;
  readonly max: number | bigint;
}

export interface DoubleFlag<N extends string = string> extends FlagBase<N> {
  readonly type: "double";
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

/** Milliseconds; the text may end in `ms`, `s`, `m` or `h`. */
export interface DurationFlag<N extends string = string> extends FlagBase<N> {
  readonly type: "duration";
  readonly default: number;
  readonly max: number;
}

export interface EnumFlag<N extends string = string, V extends string = string>
  extends FlagBase<N> {
  readonly type: "enum";
  readonly default: V;
  readonly allowed: readonly V[];
  /** Values the reference knows and this version lacks, with what is lacking. */
  readonly unavailableValues: Readonly<Record<string, string>>;
}

export interface StringFlag<N extends string = string> extends FlagBase<N> {
  readonly type: "string";
  readonly default: string;
  readonly pattern?: { readonly test: RegExp; readonly allowed: string };
}

export type Flag = BoolFlag | IntFlag | DoubleFlag | DurationFlag | EnumFlag | StringFlag;

/** Headings of the help, in its order. */
export const FlagGroup = {
  NETWORK: "Network",
  ADMIN: "Admin, metrics and log",
  METADATA: "HTTP metadata server",
  CLIENTS: "Clients, leases and writes",
  DURABILITY: "Durability",
  HA: "High availability",
  SNAPSHOTS: "Snapshots",
  EVICTION: "Placement and eviction",
  DISK: "Disk tier",
  TASKS: "Copy and move tasks",
  TENANTS: "Tenants",
  CONFIGURATION: "Configuration",
  ABSENT: "Accepted at their default only",
} as const;
export type FlagGroup = (typeof FlagGroup)[keyof typeof FlagGroup];

/** Where the value of a flag came from, weakest first. */
export const FLAG_SOURCES = [
  "default",
  "config file",
  "environment",
  "flag file",
  "command line",
] as const;
export type FlagSource = (typeof FLAG_SOURCES)[number];

/** Milliseconds. */
export const HOUR_MS = 3_600_000;

/** Builders for the flags of one group, each `(name, default, ..., help)`. */
export function group(name: FlagGroup) {
  const base = <N extends string>(flag: N, help: string) => ({ name: flag, group: name, help });
  return {
    bool: <N extends string>(flag: N, value: boolean, help: string): BoolFlag<N> => ({
      ...base(flag, help),
      type: "bool",
      default: value,
    }),
    int: <N extends string>(
      flag: N,
      value: number,
      [min, max]: readonly [number, number],
      help: string,
    ): IntFlag<N, number> => ({ ...base(flag, help), type: "int", default: value, min, max }),
    ratio: <N extends string>(flag: N, value: number, help: string): DoubleFlag<N> => ({
      ...base(flag, help),
      type: "double",
      default: value,
      min: 0,
      max: 1,
    }),
    real: <N extends string>(
      flag: N,
      value: number,
      [min, max]: readonly [number, number],
      help: string,
    ): DoubleFlag<N> => ({ ...base(flag, help), type: "double", default: value, min, max }),
    duration: <N extends string>(
      flag: N,
      value: number,
      maxHours: number,
      help: string,
    ): DurationFlag<N> => ({
      ...base(flag, help),
      type: "duration",
      default: value,
      max: maxHours * HOUR_MS,
    }),
    choice: <N extends string, V extends string>(
      flag: N,
      value: V,
      allowed: readonly V[],
      help: string,
      unavailableValues: Readonly<Record<string, string>> = {},
    ): EnumFlag<N, V> => ({
      ...base(flag, help),
      type: "enum",
      default: value,
      allowed,
      unavailableValues,
    }),
    text: <N extends string>(
      flag: N,
      value: string,
      help: string,
      pattern?: { test: RegExp; allowed: string },
    ): StringFlag<N> => ({
      ...base(flag, help),
      type: "string",
      default: value,
      ...(pattern && { pattern }),
    }),
  };
}

/** A reference flag of a feature that this version lacks; its type follows from its default. */
export function absent<N extends string>(
  name: N,
  value: FlagValue,
  feature: string,
): BoolFlag<N> | IntFlag<N> | DoubleFlag<N> | StringFlag<N> {
  const base = { name, group: FlagGroup.ABSENT, help: feature, unavailable: feature } as const;
  switch (typeof value) {
    case "boolean":
      return { ...base, type: "bool", default: value };
    case "string":
      return { ...base, type: "string", default: value };
    case "bigint":
      return { ...base, type: "int", default: value, min: value, max: value };
    case "number":
      return Number.isInteger(value)
        ? { ...base, type: "int", default: value, min: value, max: value }
        : { ...base, type: "double", default: value, min: value, max: value };
  }
}

/** What the commands of the transfer engine share: flags as the reference's tools take them. */
import { parseArgs } from "node:util";
import { EngineError } from "../engine_code.ts";
import type { MetadataLogin } from "../options.ts";

/** The command line is wrong, or what it asks for cannot be done; `message` is one line. */
export class CommandError extends Error {
  /** Name of the class. */
  override readonly name = "CommandError";

  /** `exitCode`: 1 = it cannot be done, 2 = a wrong command line. */
  constructor(message: string, readonly exitCode: 1 | 2) {
    super(message);
  }
}

/** Values of flags by name, and the other arguments. */
export interface Arguments {
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly words: readonly string[];
}

/**
 * Reads `--name=value`, `--name value` and, as gflags, `-name=value`; dashes inside of names count as
 * underscores. `CommandError` for a flag that is not in `names`.
 */
export function readArguments(args: readonly string[], names: readonly string[]): Arguments {
  const plain = args.map((arg) => {
    const match = /^--?([a-z][a-z_-]+)(=.*)?$/s.exec(arg);
    return match === null ? arg : `--${match[1].replaceAll("-", "_")}${match[2] ?? ""}`;
  });
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  try {
    const { values, positionals } = parseArgs({
      ...{ args: plain, options, strict: true, allowPositionals: true },
    });
    return { flags: values as Arguments["flags"], words: positionals };
  } catch (error) {
    const why = error instanceof Error ? error.message.split(/[\n.]/)[0] : String(error);
    throw new CommandError(`${why}; allowed: ${names.map((name) => `--${name}`).join(", ")}`, 2);
  }
}

/** Throws that a flag has a value that it cannot have. */
export function refuseFlag(name: string, value: string, allowed: string): never {
  throw new CommandError(`--${name}=${value} is refused; allowed: ${allowed}`, 2);
}

/** An integer flag from `low` to `high`. */
export function integerFlag(
  flags: Arguments["flags"],
  name: string,
  fallback: number,
  low: number,
  high: number,
): number {
  const text = flags[name];
  if (text === undefined) return fallback;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (value >= low && value <= high) return value;
  return refuseFlag(name, text, `an integer from ${low} to ${high}`);
}

/** A flag that is one of some words. */
export function choiceFlag<T extends string>(
  flags: Arguments["flags"],
  name: string,
  choices: readonly T[],
): T {
  const text = flags[name] ?? choices[0];
  return choices.find((one) => one === text) ?? refuseFlag(name, text, choices.join(", "));
}

/** How a metadata service is entered, from the environment; the reference's variables are for Redis. */
export function loginOf(env: (name: string) => string | undefined, server: string): MetadataLogin {
  const redis = /^rediss?:/i.test(server);
  const one = (ours: string, theirs: string) =>
    env(`SNOWSKIN_METADATA_${ours}`) ?? (redis ? env(`MC_REDIS_${theirs}`) : undefined) ?? "";
  const database = redis ? env("MC_REDIS_DB_INDEX") ?? "0" : "0";
  if (!/^\d{1,3}$/.test(database) || Number(database) > 255) {
    throw new CommandError(`MC_REDIS_DB_INDEX=${database} is refused; allowed: 0 to 255`, 2);
  }
  return {
    user: one("USER", "USERNAME"),
    password: one("PASSWORD", "PASSWORD"),
    tlsCa: env("SNOWSKIN_METADATA_TLS_CA") ?? "",
    tlsCert: env("SNOWSKIN_METADATA_TLS_CERT") ?? "",
    tlsKey: env("SNOWSKIN_METADATA_TLS_KEY") ?? "",
    database: Number(database),
  };
}

/** Runs a command and returns its exit code: 0, 1 = it cannot be done, 2 = a wrong command line. */
export async function runCommand(
  name: string,
  help: string,
  args: readonly string[],
  run: () => Promise<void>,
): Promise<number> {
  if (args.length === 0 || args.includes("--help") || args.includes("-h")) {
    console.log(help);
    return args.length === 0 ? 2 : 0;
  }
  try {
    await run();
    return 0;
  } catch (error) {
    const known = error instanceof CommandError || error instanceof EngineError;
    if (!known) throw error;
    console.error(`snowskin ${name}: ${error.message}`);
    return error instanceof CommandError ? error.exitCode : 1;
  }
}

/**
 * The places flags come from: arguments, flag files, the environment and config files. Each reader
 * turns its text into values by flag name and throws {@linkcode FlagError} with one line.
 */
import type { Flag, FlagValue } from "./flag_types.ts";
import { allowedText, parseFlagValue } from "./flag_value.ts";
import { flagsByName } from "./flags.ts";
import { nearestFlag } from "./flag_help.ts";

/** A mistake of the operator, as the one line to print. */
export class FlagError extends Error {
  override readonly name = "FlagError";
}

/** Values of one source, by flag name. */
export type FlagLayer = Map<string, FlagValue>;

/** Returns the text of a file, or throws. */
export type ReadFile = (path: string) => string;

/** What a command line asks for. */
export interface Arguments {
  flags: FlagLayer;
  help: boolean;
  version: boolean;
}

const MAX_FLAGFILE_DEPTH = 8;
const HELP = new Set(["h", "help", "helpfull", "helpshort"]);

/** Reads a command line in the gflags forms `--x=y`, `--x y`, `--x`, `--nox`, with one dash or two. */
export function readArguments(args: readonly string[]): Arguments {
  const result: Arguments = { flags: new Map(), help: false, version: false };
  const skippable = skippableNames(args);
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    const match = /^--?([^-=][^=]*)(=([^]*))?$/.exec(arg);
    if (!match) {
      if (arg === "--" && i === args.length - 1) break;
      throw new FlagError(`${quoted(arg)}: not a flag; flags look like --name=value`);
    }
    const name = match[1];
    let text: string | undefined = match[3];
    if (HELP.has(name) && text === undefined) {
      result.help = true;
    } else if (name === "version" && text === undefined) {
      result.version = true;
    } else {
      const flag = flagsByName.get(name);
      if (flag && flag.type !== "bool" && text === undefined) {
        if (++i === args.length) throw new FlagError(`${arg}: needs a value; ${allowedText(flag)}`);
        text = args[i];
      }
      assign(result.flags, name, text, skippable, arg);
    }
  }
  return result;
}

/** Reads flag files, `paths` separated by commas; a file may name further ones. */
export function readFlagFiles(paths: string, readFile: ReadFile, depth = 0): FlagLayer {
  const layer: FlagLayer = new Map();
  for (const path of listed(paths)) {
    if (depth === MAX_FLAGFILE_DEPTH) {
      throw new FlagError(
        `--flagfile=${path}: nested too deep; allowed: ${MAX_FLAGFILE_DEPTH} levels`,
      );
    }
    const where = `flag file ${quoted(path)}`;
    const lines = read(path, "--flagfile", readFile).split("\n").map((line) => line.trim());
    const wanted = lines.filter((line) => line !== "" && !line.startsWith("#"));
    const skippable = skippableNames(wanted);
    for (const line of wanted) {
      const match = /^--?([^-=][^=]*)(=(.*))?$/.exec(line);
      if (!match) throw new FlagError(`${where}: ${quoted(line)}: not a flag; use --name=value`);
      const [, name, , text] = match;
      if (name === "flagfile") {
        for (const [key, value] of readFlagFiles(text ?? "", readFile, depth + 1)) {
          layer.set(key, value);
        }
        continue;
      }
      const flag = flagsByName.get(name);
      if (flag && flag.type !== "bool" && text === undefined) {
        throw new FlagError(`${where}: ${line}: needs a value; ${allowedText(flag)}`);
      }
      assign(layer, name, text, skippable, `${where}: ${line}`);
    }
  }
  return layer;
}

/** Reads `FLAGS_<name>` of every flag; other variables with that prefix belong to somebody else. */
export function readEnvironment(env: Readonly<Record<string, string>>): FlagLayer {
  const layer: FlagLayer = new Map();
  for (const flag of flagsByName.values()) {
    const text = env[`FLAGS_${flag.name}`];
    if (text !== undefined) set(layer, flag, text, `FLAGS_${flag.name}=${text}`);
  }
  return layer;
}

/** Checks that what `--fromenv` lists is a flag and set, as gflags does. */
export function checkFromEnvironment(
  option: "fromenv" | "tryfromenv",
  names: string,
  env: Readonly<Record<string, string>>,
): void {
  for (const name of listed(names)) {
    if (!flagsByName.has(name)) {
      throw new FlagError(`--${option}=${names}: ${unknownFlag(name)}`);
    }
    if (option === "fromenv" && env[`FLAGS_${name}`] === undefined) {
      throw new FlagError(`--fromenv=${names}: the variable FLAGS_${name} is not set`);
    }
  }
}

/** Reads a JSON or YAML file that maps flag names to values. The YAML parser is loaded on demand. */
export async function readConfigFile(path: string, readFile: ReadFile): Promise<FlagLayer> {
  const where = `config file ${quoted(path)}`;
  const extension = /\.([^./\\]*)$/.exec(path)?.[1].toLowerCase();
  if (extension !== "json" && extension !== "yaml" && extension !== "yml") {
    throw new FlagError(`--config_path=${path}: unknown format; allowed: .json, .yaml, .yml`);
  }
  const text = read(path, "--config_path", readFile);
  let entries: unknown;
  try {
    entries = extension === "json" ? parseJson(text) : await parseYaml(text);
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).split("\n")[0];
    throw new FlagError(`${where}: ${reason}`);
  }
  if (entries === null || typeof entries !== "object" || Array.isArray(entries)) {
    throw new FlagError(`${where}: not a map of flag names to values`);
  }
  const layer: FlagLayer = new Map();
  for (const [name, value] of Object.entries(entries)) {
    const flag = flagsByName.get(name);
    if (!flag) throw new FlagError(`${where}: ${unknownFlag(name)}`);
    if (typeof value !== "string") {
      throw new FlagError(`${where}: ${name}: not a single value; ${allowedText(flag)}`);
    }
    if (name === "config_path" || name === "flagfile") {
      throw new FlagError(`${where}: ${name}: not allowed in a config file`);
    }
    set(layer, flag, value, `${where}: ${name}=${value}`);
  }
  return layer;
}

/** Scalars come back as the text they have in the file, so 64-bit numbers stay exact. */
function parseJson(text: string): unknown {
  return JSON.parse(text, (_key, value, context?: { source?: string }) => {
    if (typeof value === "string") return value;
    if (value === null) return "";
    return typeof value === "object" ? value : context?.source ?? String(value);
  });
}

async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import("yaml");
  return parse(text, { schema: "failsafe" }) ?? {};
}

function assign(
  layer: FlagLayer,
  name: string,
  text: string | undefined,
  skippable: ReadonlySet<string>,
  shown: string,
): void {
  const flag = flagsByName.get(name);
  if (flag) {
    const value = text ?? "true";
    return set(layer, flag, value, shown.includes("=") ? shown : `${shown}=${value}`);
  }
  const negated = name.startsWith("no") ? flagsByName.get(name.slice(2)) : undefined;
  if (negated?.type === "bool") {
    if (text === undefined) return set(layer, negated, "false", `--${negated.name}=false`);
    throw new FlagError(`${shown}: takes no value; allowed: --${name}, --${negated.name}=true`);
  }
  if (skippable.has(name)) return;
  throw new FlagError(`${shown}: ${unknownFlag(name)}`);
}

function set(layer: FlagLayer, flag: Flag, text: string, shown: string): void {
  const result = parseFlagValue(flag, text);
  if ("error" in result) throw new FlagError(`${shown}: ${result.error}`);
  const earlier = flag.name === "flagfile" ? layer.get(flag.name) : undefined;
  layer.set(flag.name, earlier === undefined ? result.value : `${earlier},${result.value}`);
}

function unknownFlag(name: string): string {
  const near = nearestFlag(name);
  const hint = near === null ? "" : `; did you mean --${near}?`;
  return `unknown flag ${quoted(name)}${hint} (--help lists all)`;
}

/** Names that `--undefok` allows to be unknown, themselves or negated. */
function skippableNames(args: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [index, arg] of args.entries()) {
    const match = /^--?undefok(=(.*))?$/.exec(arg);
    for (const name of listed(match ? match[2] ?? args[index + 1] ?? "" : "")) {
      names.add(name).add(`no${name}`);
    }
  }
  return names;
}

function listed(text: string): string[] {
  return text.split(",").map((item) => item.trim()).filter((item) => item !== "");
}

function read(path: string, option: string, readFile: ReadFile): string {
  try {
    return readFile(path);
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).split("\n")[0];
    throw new FlagError(`${option}=${path}: cannot be read: ${reason}`);
  }
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

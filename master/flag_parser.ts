/** From arguments, environment and files to a checked {@linkcode MasterConfig}. */
import { buildMasterConfig, type MasterConfig } from "./config.ts";
import { helpText } from "./flag_help.ts";
import {
  checkFromEnvironment,
  FlagError,
  type FlagLayer,
  readArguments,
  readConfigFile,
  readEnvironment,
  type ReadFile,
  readFlagFiles,
} from "./flag_layers.ts";
import { FLAG_SOURCES, type FlagSource } from "./flag_types.ts";
import { defaultFlagValues, type FlagName, FLAGS, type FlagValues } from "./flags.ts";
import { VERSION } from "./version.ts";

/** What the master is to do. Texts end in a newline, except `error`, which is one line. */
export type ParsedFlags =
  | { config: MasterConfig }
  | { help: string }
  | { version: string }
  | { error: string; exitCode: 2 };

/**
 * Reads all flags. Nothing but the files that are named is touched, and only through `readFile`,
 * which returns a file's text or throws.
 *
 * Precedence: command line, flag file, environment (`FLAGS_<name>`), config file, default.
 */
export async function parseMasterFlags(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  readFile: ReadFile,
): Promise<ParsedFlags> {
  try {
    const { flags, help, version } = readArguments(args);
    if (help) return { help: helpText() };
    if (version) return { version: `snowskin master ${VERSION}\n` };

    const environment = readEnvironment(env);
    const files = new Map([...readNamed(environment, readFile), ...readNamed(flags, readFile)]);
    const strong = new Map([...environment, ...files, ...flags]);
    checkFromEnvironment("fromenv", text(strong, "fromenv"), env);
    checkFromEnvironment("tryfromenv", text(strong, "tryfromenv"), env);

    const path = text(strong, "config_path");
    const config: FlagLayer = path === "" ? new Map() : await readConfigFile(path, readFile);
    const [values, sources] = merge([config, environment, files, flags]);
    return { config: buildMasterConfig(values, sources, env) };
  } catch (error) {
    if (error instanceof FlagError) return { error: error.message, exitCode: 2 };
    throw error;
  }
}

function readNamed(layer: FlagLayer, readFile: ReadFile): FlagLayer {
  return readFlagFiles(text(layer, "flagfile"), readFile);
}

function text(layer: FlagLayer, name: FlagName): string {
  return String(layer.get(name) ?? "");
}

/** Lays the sources over each other, weakest first, in the order of {@linkcode FLAG_SOURCES}. */
function merge(layers: FlagLayer[]): [FlagValues, Record<FlagName, FlagSource>] {
  const values: Record<string, unknown> = { ...defaultFlagValues() };
  const sources: Record<string, FlagSource> = {};
  for (const { name } of FLAGS) sources[name] = "default";
  layers.forEach((layer, index) => {
    for (const [name, value] of layer) {
      values[name] = value;
      sources[name] = FLAG_SOURCES[index + 1];
    }
  });
  return [values as FlagValues, sources as Record<FlagName, FlagSource>];
}

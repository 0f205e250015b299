import { buildMasterConfig, type MasterConfig } from "../../master/config.ts";
import type { FlagSource } from "../../master/flag_types.ts";
import { type FlagName, FLAGS, type FlagValues } from "../../master/flags.ts";

/** The settings of a master without flags, but for some values from `source`. */
export function defaultMasterConfig(
  values: Partial<FlagValues> = {},
  source: FlagSource = "command line",
): MasterConfig {
  const defaults = Object.fromEntries(FLAGS.map((flag) => [flag.name, flag.default]));
  const sources = Object.fromEntries(
    FLAGS.map(({ name }) => [name, Object.hasOwn(values, name) ? source : "default"]),
  );
  const all = { ...defaults, ...values } as unknown as FlagValues;
  return buildMasterConfig(all, sources as Record<FlagName, FlagSource>);
}

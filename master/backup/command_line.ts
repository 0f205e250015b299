/** What the commands about backups have in common. */
import { parseArgs } from "node:util";
import { parsePlace, type SnapshotPlace } from "./places.ts";

/** A mistake in the command line; `message` is one line that says what is allowed. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface CommandFlag {
  readonly name: string;
  readonly placeholder: string;
  readonly help: string;
}

/** Reads `--name=value` and `--name value`; `null` when help is wanted. Throws a {@linkcode UsageError}. */
export function readFlags(
  args: string[],
  flags: readonly CommandFlag[],
): Readonly<Record<string, string | undefined>> | null {
  const options = Object.fromEntries(flags.map(({ name }) => [name, { type: "string" as const }]));
  try {
    const help = { type: "boolean", short: "h" } as const;
    const { values } = parseArgs({ args, options: { ...options, help }, strict: true });
    if (values.help === true) return null;
    return values as Record<string, string | undefined>;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const allowed = flags.map(({ name }) => `--${name}`).join(", ");
    throw new UsageError(`${error.message.split(/[.\n]/)[0]}; allowed: ${allowed}, --help`);
  }
}

/** The place that a flag names. Throws a {@linkcode UsageError}. */
export function readPlace(flag: string, text: string | undefined): SnapshotPlace {
  try {
    return parsePlace(text ?? "", Deno.env.toObject());
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(`--${flag}=${text ?? ""}: ${error.message}`);
  }
}

/** The help of a command: `intro`, then its flags. */
export function commandHelp(intro: string, flags: readonly CommandFlag[]): string {
  const lines = flags.map(({ name, placeholder, help }) =>
    `  --${name}=${placeholder}\n      ${help}`
  );
  return `${intro}\n\nFlags:\n${lines.join("\n")}

Buckets are reached by MOONCAKE_AWS_ACCESS_KEY_ID, MOONCAKE_AWS_SECRET_ACCESS_KEY,
MOONCAKE_AWS_REGION, MOONCAKE_AWS_S3_ENDPOINT, or by the standard AWS_* variables and profiles.`;
}

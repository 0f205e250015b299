/** What the commands that speak to a running master share. */
import { parseArgs } from "node:util";
import { KEY_VARIABLE, keyHeaders } from "./admin_key.ts";

const TIMEOUT_MS = 10_000;

/** The command line is wrong, or the master refused; `message` is one line. */
export class CliError extends Error {
  override readonly name = "CliError";

  constructor(message: string, readonly exitCode: 1 | 2) {
    super(message);
  }
}

/** A verb and its options, which are texts. */
export interface Parsed {
  verb: string;
  options: Record<string, string | undefined>;
}

/** Reads `VERB --name=value ...`; `verbs` are the options of each. */
export function parseVerb(args: string[], verbs: Record<string, readonly string[]>): Parsed {
  const [verb, ...rest] = args;
  if (verb === undefined || !Object.hasOwn(verbs, verb)) {
    const allowed = Object.keys(verbs).join(", ");
    throw new CliError(`${verb ?? "nothing"} is no verb; allowed: ${allowed}`, 2);
  }
  const names = [...verbs[verb], "url"];
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  try {
    return { verb, options: parseArgs({ args: rest, options, strict: true }).values };
  } catch (error) {
    throw new CliError(error instanceof Error ? error.message.split("\n")[0] : String(error), 2);
  }
}

/** An option that must be given. */
export function required(options: Parsed["options"], name: string): string {
  const value = options[name];
  if (value === undefined || value === "") throw new CliError(`--${name} is missing`, 2);
  return value;
}

/** Makes one admin call with the key of the environment, and returns the document's `data`. */
export async function callAdmin(
  url: string | undefined,
  method: string,
  path: string,
  body?: string,
): Promise<unknown> {
  const base = url ?? "http://127.0.0.1:9003";
  let answer: Response;
  try {
    answer = await fetch(new URL(path, base), {
      method,
      headers: keyHeaders(),
      ...(body !== undefined && { body }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`--url=${base}: cannot be reached: ${reason}`, 1);
  }
  const text = await answer.text();
  let document: { success?: boolean; data?: unknown; error_message?: string };
  try {
    document = JSON.parse(text);
  } catch {
    throw new CliError(`--url=${base}: answered ${answer.status}, which is no admin port`, 1);
  }
  if (document.success === true) return document.data;
  const hint = answer.status === 401 ? ` (the key is taken from ${KEY_VARIABLE})` : "";
  throw new CliError(`the master answered ${answer.status}: ${document.error_message}${hint}`, 1);
}

/** Runs a command and returns its exit code: 0, 1 = refused, 2 = a wrong command line. */
export async function runCli(
  name: string,
  help: string,
  args: string[],
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
    if (!(error instanceof CliError)) throw error;
    console.error(`snowskin ${name}: ${error.message}`);
    return error.exitCode;
  }
}

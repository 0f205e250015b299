/** `snowskin tenant`: registers tenants and changes their quotas and limits. */
import { byteRate, quotaBytes } from "../tenants/policy_yaml.ts";
import { callAdmin, CliError, type Parsed, parseVerb, required, runCli } from "./admin_client.ts";

const HELP = `Usage: snowskin tenant VERB [--url=http://127.0.0.1:9003]

  list
      Shows all tenants with their quotas and what they use.
  set --tenant=NAME --quota=BYTES
      Registers a tenant or changes its quota: bytes, or a number with KB, MB, GB or TB.
  remove --tenant=NAME
      Ends the registration of a tenant that has no objects.
  limits [--tenant=NAME]
      Shows which models tenants may write, how fast they may call, and what that has refused.
  limit --tenant=NAME [--models=NAME,NAME] [--ops_per_second=N] [--bytes_per_second=BYTES]
      Changes that; what is not named stays. none = no limit. The model "unknown" stands for keys that
      do not tell theirs.

The calls carry the key in SNOWSKIN_ADMIN_KEY, if there is one.

Example:
  snowskin tenant set --tenant=team-a --quota=64GB
  snowskin tenant limit --tenant=team-a --ops_per_second=20000 --bytes_per_second=2GB
`;

const LIMITS = ["models", "ops_per_second", "bytes_per_second"] as const;
const VERBS = {
  list: [],
  set: ["tenant", "quota"],
  remove: ["tenant"],
  limits: ["tenant"],
  limit: ["tenant", ...LIMITS],
} as const;
const PATH = "/api/v1/tenant_quotas";
const LIMITS_PATH = "/api/v1/tenants";
const NONE = "none";

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCli("tenant", HELP, args, async () => {
    const { verb, options } = parseVerb(args, VERBS);
    if (verb === "list") return await show(options.url, PATH);
    const { tenant } = options;
    if (verb === "limits") {
      const of = tenant === undefined ? "" : `?tenant_id=${encodeURIComponent(tenant)}`;
      return await show(options.url, LIMITS_PATH + of);
    }
    const of = `?tenant_id=${encodeURIComponent(required(options, "tenant"))}`;
    if (verb === "limit") {
      const body = JSON.stringify(limitsOf(options));
      return void await callAdmin(options.url, "PUT", LIMITS_PATH + of, body);
    }
    if (verb === "remove") return void await callAdmin(options.url, "DELETE", PATH + of);
    const quota = required(options, "quota");
    const bytes = quotaBytes(quota);
    if (bytes === null) throw notAllowed("quota", quota, `1 to 2^63-1 bytes, ${UNITS}`);
    await callAdmin(options.url, "PUT", PATH + of, `{"requested_quota_bytes":${bytes}}`);
  });
}

const UNITS = "alone or with B, KB, MB, GB or TB";

async function show(url: string | undefined, path: string): Promise<void> {
  const tenants = await callAdmin(url, "GET", path) as Record<string, unknown>[];
  for (const tenant of tenants) console.log(JSON.stringify(tenant));
}

function limitsOf(options: Parsed["options"]): Record<string, unknown> {
  const given = LIMITS.filter((name) => options[name] !== undefined);
  if (given.length === 0) throw new CliError(`give one of --${LIMITS.join(", --")}`, 2);
  return Object.fromEntries(given.map((name) => [name, limitOf(name, options[name]!)]));
}

function limitOf(name: typeof LIMITS[number], text: string): unknown {
  if (text === NONE) return null;
  if (name === "models") return text.split(",");
  const rate = name === "ops_per_second"
    ? (/^\d{1,15}$/.test(text) ? Number(text) : 0)
    : byteRate(text);
  if (rate) return rate;
  const units = name === "ops_per_second" ? "" : `, ${UNITS}`;
  throw notAllowed(name, text, `a whole number from 1 to 2^50${units}, or ${NONE}`);
}

function notAllowed(name: string, text: string, allowed: string): CliError {
  return new CliError(`--${name}=${text}: allowed: ${allowed}`, 2);
}

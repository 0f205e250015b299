/** `snowskin tenant`: registers tenants and changes their quotas. */
import { quotaBytes } from "../tenants/policy_yaml.ts";
import { callAdmin, CliError, parseVerb, required, runCli } from "./admin_client.ts";

const HELP = `Usage: snowskin tenant VERB [--url=http://127.0.0.1:9003]

  list
      Shows all tenants with their quotas and what they use.
  set --tenant=NAME --quota=BYTES
      Registers a tenant or changes its quota: bytes, or a number with KB, MB, GB or TB.
  remove --tenant=NAME
      Ends the registration of a tenant that has no objects.

The calls carry the key in SNOWSKIN_ADMIN_KEY, if there is one.

Example:
  snowskin tenant set --tenant=team-a --quota=64GB
`;

const VERBS = { list: [], set: ["tenant", "quota"], remove: ["tenant"] } as const;
const PATH = "/api/v1/tenant_quotas";

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCli("tenant", HELP, args, async () => {
    const { verb, options } = parseVerb(args, VERBS);
    if (verb === "list") {
      const quotas = await callAdmin(options.url, "GET", PATH) as Record<string, unknown>[];
      for (const quota of quotas) console.log(JSON.stringify(quota));
      return;
    }
    const path = `${PATH}?tenant_id=${encodeURIComponent(required(options, "tenant"))}`;
    if (verb === "remove") return void await callAdmin(options.url, "DELETE", path);
    const quota = required(options, "quota");
    const bytes = quotaBytes(quota);
    if (bytes === null) {
      const allowed = "1 to 2^63-1 bytes, alone or with B, KB, MB, GB or TB";
      throw new CliError(`--quota=${quota}: not a quota; allowed: ${allowed}`, 2);
    }
    await callAdmin(options.url, "PUT", path, `{"requested_quota_bytes":${bytes}}`);
  });
}

/** `snowskin user`: shows the users of API keys, disables and enables them. */
import { callAdmin, parseVerb, required, runCli } from "./admin_client.ts";

const HELP = `Usage: snowskin user VERB [--url=http://127.0.0.1:9003]

  list
      Shows all users of keys: whose they are, whether they are disabled, and the ids of their keys.
  disable --user=NAME [--tenant=NAME]
      Ends all keys of a user at once.
  enable --user=NAME [--tenant=NAME]
      Brings them back, but for those that have expired.

A user comes to be with its first key (snowskin key create --user=NAME) and goes with the last. The
calls carry the key in SNOWSKIN_ADMIN_KEY.

Example:
  snowskin user disable --user=alice --tenant=team-a
`;

const VERBS = { list: [], disable: ["user", "tenant"], enable: ["user", "tenant"] } as const;
const PATH = "/api/v1/users";

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCli("user", HELP, args, async () => {
    const { verb, options } = parseVerb(args, VERBS);
    if (verb === "list") {
      const users = await callAdmin(options.url, "GET", PATH) as Record<string, unknown>[];
      for (const user of users) console.log(JSON.stringify(user));
      return;
    }
    const query = new URLSearchParams({ user: required(options, "user") });
    if (options.tenant !== undefined) query.set("tenant_id", options.tenant);
    const body = JSON.stringify({ disabled: verb === "disable" });
    await callAdmin(options.url, "PATCH", `${PATH}?${query}`, body);
  });
}

/** `snowskin key`: makes, shows, rotates and takes back API keys. */
import { hostname } from "node:os";
import { createKey, ROLES } from "../auth/api_key.ts";
import { KeyDatabase } from "../auth/key_table.ts";
import { DataDirectory, DataDirectoryError } from "../journal/data_directory.ts";
import { callAdmin, CliError, parseVerb, required, runCli } from "./admin_client.ts";

const HELP = `Usage: snowskin key VERB [--url=http://127.0.0.1:9003]

  create --role=ROLE [--tenant=NAME] [--user=NAME] [--label=TEXT] [--expires_in_seconds=N]
      Makes a key and prints it; it is shown only then. All keys of a user can be disabled at once,
      see snowskin user. Roles: ${ROLES.join(", ")}.
  create --role=admin --data_dir=DIR
      Makes an admin key while no master runs on DIR, for when the first one is lost. The next
      master on DIR takes it, one of a cluster when it leads.
  list
      Shows all keys, without their secrets.
  rotate --id=ID [--grace_seconds=N]
      Prints a new key like an old one, which goes on for an hour, or N seconds.
  revoke --id=ID
      Ends a key at once.

The calls carry the key in SNOWSKIN_ADMIN_KEY. A master with --require_auth prints its first admin
key when it starts for the first time.

Example:
  SNOWSKIN_ADMIN_KEY=mk_... snowskin key create --role=client --tenant=team-a
`;

const VERBS = {
  create: ["role", "tenant", "user", "label", "expires_in_seconds", "data_dir"],
  list: [],
  rotate: ["id", "grace_seconds"],
  revoke: ["id"],
} as const;

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCli("key", HELP, args, async () => {
    const { verb, options } = parseVerb(args, VERBS);
    const { url } = options;
    switch (verb) {
      case "create":
        return console.log(await create(options));
      case "list": {
        const keys = await callAdmin(url, "GET", "/api/v1/keys") as Record<string, unknown>[];
        for (const key of keys) console.log(JSON.stringify(key));
        return;
      }
      case "rotate": {
        const query = new URLSearchParams({ id: required(options, "id") });
        if (options.grace_seconds !== undefined) query.set("grace_seconds", options.grace_seconds);
        const made = await callAdmin(url, "POST", `/api/v1/keys/rotate?${query}`);
        return console.log((made as { key: string }).key);
      }
      default: {
        const query = new URLSearchParams({ id: required(options, "id") });
        await callAdmin(url, "DELETE", `/api/v1/keys?${query}`);
      }
    }
  });
}

async function create(options: Record<string, string | undefined>): Promise<string> {
  const { url, tenant, user, label, expires_in_seconds: seconds, data_dir: directory } = options;
  const role = required(options, "role");
  if (directory !== undefined) {
    const others = [url, tenant, user, label, seconds].some((value) => value !== undefined);
    if (role === "admin" && !others) return await createOffline(directory);
    throw new CliError("--data_dir goes with --role=admin and nothing else", 2);
  }
  if (seconds !== undefined && !/^\d{1,10}$/.test(seconds)) {
    throw new CliError(`--expires_in_seconds=${seconds}: not a number of seconds`, 2);
  }
  const wish = {
    role,
    ...(tenant !== undefined && { tenant }),
    ...(user !== undefined && { user }),
    ...(label !== undefined && { label }),
    ...(seconds !== undefined && { expires_in_seconds: Number(seconds) }),
  };
  const made = await callAdmin(url, "POST", "/api/v1/keys", JSON.stringify(wish));
  return (made as { key: string }).key;
}

async function createOffline(path: string): Promise<string> {
  try {
    const since = new Date().toISOString();
    using directory = DataDirectory.open(path, { pid: Deno.pid, host: hostname(), since });
    using database = await KeyDatabase.open(directory.tablesPath);
    const wish = { role: "admin", tenant: null, label: "made offline", expiresMs: null } as const;
    const { text, record } = createKey(wish, Date.now());
    await database.addOffline(record);
    return text;
  } catch (error) {
    if (error instanceof DataDirectoryError) throw new CliError(error.message, 1);
    throw error;
  }
}

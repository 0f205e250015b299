/** `snowskin meta`: what transfer engines keep in a metadata server. */
import { systemClock } from "../../client/transfer/clock.ts";
import { errorText } from "../../client/transfer/error_text.ts";
import type { MetadataKv } from "../../client/transfer/kv_metadata.ts";
import { openMetadataKv, parseMetadataServer } from "../../client/transfer/metadata_server.ts";
import { openAccess } from "../../client/transfer/service_access.ts";
import { CommandError, loginOf, readArguments, runCommand } from "./command_line.ts";

const HELP = `Usage: snowskin meta VERB --metadata_server=WHERE

  ls [PREFIX]    lists keys, by default all that begin with mooncake/
  get KEY        prints what is kept under a key
  rm KEY...      removes keys; an engine that lives puts its own back within seconds

WHERE is http://host:port/metadata, etcd://host:port,host:port or redis://host:port/db. Masters of
the reference cannot list keys over HTTP, ours can. SNOWSKIN_METADATA_USER, _PASSWORD, _TLS_CA,
_TLS_CERT and _TLS_KEY, and MC_REDIS_USERNAME, MC_REDIS_PASSWORD and MC_REDIS_DB_INDEX, say how etcd
and Redis are entered.

Example:
  snowskin meta get mooncake/ram/10.0.0.7:12345 --metadata_server=etcd://10.0.0.1:2379
`;

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCommand("meta", HELP, args, async () => {
    const { flags, words } = readArguments(args, ["metadata_server"]);
    const [verb, ...keys] = words;
    const kv = openService(flags.metadata_server);
    try {
      await run(kv, verb, keys);
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(errorText(error), 1);
    } finally {
      await kv.close();
    }
  });
}

function openService(server: string | undefined): MetadataKv {
  if (server === undefined) throw new CommandError("--metadata_server is missing", 2);
  try {
    const service = parseMetadataServer("--metadata_server", server);
    if (service.kind !== "p2p") {
      const login = loginOf((name) => Deno.env.get(name), server);
      return openMetadataKv(service, { ...openAccess, ...login }, systemClock);
    }
  } catch (error) {
    if (error instanceof RangeError) throw new CommandError(error.message, 2);
    throw error;
  }
  throw new CommandError("--metadata_server=P2PHANDSHAKE: no server keeps anything then", 2);
}

async function run(kv: MetadataKv, verb: string | undefined, keys: string[]): Promise<void> {
  const count = `${verb} ${keys.length}`;
  if (verb === "ls" && keys.length <= 1) {
    for (const key of await kv.list(keys[0] ?? "mooncake/")) console.log(key);
  } else if (count === "get 1") {
    const text = await kv.get(keys[0]);
    if (text === null) throw new CommandError(`There is no key ${JSON.stringify(keys[0])}`, 1);
    console.log(text);
  } else if (verb === "rm" && keys.length > 0) {
    for (const key of keys) {
      if (await kv.get(key) === null) {
        throw new CommandError(`There is no key ${JSON.stringify(key)}`, 1);
      }
      await kv.delete(key);
    }
  } else {
    const given = [verb ?? "nothing", ...keys].join(" ");
    throw new CommandError(`${given} is refused; allowed: ls [PREFIX], get KEY, rm KEY...`, 2);
  }
}

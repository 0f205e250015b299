/** `deno run -A master/main.ts`: runs a master until SIGTERM or SIGINT. */
import { readFileSync } from "node:fs";
import { FlagError } from "./flag_layers.ts";
import { parseMasterFlags } from "./flag_parser.ts";
import { withBoundAddresses } from "./bind_address.ts";
import { type MasterConfig, resolveRpcHost } from "./config.ts";
import { defaultDataDirectory } from "./journal/data_directory.ts";
import { Logger } from "./logger.ts";
import { StartError } from "./kept.ts";
import { Master } from "./master.ts";

/** Before a master of a cluster begins anew. */
const AGAIN_MS = 300;

/** Exit codes: 0 stopped by a signal, 2 bad flags, 3 a port or the data directory is taken. */
export async function main(args: string[]): Promise<number> {
  const parsed = await parseMasterFlags(
    args,
    Deno.env.toObject(),
    (path) => readFileSync(path, "utf8"),
  );
  if ("help" in parsed || "version" in parsed) {
    await write(Deno.stdout, "help" in parsed ? parsed.help : parsed.version);
    return 0;
  }
  if ("error" in parsed) return fail(parsed.error, parsed.exitCode);
  try {
    while (await serve(parsed.config)) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    return 0;
  } catch (error) {
    if (error instanceof FlagError) return fail(error.message, 2);
    if (error instanceof StartError) return fail(error.message, 3);
    throw error;
  }
}

/** Runs one master; whether another should follow it in this process. */
async function serve(given: MasterConfig): Promise<boolean> {
  const { format, minLevel, prefix } = given.log;
  const logger = new Logger({
    ...{ source: "master", json: format === "json", minLevel, prefix, pid: Deno.pid },
    now: () => performance.timeOrigin + performance.now(),
    write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
  });
  const interfaces = given.rpc.interface === "" ? [] : Deno.networkInterfaces();
  const dataPath = dataPathOf(given);
  const config = await withBoundAddresses(given, resolveRpcHost(given, interfaces));
  const master = await Master.start(config, config.rpc.host, dataPath, logger);
  for (const note of config.notes) logger.info(note);
  if (master.withoutShim !== null) {
    logger.info(`RPC is served on Deno's sockets, without the C shim: ${master.withoutShim}`);
  }
  const { rpc, admin, metadata } = master.addresses;
  const parts = [
    `${config.ha === null ? "RPC" : `standby of cluster ${config.clusterId}, to be reached at`} ` +
    join(config.rpc.advertise || rpc.host, rpc.port),
    `admin and metrics http://${join(admin.host, admin.port)}`,
    metadata
      ? `metadata http://${join(metadata.host, metadata.port)}/metadata`
      : "no metadata server",
    dataPath === null ? "nothing outlives the process" : `data in ${dataPath}`,
  ];
  logger.info(`snowskin master ready: ${parts.join(", ")}`);
  return await master.run();
}

/** Where metadata is kept, `null` = nowhere. */
function dataPathOf({ durability }: MasterConfig): string | null {
  if (durability === null) return null;
  const path = durability.directory || defaultDataDirectory(Deno.env.toObject());
  if (path !== null) return path;
  throw new FlagError(
    "--data_dir=: there is no home directory to keep metadata in; " +
      "allowed: a directory, or --durability=none",
  );
}

function join(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function fail(line: string, code: number): number {
  console.error(`snowskin master: ${line}`);
  return code;
}

async function write(stream: { write(bytes: Uint8Array): Promise<number> }, text: string) {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await stream.write(bytes.subarray(at));
}

if (import.meta.main) Deno.exit(await main(Deno.args));

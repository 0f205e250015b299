/** `deno run -A client/node/main.ts`: runs a store node until SIGTERM or SIGINT. */
import { readFileSync } from "node:fs";
import { StoreError } from "../../proto/error.ts";
import { type StoreSettings } from "../settings.ts";
import { parseHostPort } from "../transfer/address.ts";
import { errorText } from "../transfer/error_text.ts";
import { addressesToBind, PortTakenError } from "../transfer/port_choice.ts";
import { hostNote, type NodeOptions, parseNodeFlags } from "./flags.ts";
import { HealthServer } from "./health_server.ts";
import { planMemory } from "./memory.ts";
import { StoreNode } from "./node.ts";

/**
 * Exit codes: 0 stopped by a signal, 1 cannot join the pool, 2 bad flags, or too little memory for them
 * with `--strict_memory`, 3 a port is taken.
 */
export async function main(
  args: string[],
  readFile = (path: string) => readFileSync(path, "utf8"),
): Promise<number> {
  let options: NodeOptions | { help: string };
  try {
    options = parseNodeFlags(args, { env: Deno.env.toObject(), readFile });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail(error, 2);
  }
  if ("help" in options) {
    console.log(options.help);
    return 0;
  }
  const { available } = Deno.systemMemoryInfo();
  const { size, note, tight } = planMemory(options, available, readFile);
  if (tight !== null && options.strictMemory) {
    return fail(new Error(`--strict_memory: ${tight}`), 2);
  }
  for (const line of [tight ?? note, hostNote(options)]) if (line !== null) console.log(line);
  return await run({ ...options.settings, globalSegmentSize: size }, options);
}

async function run(settings: StoreSettings, options: NodeOptions): Promise<number> {
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  const signals = ["SIGTERM", "SIGINT"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  let node: StoreNode | null = null;
  let health: HealthServer | null = null;
  try {
    if (options.httpPort !== null) {
      health = HealthServer.start(httpAddresses(settings), options.httpPort, () => node);
    }
    node = await StoreNode.start({
      ...settings,
      maxWaitMs: options.maxWaitMs,
      log: (line) => console.log(line),
      signal: stopping.signal,
    });
    if (!stopping.signal.aborted) {
      console.log(`store node ready: ${node.describe()}`);
      node.describeMemory().then((place) => {
        if (place !== null && !stopping.signal.aborted) console.log(`store node memory: ${place}`);
      });
      await new Promise((resolve) => stopping.signal.addEventListener("abort", resolve));
    }
    return 0;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    if (error instanceof Deno.errors.AddrInUse) {
      return fail(new Error(`--http_port=${options.httpPort} is in use; allowed: a free port`), 3);
    }
    const taken = error instanceof StoreError ? error.cause : undefined;
    if (taken instanceof PortTakenError) {
      return fail(new Error(`--data_port: ${taken.message}`), 3);
    }
    if (error instanceof StoreError || error instanceof RangeError) return fail(error, 1);
    throw error;
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
    await node?.close();
    await health?.[Symbol.asyncDispose]();
  }
}

function httpAddresses({ bindAddress, localHostname }: StoreSettings): string[] {
  return addressesToBind(bindAddress, parseHostPort(localHostname)?.host ?? "");
}

function fail(error: Error, code: number): number {
  console.error(`snowskin store: ${errorText(error)}`);
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));

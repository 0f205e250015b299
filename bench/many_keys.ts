/**
 * `deno run -A bench/many_keys.ts [--keys=N] [--rounds=N]`: what the core's calls cost with 50 thousand
 * and with many keys, 5 million unless told otherwise, and the ratio of the two.
 *
 * Keys of 62 bytes, drawn at random, one replica of 64 KiB. Each count of keys has a process of its
 * own, and they are measured in turn. A figure is the median over batches of 128 keys, in nanoseconds
 * a key, of the round that was disturbed least. Sockets and frames are left out: `deno task bench:master --keys=N`
 * measures what a client pays.
 */
import { parseArgs } from "node:util";
import { JsonPeer } from "./json_peer.ts";
import { KINDS, serveOrders } from "./many_keys_core.ts";
import { machineLine } from "./process_stat.ts";
import { printTable, short } from "./table.ts";

const FEW_KEYS = 50_000;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    keys: { type: "string", default: "5000000" },
    rounds: { type: "string", default: "5" },
    serve: { type: "boolean", default: false },
  },
});
const keys = integer("keys", values.keys, FEW_KEYS);
if (values.serve) serveOrders(keys);
else await compare(keys, integer("rounds", values.rounds, 1));

function integer(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  console.error(`--${name}=${text}: allowed are integers from ${least}`);
  Deno.exit(2);
}

interface Filled {
  bytesPerKey: number;
  hugeMiB: number;
}

async function compare(many: number, rounds: number): Promise<void> {
  console.log(`Machine: ${machineLine()}`);
  const start = (count: number) =>
    JsonPeer.start<Filled>(Deno.execPath(), [
      ...["run", "-A", "--no-check", new URL(import.meta.url).pathname],
      ...["--serve", `--keys=${count}`],
    ]);
  const small = await start(FEW_KEYS);
  await using few = small.peer;
  const large = await start(many);
  await using lot = large.peer;
  const { bytesPerKey, hugeMiB } = large.hello;
  console.log(
    `${short(many)} keys: ${bytesPerKey.toFixed(0)} bytes of RSS each, ` +
      `${short(hugeMiB)} MiB in huge pages`,
  );
  const rows: string[][] = [];
  for (const kind of KINDS) {
    const costs = new Map<JsonPeer, number[]>([[few, []], [lot, []]]);
    for (let round = 0; round < rounds; round++) {
      for (const [peer, seen] of costs) seen.push((await peer.ask<{ ns: number }>({ kind })).ns);
    }
    const [fewNs, manyNs] = Array.from(costs.values(), (seen) => Math.min(...seen));
    rows.push([kind, short(fewNs), short(manyNs), (manyNs / fewNs).toFixed(2)]);
  }
  printTable(["ns a key", `${short(FEW_KEYS)} keys`, `${short(many)} keys`, "ratio"], rows);
}

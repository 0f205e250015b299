/** `snowskin p2p`: files that spread from one process to many. */
import type { P2pProgress } from "../p2p/download.ts";
import { P2pStore } from "../p2p/p2p_store.ts";
import type { Replica } from "../p2p/replica.ts";
import { CommandError, runCommand } from "./command_line.ts";
import { P2P_HELP, type P2pCommand, parseP2pFlags } from "./p2p_flags.ts";
import { stopSignal } from "./stop_signal.ts";

const PROGRESS_MS = 2000;
const MIB = 2 ** 20;

/** Runs the command; resolves with the exit code. */
export function main(args: string[]): Promise<number> {
  return runCommand("p2p", P2P_HELP, args, async () => {
    const command = parseP2pFlags(args, (name) => Deno.env.get(name));
    const log = (line: string) => console.error(line);
    await using store = await P2pStore.open({ ...command.store, log });
    await verbs[command.verb](store, command);
  });
}

const verbs: Record<P2pCommand["verb"], (store: P2pStore, command: P2pCommand) => Promise<void>> = {
  seed,
  get,
  list,
  unseed,
};

async function seed(store: P2pStore, { name, paths, seed }: P2pCommand): Promise<void> {
  const { stopped, signal } = stopping();
  const replica = await store.seed(name, paths.map((path) => ({ path })), {
    ...{ ...seed, signal },
    onProgress: progressLines("checksums of", name),
  });
  console.log(
    `seeding ${name} as ${store.engine.localName}: ${sizeOf(replica)}, pieces of ` +
      `${replica.pieceLength} bytes`,
  );
  await serve(store, replica, stopped);
}

async function get(store: P2pStore, { name, get }: P2pCommand): Promise<void> {
  const { directory, stay, ...options } = get;
  const { stopped, signal } = stopping();
  const startedAt = performance.now();
  const replica = await store.get(name, { directory }, {
    ...{ ...options, signal },
    onProgress: progressLines("got", name),
  });
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`got ${name} whole: ${sizeOf(replica)} in ${seconds.toFixed(2)} s; ${from(replica)}`);
  if (!stay) return;
  console.log(`serving ${name} as ${store.engine.localName} until it is stopped`);
  await serve(store, replica, stopped);
}

async function list(store: P2pStore, { name }: P2pCommand): Promise<void> {
  for (const content of await store.list(name)) {
    const holders = content.holders.map(({ segment, answers }) =>
      answers ? segment : `${segment} (no answer)`
    );
    console.log(`${content.name}  ${sizeOf(content)}  held by ${holders.join(", ") || "nobody"}`);
  }
}

async function unseed(store: P2pStore, { name }: P2pCommand): Promise<void> {
  const count = await store.unseed(name);
  console.log(`took ${name} back from ${count} holder${count === 1 ? "" : "s"}`);
}

/** Serves a replica until it ends by itself, which is an error, or a signal comes. */
async function serve(store: P2pStore, replica: Replica, stopped: Promise<void>): Promise<void> {
  const why = await Promise.race([replica.ended, stopped.then(() => null)]);
  await replica.withdraw();
  console.log(`served ${store.engine.stats().servedReadBytes} bytes of ${replica.name}`);
  if (why !== null) throw new CommandError(`${replica.name} is served no more: ${why}`, 1);
}

function stopping(): { stopped: Promise<void>; signal: AbortSignal } {
  const stop = new AbortController();
  const stopped = stopSignal().then(() => stop.abort());
  return { stopped, signal: stop.signal };
}

function sizeOf({ files, length }: Pick<Replica, "files" | "length">): string {
  return `${files.length} file${files.length === 1 ? "" : "s"}, ${mib(length)}`;
}

/** Where the bytes of a replica came from. */
function from({ sources, length }: Replica): string {
  const { receivedBytes, foundBytes, wrongPieces } = sources;
  const parts = [...receivedBytes].sort(([, a], [, b]) => b - a)
    .map(([segment, bytes]) => `${segment} ${(bytes / length * 100).toFixed(1)} %`);
  if (foundBytes > 0) parts.push(`${mib(foundBytes)} were there`);
  if (wrongPieces > 0) parts.push(`${wrongPieces} pieces came wrong and were fetched elsewhere`);
  return parts.join(", ") || "nothing had to be moved";
}

function progressLines(what: string, name: string): (progress: P2pProgress) => void {
  let [shownAt, shownBytes] = [performance.now(), -1];
  return ({ doneBytes, totalBytes, holders }) => {
    const now = performance.now();
    if (now - shownAt < PROGRESS_MS) return;
    const rate = shownBytes < 0
      ? ""
      : `, ${mib((doneBytes - shownBytes) / (now - shownAt) * 1000)}/s`;
    const percent = Math.floor(doneBytes / Math.max(1, totalBytes) * 100);
    const who = holders > 0 ? `, ${holders} holder${holders === 1 ? "" : "s"}` : "";
    console.log(
      `${what} ${name}: ${mib(doneBytes)} of ${mib(totalBytes)}, ${percent} %${rate}${who}`,
    );
    [shownAt, shownBytes] = [now, doneBytes];
  };
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(2)} MiB`;
}

/** The TCP ports at which a process listens, as the kernel knows them. */
import { parseListeners } from "../../doctor/listeners.ts";

/** A listening socket. */
export interface Listener {
  family: "IPv4" | "IPv6";
  /** Whether it takes connections at every address of this machine. */
  everywhere: boolean;
  port: number;
}

/** Every listener of a process of this machine, in the order of their ports. */
export function listenersOf(pid: number): Listener[] {
  const own = new Set<string>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      own.add(Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const found: Listener[] = [];
  for (const [file, family] of [["tcp", "IPv4"], ["tcp6", "IPv6"]] as const) {
    const table = Deno.readTextFileSync(`/proc/${pid}/net/${file}`);
    for (const { port, everywhere, inode } of parseListeners(table)) {
      if (own.has(`socket:[${inode}]`)) found.push({ family, everywhere, port });
    }
  }
  return found.sort((a, b) => a.port - b.port);
}

/** TCP ports that are listened at, as the kernel shows them in `/proc/net/tcp` and `tcp6`. */

/** A listening socket. */
export interface Listener {
  readonly port: number;
  /** Whether it takes connections at every address of this machine. */
  readonly everywhere: boolean;
  /** Of the socket, as the links in `/proc/PID/fd` name it. */
  readonly inode: string;
}

/** A process, as far as it can be told. */
export interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** The listening sockets of a table of the kernel. */
export function parseListeners(table: string): Listener[] {
  return table.trim().split("\n").slice(1).flatMap((line) => {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state !== "0A") return [];
    const [address, port] = local.split(":");
    return [{ port: parseInt(port, 16), everywhere: /^0+$/.test(address), inode }];
  });
}

/** Which of the sockets of a machine belong to which process; those of other users cannot be seen. */
export function holderOf(
  inodes: readonly string[],
  files: {
    list(path: string): string[];
    link(path: string): string;
    readFile(path: string): string;
  },
): Holder | null {
  const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`));
  for (const pid of files.list("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of files.list(`/proc/${pid}/fd`)) {
      if (!wanted.has(files.link(`/proc/${pid}/fd/${fd}`))) continue;
      return { pid: Number(pid), command: commandOf(pid, files.readFile) };
    }
  }
  return null;
}

function commandOf(pid: string, readFile: (path: string) => string): string {
  try {
    return readFile(`/proc/${pid}/cmdline`).split("\0").filter(Boolean).slice(0, 4).join(" ");
  } catch {
    return "";
  }
}

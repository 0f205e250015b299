/** Memory: how much, in which pages, and whether it may be pinned. */
import { planMemory } from "../client/node/memory.ts";
import { formatSize } from "../client/size.ts";
import { foreseenNotes } from "../client/transfer/host_memory.ts";
import { chosenWord, lockLimit, MORE_LOCKED } from "../client/transfer/numa_nodes.ts";
import { lowestLimit } from "../client/node/control_group.ts";
import { type Check, note, ok, problem } from "./finding.ts";
import type { Machine } from "./machine.ts";

/** The bit of the right to lock memory beyond the limit, among a process's rights. */
const CAP_IPC_LOCK = 1n << 14n;
/** What a master with some millions of keys takes. */
const MASTER_BYTES = 1024 ** 3;

const amount: Check = {
  name: "memory",
  roles: ["store"],
  run(machine, { node }) {
    const { size, note: text } = planMemory(node, machine.freeMemory(), machine.readFile);
    if (text === null) return ok(`${formatSize(size)} to lend are there`);
    return node.given.has("globalSegmentSize")
      ? problem(text, "lend less with --segment_size, or give the machine more memory")
      : note(text, "--segment_size=SIZE");
  },
};

const group: Check = {
  name: "memory limit",
  roles: ["master", "store"],
  run(machine, { node, roles }) {
    const lowest = lowestLimit(machine.readFile);
    if (lowest === null) return ok("no control group limits the memory");
    if (roles.includes("store")) {
      const { tight } = planMemory(node, machine.freeMemory(), machine.readFile);
      if (tight !== null) {
        return problem(tight, "raise limits.memory of the pod, --memory, MemoryMax=");
      }
    }
    const text = `the control group allows ${formatSize(lowest.limit)} (${lowest.path})`;
    return roles.includes("master") && lowest.limit < MASTER_BYTES
      ? note(`${text}; a master takes about 240 MB for a million keys, twice that at a checkpoint`)
      : ok(text);
  },
};

const locked: Check = {
  name: "locked memory",
  roles: ["store", "client"],
  run(machine, { node, roles }) {
    const { protocol, lockMemory, localBufferSize } = node.settings;
    const why = protocol === "rdma" ? "--protocol=rdma" : lockMemory ? "--lock_memory" : null;
    if (why === null) return ok("not needed with this protocol and without --lock_memory");
    const limit = lockLimit(machine.readFile);
    if (limit === null || mayLock(machine)) return ok("memory may be locked without a limit");
    const plan = planMemory(node, machine.freeMemory(), machine.readFile);
    const wanted = (roles.includes("store") ? plan.need.segment : 0) + localBufferSize;
    const text = `RLIMIT_MEMLOCK allows ${formatSize(limit)}`;
    if (limit >= wanted) return ok(`${text}, and ${formatSize(wanted)} are wanted`);
    return problem(`${text}, and ${why} has to lock ${formatSize(wanted)}`, MORE_LOCKED);
  },
};

const pages: Check = {
  name: "pages",
  roles: ["store"],
  run(machine, { node }) {
    const { hugepages, deviceMemory, memoryFile } = node.settings;
    if (deviceMemory + memoryFile !== "") return ok("those of the device or the file");
    const { size } = planMemory(node, machine.freeMemory(), machine.readFile);
    const notes = foreseenNotes(hugepages, size, machine.readFile);
    if (notes.length === 0) return ok(`--hugepages=${hugepages} can be had`);
    return notes.flatMap((line) => {
      const [, text, fix] = /^(.*) \((as root: .*)\)$/.exec(line) ?? [, line];
      return note(text!, fix);
    });
  },
};

const tables: Check = {
  name: "pages of tables",
  roles: ["master"],
  run(machine) {
    const path = "/sys/kernel/mm/transparent_hugepage/enabled";
    const word = chosenWord(path, machine.readFile);
    if (word !== "never") return ok("the tables of a master can lie in huge pages");
    return note(
      `${path} is never: with many millions of keys lookups take longer`,
      `as root: echo madvise > ${path}`,
    );
  },
};

function mayLock(machine: Machine): boolean {
  try {
    const status = machine.readFile("/proc/self/status");
    const rights = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
    return (BigInt(`0x${rights}`) & CAP_IPC_LOCK) !== 0n;
  } catch {
    return false;
  }
}

export const memoryChecks: readonly Check[] = [amount, group, locked, pages, tables];

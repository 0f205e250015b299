/** The C shim, open files, the clock and ports. */
import type { DoctorOptions } from "./flags.ts";
import { type Check, type Finding, note, ok, problem } from "./finding.ts";
import { holderOf, parseListeners } from "./listeners.ts";
import type { Machine } from "./machine.ts";

/** Connections that a node takes at once, and some files. */
const FEW_FILES = 20_000;
const TOO_FEW_FILES = 1024;
/** Readings of the clocks. */
const READINGS = 1000;
const START_OF_2024_MS = 1_704_067_200_000;
/** Sources of time whose readings are calls into a device. */
const SLOW_SOURCES = ["hpet", "acpi_pm", "jiffies"];

/** Whether what was asked for has no form without the C shim. */
function needsShim({ node: { settings } }: DoctorOptions): string | null {
  const { protocol, tlsCertFile, deviceMemory, memoryFile, lockMemory } = settings;
  if (!["tcp", "rpc_only"].includes(protocol)) return `--protocol=${protocol}`;
  if (tlsCertFile !== "") return "TLS";
  if (deviceMemory + memoryFile !== "") return `memory of ${deviceMemory || memoryFile}`;
  return lockMemory ? "--lock_memory" : null;
}

const shim: Check = {
  name: "engine",
  roles: ["master", "store", "client"],
  run(machine, options) {
    const { built, fault, noCompiler, off } = machine.shim();
    if (off === null && built !== null && fault === null) {
      return ok(`the C shim is ready: ${built}`);
    }
    if (off === null && built === null && noCompiler === null) {
      return ok("the C shim is built when it is first needed: a C compiler is there");
    }
    const needed = needsShim(options);
    const what = off ?? fault ?? `it is not built, and there is ${noCompiler}`;
    const fix = off !== null
      ? "unset SNOWSKIN_NATIVE"
      : fault !== null
      ? "deno task build"
      : "apt-get install gcc libc6-dev, or copy native/build from a machine that has a compiler";
    if (needed !== null) return problem(`${needed} needs the C shim: ${what}`, fix);
    return note(`everything runs on Deno's sockets, which are slower: no C shim (${what})`, fix);
  },
};

const openFiles: Check = {
  name: "open files",
  roles: ["master", "store", "client"],
  run(machine) {
    const limits = textOf(machine, "/proc/self/limits");
    const found = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
    if (found === undefined) return note("the limit of open files cannot be told");
    const limit = found === "unlimited" ? Infinity : Number(found);
    const fix =
      "ulimit -n 65536, LimitNOFILE=65536 of systemd, --ulimit nofile=65536 of a container";
    const text = `${found} files may be open, and each connection is one`;
    if (limit < TOO_FEW_FILES) return problem(text, fix);
    return limit < FEW_FILES ? note(`${text}; a node takes up to 16384`, fix) : ok(text);
  },
};

const clock: Check = {
  name: "clock",
  roles: ["master", "store", "client"],
  run(machine) {
    let last = -Infinity;
    for (let i = 0; i < READINGS; i++) {
      const now = machine.monotonic();
      if (now < last) {
        return problem(
          `the clock that must only go forward went back by ${
            (last - now).toFixed(3)
          } ms: leases ` +
            "and time-outs cannot be trusted",
          "change the clock source of the machine or of its hypervisor",
        );
      }
      last = now;
    }
    if (machine.wall() < START_OF_2024_MS) {
      const now = new Date(machine.wall()).toISOString();
      return problem(`the time is ${now}: certificates and logs need the right one`, "start NTP");
    }
    const path = "devices/system/clocksource/clocksource0/current_clocksource";
    const source = machine.sysfs.text(path);
    if (SLOW_SOURCES.includes(source)) {
      return note(
        `the clock source is ${source}: each reading takes a microsecond or more`,
        `as root: echo tsc > /sys/${path}`,
      );
    }
    return ok(`the clock goes forward${source === "" ? "" : `, from ${source}`}`);
  },
};

interface WantedPort {
  readonly flag: string;
  readonly port: number;
  readonly role: "master" | "store";
}

function wantedPorts({ rpcPort, metricsPort, metadataPort, node }: DoctorOptions): WantedPort[] {
  const { settings, httpPort } = node;
  const ports: WantedPort[] = [
    { flag: "rpc_port", port: rpcPort, role: "master" },
    { flag: "metrics_port", port: metricsPort, role: "master" },
    { flag: "data_port", port: settings.dataPort, role: "store" },
  ];
  if (metadataPort !== null) {
    ports.push({ flag: "http_metadata_server_port", port: metadataPort, role: "master" });
  }
  if (httpPort !== null) ports.push({ flag: "http_port", port: httpPort, role: "store" });
  return ports.filter(({ port }) => port !== 0);
}

const ports: Check = {
  name: "ports",
  roles: ["master", "store"],
  run(machine, options) {
    const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => textOf(machine, path));
    if (tables.every((table) => table === "")) {
      return note("it cannot be told which ports are taken");
    }
    const listeners = tables.flatMap(parseListeners);
    const wanted = wantedPorts(options).filter(({ role }) => options.roles.includes(role));
    const findings: Finding[] = wanted.flatMap(({ flag, port, role }) => {
      const taken = listeners.filter((listener) => listener.port === port);
      if (taken.length === 0) return [];
      const holder = holderOf(taken.map(({ inode }) => inode), machine);
      const who = holder === null ? "a process of another user" : `process ${holder.pid}` +
        (holder.command === "" ? "" : ` (${holder.command})`);
      return problem(
        `port ${port} (--${flag}) of a ${role} is taken by ${who}`,
        `end it if it is not the ${role} that you mean, or give another --${flag}`,
      );
    });
    const free = wanted.map(({ port }) => port).join(", ");
    return findings.length > 0 ? findings : ok(`free: ${free || "none is wanted"}`);
  },
};

function textOf(machine: Machine, path: string): string {
  try {
    return machine.readFile(path);
  } catch {
    return "";
  }
}

export const systemChecks: readonly Check[] = [shim, openFiles, clock, ports];

/**
 * The command line: `snowskin master`, `snowskin store` and others, each with the flags of its own `--help`.
 */
import project from "./deno.json" with { type: "json" };

interface Command {
  summary: string;
  load: () => Promise<{ main: (args: string[]) => Promise<number> }>;
}

const commands: Record<string, Command> = {
  master: {
    summary: "run the master: metadata, allocation, leases, eviction",
    load: () => import("./master/main.ts"),
  },
  store: {
    summary: "run a store node: lend this machine's memory to a pool",
    load: () => import("./client/node/main.ts"),
  },
  te: {
    summary: "the transfer engine on its own: te bench",
    load: () => import("./te/cli/main.ts"),
  },
  p2p: {
    summary: "spread files from one process to many: seed, get, list, unseed",
    load: () => import("./te/cli/p2p.ts"),
  },
  meta: {
    summary: "look at and remove what engines keep in a metadata server",
    load: () => import("./te/cli/meta.ts"),
  },
  topology: {
    summary: "show which RDMA devices lie close to which memory",
    load: () => import("./client/node/topology.ts"),
  },
  doctor: {
    summary: "look at this machine for a master, a store node or a client",
    load: () => import("./doctor/main.ts"),
  },
  why: {
    summary: "ask a master what became of a key, or why lookups miss",
    load: () => import("./master/why.ts"),
  },
  log: {
    summary: "print what masters keep, or audit it: log inspect, log audit",
    load: () => import("./master/log/main.ts"),
  },
  backup: {
    summary: "copy the index of a running master to a directory or to S3",
    load: () => import("./master/backup/backup_main.ts"),
  },
  restore: {
    summary: "put such a copy, or a snapshot, into an empty data directory",
    load: () => import("./master/backup/restore_main.ts"),
  },
  tenant: {
    summary: "register tenants, change their quotas and limits",
    load: () => import("./master/cli/tenant.ts"),
  },
  key: {
    summary: "make, show, rotate and take back API keys",
    load: () => import("./master/cli/key.ts"),
  },
  user: {
    summary: "show, disable and enable the users of API keys",
    load: () => import("./master/cli/user.ts"),
  },
};

function usage(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) =>
    `  ${name.padEnd(8)} ${summary}`
  );
  return `snowskin ${project.version}: a distributed KV-cache store for LLM inference

Usage: snowskin COMMAND [FLAGS]

Commands:
${lines.join("\n")}

Each command explains its flags: snowskin master --help

Example:
  snowskin master --rpc_port=50051 &
  snowskin store --master=127.0.0.1:50051 --segment_size=4gb
`;
}

/** Runs one command; resolves with the exit code. */
export async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--version" || name === "version") {
    console.log(`snowskin ${project.version}`);
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    console.log(usage());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const allowed = Object.keys(commands).join(", ");
    console.error(`snowskin: unknown command "${name}"; allowed: ${allowed}. See snowskin --help`);
    return 2;
  }
  return await (await command.load()).main(rest);
}

if (import.meta.main) Deno.exit(await main(Deno.args));

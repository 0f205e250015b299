/**
 * `deno task test:rdma`: runs the tests of `machine.ts` in a virtual machine with two Soft-RoCE
 * devices; see `docs/transports.md`. `measure` runs `measure.ts` instead, `rounds` the rounds of
 * `deno task faults` over RDMA, `numa` runs `numa_test.ts` in a machine with two NUMA nodes, `dax` runs
 * `dax_test.ts` in one with persistent memory (emulated), `nvmeof` runs `nvmeof_test.ts`; other
 * arguments are handed to `deno test`.
 */
import { buildLibrary } from "../../ffi/build.ts";
import { buildGuestStandIns } from "./stand_ins.ts";

const KERNEL = "linux-image-6.12-amd64";
const folder = new URL("./", import.meta.url).pathname;
/** Of everything; each test has a limit of its own. */
const LIMIT_SECONDS = "1800";
const runner = `${folder}vm/run`;

/** They load what a master and a node load, so that its compiled code is kept. */
const WARM = ["snowskin.ts master", "master/main.ts", "client/node/main.ts"].map((line) => {
  const [script, ...args] = line.split(" ");
  return ["run", "-A", "--no-check", `${folder}../../${script}`, ...args, "--help"];
});

/** Why the machine cannot be started here, or `null`. */
function missing(): string | null {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return `the machine is for Linux on x86-64, not ${Deno.build.target}`;
  }
  const has = (program: string) =>
    new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" })
      .outputSync().success;
  if (has("qemu-system-x86_64")) return null;
  if (!has("apt-get")) return "there is no qemu-system-x86_64, and no apt-get to install it with";
  if (Deno.uid() !== 0 && !has("sudo")) {
    return "there is no qemu-system-x86_64, and only root could install it";
  }
  return null;
}

/** Compiles outside of the machine, where that takes seconds, what would take it minutes. */
function compileAll(): void {
  const built = buildLibrary();
  if ("reason" in built) throw new Error(`The C shim cannot be built: ${built.reason}`);
  const modules = [
    ...["mod.ts", "te.ts", "snowskin.ts", "master/main.ts", "client/node/main.ts"],
    ...["tests/faults/main.ts", "tests/faults/stopped_client.ts"],
  ].map((name) => `${folder}../../${name}`);
  const tests = Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => name.endsWith(".ts")).map((name) => `${folder}${name}`);
  for (const args of [["cache", "--no-check", ...modules, ...tests], ...WARM]) {
    const { success, stderr } = new Deno.Command(Deno.execPath(), { args }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }
}

async function run(args: string[]): Promise<number> {
  return (await new Deno.Command(runner, { args, stdin: "null" }).spawn().status).code;
}

/** Exit status of `work`, a command line, in the machine. */
async function runInMachine(work: string[]): Promise<number> {
  compileAll();
  using standIns = buildGuestStandIns();
  const begun = performance.now();
  const code = await run([
    ...["--kernel", KERNEL, ...hardware, "--timeout", LIMIT_SECONDS],
    ...["--", "env", "SNOWSKIN_RDMA_GUEST=1", ...standIns.variables],
    ...work,
  ]);
  console.log(`test:rdma took ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  return code;
}

const reason = missing();
if (reason !== null) {
  console.log(`test:rdma is skipped: ${reason}`);
  Deno.exit(0);
}
const [what, ...rest] = Deno.args;
/** Machines of their own, those with hardware have to boot from scratch, and their tests. */
const machines: Record<string, { hardware: string[]; tests: string }> = {
  numa: {
    hardware: [
      "--no-snapshot",
      "--qemu",
      [0, 1].flatMap((n) => [
        `-object memory-backend-ram,id=node${n},size=2G`,
        `-numa node,cpus=${n},memdev=node${n}`,
      ]).join(" "),
    ],
    tests: `${folder}numa_test.ts`,
  },
  dax: {
    // Two pieces of the 2 GiB that lie above the first 4 GiB of addresses.
    hardware: ["--append", "memmap=512M!4608M memmap=512M!5120M"],
    tests: `${folder}dax_test.ts`,
  },
  nvmeof: { hardware: [], tests: `${folder}nvmeof_test.ts` },
};
const own = Object.hasOwn(machines, what ?? "") ? machines[what] : null;
const hardware = own?.hardware ?? [];
const prepared = await run(["--kernel", KERNEL, ...hardware, "--prepare"]);
if (prepared !== 0) {
  console.log(`test:rdma is skipped: the machine could not be prepared (${prepared})`);
  Deno.exit(0);
}
const test = ["deno", "test", "--no-check", "-A"];
const program = ["deno", "run", "--no-check", "-A"];
const work = what === "measure"
  ? [...program, `${folder}measure.ts`, ...rest]
  : what === "rounds"
  ? [...program, `${folder}../faults/main.ts`, "--only=rounds-rdma", ...rest]
  : own !== null
  ? [...test, ...rest, own.tests]
  : [...test, ...Deno.args, `${folder}machine.ts`];
Deno.exit(await runInMachine(work));

/**
 * What io_uring would change: `deno run -A bench/io_uring.ts [ROUNDS]` compiles
 * `io_uring_probe.c` and compares its two ways into the kernel, on each side, in turns.
 */
import { compile } from "../ffi/build.ts";
import { median, printTable, short } from "./table.ts";

const WAYS = ["epoll", "uring"] as const;
/** Operations of a batch, bytes of each, batches of one run. */
const SHAPES: [count: number, bytes: number, batches: number][] = [
  [128, 4096, 300],
  [1, 1 << 20, 300],
  [1, 4096, 1500],
];

function measure(program: string, args: (string | number)[]): number[] {
  const { code, stdout, stderr } = new Deno.Command(program, {
    ...{ args: args.map(String), stdout: "piped", stderr: "piped" },
  }).outputSync();
  if (code !== 0) {
    throw new Error(`The probe ended with ${code}: ${new TextDecoder().decode(stderr)}`);
  }
  return new TextDecoder().decode(stdout).trim().split(" ").map(Number);
}

function main(rounds: number): void {
  const folder = Deno.makeTempDirSync();
  try {
    const program = `${folder}/probe`;
    const source = new URL("io_uring_probe.c", import.meta.url).pathname;
    const failure = compile([
      "-std=c11",
      "-O2",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-o",
      program,
      source,
    ]);
    if (failure !== null) throw new Error(failure);
    const rows: string[][] = [];
    for (const [count, bytes, batches] of SHAPES) {
      const pairs = WAYS.flatMap((client) => WAYS.map((server) => ({ client, server })));
      const runs = pairs.map((): number[][] => []);
      for (let round = 0; round < rounds; round++) {
        for (const [i, { client, server }] of pairs.entries()) {
          runs[i].push(measure(program, [client, server, count, bytes, batches]));
        }
      }
      for (const [i, { client, server }] of pairs.entries()) {
        const columns = [0, 1, 2].map((at) => short(median(runs[i].map((run) => run[at]))));
        rows.push([`${count} x ${bytes}`, client, server, ...columns]);
      }
    }
    printTable(["batch", "client", "server", "p50, us", "client CPU, us", "server CPU, us"], rows);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

if (import.meta.main) main(Number(Deno.args[0] ?? 7));

/**
 * `deno task test`: prepares what the tests use, runs them all, and ends with one line of counts.
 *
 * Without arguments everything runs, in two processes side by side: most tests wait for the masters
 * and nodes that they start, and leave a core to those that compute. Arguments are passed on to one
 * `deno test` (a file, `--filter`).
 */
import { buildLibrary } from "../ffi/build.ts";
import { findMoto } from "./support/moto.ts";
import { FailureWatch, readSummary } from "./support/test_output.ts";
import { findWheel } from "./support/wheel.ts";

const root = new URL("../", import.meta.url).pathname;

async function prepare(): Promise<void> {
  const library = await buildLibrary();
  console.log("path" in library ? `C shim: ${library.path}` : `C shim: none, ${library.reason}`);
  const wheel = await findWheel({ install: true });
  console.log(
    "python" in wheel
      ? `reference wheel: ${wheel.version}`
      : `reference wheel: none, ${wheel.reason}`,
  );
  const moto = await findMoto({ install: true });
  console.log("python" in moto ? "S3 server: moto" : `S3 server: none, ${moto.reason}`);
}

/** What one `deno test` runs. */
interface Lane {
  readonly name: string;
  /** Files, folders and options for `deno test`. */
  readonly args: readonly string[];
  /** Ports that its tests give to what they start; see `freePort`. */
  readonly ports: string;
}

/** Folders of `tests/` that run in the second lane, so that both lanes take about as long. */
const SECOND = ["tests/ha", "tests/native", "tests/sim", "tests/te"];

/** Entries of a folder whose tests run, with paths from the root. */
async function entries(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(root + folder)) {
    if (isDirectory ? !/^\.|^(node_modules|coverage)$/.test(name) : name.endsWith("_test.ts")) {
      found.push(folder + name);
    }
  }
  return found.sort();
}

/**
 * Two lanes that run side by side. The second one has all that computes: the tests beside the
 * sources, the simulation, the sanitizers. Every folder is in one of them.
 */
async function lanes(): Promise<[first: Lane, second: Lane]> {
  const first = (await entries("tests/")).filter((path) => !SECOND.includes(path));
  const others = (await entries("")).filter((path) => path !== "tests");
  return [
    { name: "first lane", args: first, ports: "20000-25999" },
    { name: "second lane", args: [...others, ...SECOND], ports: "26000-32000" },
  ];
}

/**
 * What the lanes print: the lines of the first as they come, those of the second in one block when it
 * ends, except for its failures, each of which is told at once.
 */
class Report {
  #block = "";
  #atLineStart = true;

  write(chunk: Uint8Array): void {
    Deno.stdout.writeSync(chunk);
    this.#atLineStart = chunk.at(-1) === 10;
    if (this.#atLineStart) this.flush();
  }

  /** Writes a line at once; it cuts one of the first lane in two that is under way. */
  tell(line: string): void {
    console.log(`${this.#atLineStart ? "" : "\n"}${line}`);
  }

  /** Writes a text as soon as no line of the first lane is under way. */
  add(text: string): void {
    this.#block += text;
    if (this.#atLineStart) this.flush();
  }

  flush(): void {
    if (this.#block !== "") console.log(this.#block);
    this.#block = "";
  }
}

/** Runs one lane; resolves with all that it printed and whether it failed. */
async function run(
  { args, ports }: Lane,
  onChunk: (chunk: Uint8Array, text: string) => void,
): Promise<{ output: string; code: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", ...args],
    cwd: root,
    // Of the hundreds of masters that the tests start, few live for as long as a warm-up pays.
    env: { NO_COLOR: "1", FLAGS_warm_up: "false", SNOWSKIN_TEST_PORTS: ports },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of child.stdout) {
    const text = decoder.decode(chunk, { stream: true });
    onChunk(chunk, text);
    output += text;
  }
  const { code } = await child.status;
  return { output, code };
}

async function main(): Promise<never> {
  await prepare();
  const report = new Report();
  const [first, ...rest] = Deno.args.length > 0
    ? [{ name: "tests", args: Deno.args, ports: "20000-32000" }]
    : await lanes();
  const results = await Promise.all([
    run(first, (chunk) => report.write(chunk)),
    ...rest.map(async (lane) => {
      const watch = new FailureWatch();
      const result = await run(lane, (_, text) => {
        for (const failure of watch.see(text)) report.tell(`--- ${lane.name}: ${failure} ---`);
      });
      report.add(`\n--- ${lane.name} ---\n${result.output}`);
      return result;
    }),
  ]);
  report.flush();
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { output, code } of results) {
    const { passed, failed, skipped } = readSummary(output) ?? { passed: 0, failed: 0, skipped: 0 };
    total.passed += passed;
    total.failed += code !== 0 && failed === 0 ? 1 : failed;
    total.skipped += skipped;
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  Deno.exit(total.failed > 0 ? 1 : 0);
}

if (import.meta.main) await main();

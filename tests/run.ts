/**
 * `deno task test`: prepares what the tests use, runs them all, and ends with one line of counts.
 *
 * Arguments are passed on to `deno test` (a file, `--filter`); without any, everything runs.
 */
import { buildLibrary } from "../ffi/build.ts";
import { findMoto } from "./support/moto.ts";
import { findWheel } from "./support/wheel.ts";

const decoder = new TextDecoder();

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

/** Copies a stream to stdout and returns its text. */
async function tee(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    Deno.stdout.writeSync(chunk);
    text += decoder.decode(chunk, { stream: true });
    if (text.length > 1 << 20) text = text.slice(-(1 << 16));
  }
  return text;
}

/** Reads `N passed | N failed | N ignored` out of the summary that `deno test` prints last. */
export function readSummary(
  output: string,
): { passed: number; failed: number; skipped: number } | null {
  const line = output.split("\n").filter((text) => /^(ok|FAILED) \| \d+ passed/.test(text)).pop();
  if (line === undefined) return null;
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

async function main(): Promise<never> {
  await prepare();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", ...Deno.args],
    // Of the hundreds of masters that the tests start, few live for as long as a warm-up pays.
    env: { NO_COLOR: "1", FLAGS_warm_up: "false" },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const summary = readSummary(await tee(child.stdout));
  const { code } = await child.status;
  if (summary === null) {
    console.log("0 passed, 1 failed, 0 skipped");
    Deno.exit(code || 1);
  }
  const failed = code !== 0 && summary.failed === 0 ? 1 : summary.failed;
  console.log(`${summary.passed} passed, ${failed} failed, ${summary.skipped} skipped`);
  Deno.exit(failed > 0 ? 1 : 0);
}

if (import.meta.main) await main();

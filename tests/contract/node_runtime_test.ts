/**
 * The contract suites under Node: `client/` and `proto/` must run there too, on the TypeScript
 * engine. The suites are bundled to one file, as a user of the package would have them.
 */
import assert from "node:assert/strict";
import { LazyMaster, ourMaster } from "../support/masters.ts";

const entry = new URL("node_main.ts", import.meta.url).pathname;
const MIN_NODE = 20;

async function run(command: string, args: string[]): Promise<{ ok: boolean; text: string }> {
  try {
    const options = { args, stdin: "null", stdout: "piped", stderr: "piped" } as const;
    const { success, stdout, stderr } = await new Deno.Command(command, options).output();
    const decoder = new TextDecoder();
    return { ok: success, text: decoder.decode(stdout) + (success ? "" : decoder.decode(stderr)) };
  } catch (error) {
    return { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
}

async function reasonWithoutNode(): Promise<string | null> {
  const { ok, text } = await run("node", ["--version"]);
  if (!ok) return "node is not installed";
  const major = Number(/^v(\d+)\./.exec(text)?.[1]);
  return major >= MIN_NODE ? null : `node ${text.trim()} is older than ${MIN_NODE}`;
}

async function bundle(folder: string): Promise<string> {
  const path = `${folder}/suites.mjs`;
  const { ok, text } = await run(Deno.execPath(), ["bundle", "-q", "-o", path, entry]);
  assert(ok, text);
  return path;
}

/** Runs a suite in a process of Node and reports each of its tests as a step. */
async function runSuite(t: Deno.TestContext, path: string, args: string[]): Promise<void> {
  const { ok, text } = await run("node", [path, ...args]);
  const lines = text.split("\n").filter((line) => line.startsWith("{"));
  for (const line of lines) {
    const { name, error } = JSON.parse(line) as { name: string; error: string | null };
    await t.step(name, () => assert.equal(error, null, error ?? ""));
  }
  assert(ok && lines.length > 0, text);
}

const missing = await reasonWithoutNode();
const skipped = missing === null ? "" : ` (skipped: ${missing})`;

Deno.test({
  name: `the contract suites pass under Node${skipped}`,
  ignore: missing !== null,
  async fn(t) {
    const folder = await Deno.makeTempDir();
    const master = new LazyMaster(ourMaster);
    try {
      const path = await bundle(folder);
      await t.step("transfer", (t) => runSuite(t, path, ["transfer"]));
      const { address, metadataUrl } = await master.get();
      for (const metadata of ["P2PHANDSHAKE", metadataUrl]) {
        const name = metadata.startsWith("http") ? "http" : "p2p";
        await t.step(`engine, ${name}`, (t) => runSuite(t, path, ["te", metadata]));
        await t.step(`store, ${name}`, (t) => runSuite(t, path, ["store", address, metadata]));
      }
    } finally {
      await master.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** What README and docs show is run, or at least exists. */
import assert from "node:assert/strict";
import project from "../deno.json" with { type: "json" };
import { LocalCluster } from "../examples/local_cluster.ts";
import { openLibrary } from "../ffi/library.ts";
import { TransferEngine } from "../te.ts";
import { opensslAbsent } from "./support/engine_servers.ts";
import { findWheel } from "./support/wheel.ts";
import { walk } from "./support/walk.ts";

const root = new URL("../", import.meta.url).pathname;
const readme = await Deno.readTextFile(`${root}README.md`);
const pages = await walk(root, (path) => path.endsWith(".md"));
const wheel = await findWheel();

/** Code blocks of a language. */
function blocks(text: string, language: string): string[] {
  return Array.from(
    text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g")),
    ([, code]) => code,
  );
}

async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert(success, `${command} failed: ${new TextDecoder().decode(stderr)}${text}`);
  return text;
}

function smallCluster(): Promise<LocalCluster> {
  return LocalCluster.start({ nodes: 1, nodeBytes: 64 << 20 });
}

Deno.test("README's TypeScript runs and prints what was stored", async () => {
  await using cluster = await smallCluster();
  const [code] = blocks(readme, "ts");
  const script = await Deno.makeTempFile({ suffix: ".ts" });
  const program = code
    .replace("./mod.ts", `${root}mod.ts`)
    .replace("127.0.0.1:50051", cluster.masterAddress);
  assert.notEqual(program, code);
  await Deno.writeTextFile(script, program);
  assert.match(await output(Deno.execPath(), ["run", "-A", script]), /102,\s+114,\s+111,\s+109/);
  await Deno.remove(script);
});

Deno.test({
  name: `README's Python runs on the wheel${
    "python" in wheel ? "" : ` (skipped: ${wheel.reason})`
  }`,
  ignore: !("python" in wheel),
  fn: async () => {
    assert("python" in wheel);
    await using cluster = await smallCluster();
    const [code] = blocks(readme, "python");
    const program = code.replace("127.0.0.1:50051", cluster.masterAddress);
    assert.notEqual(program, code);
    assert.match(await output(wheel.python, ["-B", "-c", program]), /b'from the wheel'/);
  },
});

const shim = openLibrary();
const noTls = opensslAbsent ?? ("unavailable" in shim ? shim.unavailable : null);
if ("close" in shim) shim.close();
Deno.test({
  name: `the commands that make certificates make good ones${noTls ? ` (skipped: ${noTls})` : ""}`,
  ignore: noTls !== null,
  fn: async () => {
    const page = await Deno.readTextFile(`${root}docs/transports.md`);
    const commands = blocks(page, "sh").find((code) => code.includes("openssl x509"));
    assert(commands);
    const directory = await Deno.makeTempDir();
    await output("sh", ["-ec", `cd ${directory}\n${commands}`]);
    const [certFile, keyFile, caFile] = ["node7.pem", "node7.key", "ca.pem"].map((name) =>
      `${directory}/${name}`
    );
    const options = { tls: { certFile, keyFile, caFile }, localServerName: "localhost" };
    await using owner = await TransferEngine.initialize(options);
    await using user = await TransferEngine.initialize(options);
    assert.equal(await user.probe(owner.localName), true);
    await Deno.remove(directory, { recursive: true });
  },
});

Deno.test("every task that the pages name exists", async () => {
  for (const page of pages) {
    const text = await Deno.readTextFile(root + page);
    for (const [, task] of text.matchAll(/deno(?:@[\d.]+)? task (\w+)/g)) {
      assert(task in project.tasks, `${page} names the task ${task}`);
    }
  }
});

Deno.test("every file that the pages link to exists", async () => {
  for (const page of pages) {
    const text = await Deno.readTextFile(root + page);
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      const path = new URL(target, `file://${root}${page}`).pathname;
      await assert.doesNotReject(Deno.stat(path), `${page} links to ${target}`);
    }
  }
});

Deno.test("the commands that README shows explain themselves", async () => {
  for (const path of ["master/main.ts", "client/node/main.ts", "snowskin.ts"]) {
    const text = await output(Deno.execPath(), ["run", "-A", root + path, "--help"]);
    assert.match(text, /[Ee]xample/, `${path} --help has an example`);
  }
});

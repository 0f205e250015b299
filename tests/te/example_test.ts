/** The example of two processes that move bytes without a master. */
import assert from "node:assert/strict";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { walk } from "../support/walk.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";

const root = new URL("../../", import.meta.url).pathname;

async function runExample(
  folder = `${root}examples/transfer_engine/`,
  ...metadata: string[]
): Promise<void> {
  const run = (file: string, ...args: string[]) =>
    new LocalProcess(file, Deno.execPath(), ["run", "-A", folder + file, ...args]);
  await using lender = run("lend.ts", ...metadata);
  const [, name] = / as (\S+)$/.exec(await lender.line(/^lent 1048576 bytes as /))!;
  await using user = run("use.ts", name, ...metadata);
  await user.line(/^read "hello from the lender"$/);
  await user.line(/^wrote 1048576 bytes with the results 0,0$/);
  await lender.line(/^the user says "all ones"; the bytes add up to 1048576$/);
  assert.equal((await user.status).code, 0);
  assert.equal((await lender.status).code, 0);
}

Deno.test("two processes move bytes with nobody else there", () => runExample());

Deno.test("the engine's files are enough: no store, no master", async () => {
  const copy = `${await Deno.makeTempDir()}/`;
  try {
    for (const folder of ["te", "client/transfer", "proto", "ffi", "examples/transfer_engine"]) {
      await Deno.mkdir(copy + folder, { recursive: true });
      for (const path of await walk(`${root}${folder}/`, (file) => file.endsWith(".ts"))) {
        await Deno.mkdir(new URL(".", `file://${copy}${folder}/${path}`), { recursive: true });
        await Deno.copyFile(`${root}${folder}/${path}`, `${copy}${folder}/${path}`);
      }
    }
    for (const file of ["te.ts", "deno.json", "deno.lock"]) {
      await Deno.copyFile(root + file, copy + file);
    }
    await runExample(`${copy}examples/transfer_engine/`);
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
});

Deno.test("two processes meet at a metadata server and leave nothing there", async () => {
  await using store = await ReferenceMetadata.start();
  await runExample(undefined, store.url);
  assert.equal(store.values.size, 0);
});

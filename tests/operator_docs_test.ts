/** The commands for operators that the pages show are run. */
import assert from "node:assert/strict";
import { StoreClient } from "../client/store_client.ts";
import { startMaster } from "../examples/local_cluster.ts";

const root = new URL("../", import.meta.url).pathname;

/** Commands of the blocks of a page that begin with these words. */
async function commands(page: string, start: string): Promise<string[][]> {
  const text = await Deno.readTextFile(`${root}docs/${page}`);
  const found = text.split("\n").filter((line) => line.startsWith(start));
  assert(found.length > 0, `${page} shows ${start}`);
  return found.map((line) => line.split(/\s+/).slice(1));
}

async function snowskin(args: string[]): Promise<{ code: number; out: string; notes: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${root}snowskin.ts`, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const [out, notes] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, notes };
}

Deno.test("what docs/durability.md does with a log is done beside a running master", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const { process: master, address } = await startMaster([`--data_dir=${directory}`]);
    await using _master = master;
    await using client = await StoreClient.connect({
      ...{ masterServerAddress: address, globalSegmentSize: 4 << 20 },
    });
    await client.put("prompt 7", Uint8Array.of(1));
    for (const shown of await commands("durability.md", "snowskin log ")) {
      const args = shown.map((arg) => arg.replace("/var/lib/snowskin", directory));
      const { code, out, notes } = await snowskin(args);
      assert.equal(code, 0, out + notes);
      if (args[1] === "inspect") {
        assert.match(out, /^\d+\.\d+ WRITE_STARTED tenant=default key=prompt%207 /m);
        assert.match(notes, /^snowskin log: a master uses .* \(process \d+ on /m);
      } else assert.match(out, /: sound\n/);
    }
    assert.deepEqual(await client.get("prompt 7"), Uint8Array.of(1));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the machine is looked at as docs/operations.md says", async () => {
  const directory = await Deno.makeTempDir();
  const shown = await commands("operations.md", "snowskin doctor");
  for (const given of shown) {
    const args = given.map((arg) => arg.replace("/var/lib/snowskin", directory))
      .map((arg) => arg.replace("10.0.0.1:50051", "127.0.0.1:1"));
    const { code, out, notes } = await snowskin(args);
    // What is found depends on the machine; that there is no master at port 1 does not.
    const status = args.includes("--for=store") ? [1] : [0, 1];
    assert(status.includes(code), out + notes);
    assert.equal(notes, "");
    if (args.includes("--json")) assert.equal(JSON.parse(out).problems > 0, code === 1);
    else assert.match(out, /\n\d+ problems?, \d+ notes?\n$/);
  }
  await Deno.remove(directory);
});

Deno.test("the commands for operators explain themselves", async () => {
  for (const command of ["log", "doctor"]) {
    const { code, out } = await snowskin([command, "--help"]);
    assert.equal(code, 0);
    assert.match(out, new RegExp(`^Usage: snowskin ${command} [\\s\\S]*Example:\n {2}snowskin`));
    assert(out.split("\n").every((line) => line.length <= 110), command);
  }
  const all = await snowskin(["--help"]);
  assert.match(all.out, /^ {2}log .*\n/m);
  assert.match(all.out, /^ {2}doctor .*\n/m);
});

// Goal: the transfer benchmark starts, measures what was asked for and prints its table.
// Method: the task's program, with the shortest of its sections.
import assert from "node:assert/strict";

const program = new URL("main.ts", import.meta.url).pathname;

async function run(args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", program, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("bench:transfer prints a table of figures and what is asked of them", async () => {
  const json = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const { code, out, err } = await run(["--quick", "--only=idle", "--json", json]);
    assert.equal(code, 0, err);
    assert.match(out, /^Machine: /m);
    assert.match(out, /^figure +unit +beside +it +ours +ours \/ it +asked +met$/m);
    for (const name of ["idle engine that has read", "idle engine that has served"]) {
      assert.match(out, new RegExp(`^${name} +% of a core .* < 0\\.5 +(yes|no)$`, "m"));
    }
    assert.match(out, /^reader of a stopped peer .* < 5 +yes$/m);
    assert.match(out, /^\d of 3 figures are as asked$/m);
    const { figures } = JSON.parse(Deno.readTextFileSync(json)).sections.idle;
    assert(figures.every(({ ours }: { ours: number }) => ours >= 0 && ours < 200), out);
  } finally {
    await Deno.remove(json);
  }
});

Deno.test("bench:transfer refuses what it does not know, with one line", async () => {
  const { code, err } = await run(["--only=engine,disk"]);
  assert.equal(code, 2);
  assert.equal(err, "--only=disk: allowed are engine, store, host, idle, crc\n");
  assert.match((await run(["--help"])).out, /^Example: deno task bench:transfer /m);
});

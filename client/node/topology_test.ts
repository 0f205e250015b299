import assert from "node:assert/strict";
import { SysfsFixture, TWO_SOCKETS } from "../../tests/support/sysfs_tree.ts";
import { main } from "./topology.ts";

/** Runs the command with what it prints taken instead of shown. */
async function run(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  const { log, error } = console;
  const lines = { out: [] as string[], err: [] as string[] };
  console.log = (line: string) => lines.out.push(line);
  console.error = (line: string) => lines.err.push(line);
  try {
    const code = await main(args, env);
    return { code, out: lines.out.join("\n"), err: lines.err.join("\n") };
  } finally {
    Object.assign(console, { log, error });
  }
}

Deno.test("topology shows a machine, and its matrix as JSON", async () => {
  using machine = new SysfsFixture(TWO_SOCKETS);
  const shown = await run([`--sysfs=${machine.root}`]);
  assert.equal(shown.code, 0);
  assert.match(shown.out, /^node 0 {3}CPUs 0-3, distances 10 21$/m);
  assert.match(shown.out, /^mlx5_0 {3}RDMA, PCI 0000:02:00\.0, node 0, port 1 ACTIVE$/m);
  assert.match(shown.out, /^rxe0 {3}RDMA, virtual, node unknown, port 1 ACTIVE$/m);
  assert.match(shown.out, /^cuda:1 .*PCI steps to mlx5_0 8, mlx5_1 7, mlx5_2 2$/m);
  assert.match(shown.out, /^cpu:1 {6}mlx5_2 \| mlx5_0 mlx5_1 rxe0$/m);
  const json = await run([`--sysfs=${machine.root}`, "--json"]);
  assert.deepEqual(JSON.parse(json.out)["cuda:1"], [["mlx5_2"], ["mlx5_1", "mlx5_0", "rxe0"]]);
});

Deno.test("topology shows DAX devices with a size", async () => {
  using machine = new SysfsFixture({ distances: [[10]] });
  const entries = { size: "17179869184\n", align: "2097152\n", numa_node: "1\n" };
  for (const [entry, text] of Object.entries(entries)) {
    machine.file(`bus/dax/devices/dax0.0/${entry}`, text);
  }
  machine.file("bus/dax/devices/dax1.0/size", "4096\n");
  machine.file("bus/dax/devices/dax2.0/size", "0\n");
  const { out } = await run([`--sysfs=${machine.root}`]);
  assert.match(out, /^dax0\.0 {3}DAX, 16\.00 GiB in pages of 2\.00 MiB, node 1$/m);
  assert.match(out, /^dax1\.0 {3}DAX, 4\.00 KiB, node unknown$/m);
  assert.doesNotMatch(out, /dax2/);
});

Deno.test("topology shows the file of MC_CUSTOM_TOPO_JSON instead, and refuses a bad one", async () => {
  using machine = new SysfsFixture({ distances: [[10]] });
  machine.file("topo.json", '{"cpu:0": [["mlx5_9"], []]}');
  const args = [`--sysfs=${machine.root}`, "--json"];
  const shown = await run(args, { MC_CUSTOM_TOPO_JSON: `${machine.root}/topo.json` });
  assert.equal(shown.out, '{"cpu:0":[["mlx5_9"],[]]}');
  machine.file("topo.json", "{");
  const bad = await run([...args, `--custom=${machine.root}/topo.json`]);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /^snowskin topology: .*topo\.json is refused: .*$/);
  assert.equal((await run([...args, "--custom=nowhere"])).code, 1);
});

Deno.test("topology refuses unknown flags and a folder that is no sysfs", async () => {
  assert.equal((await run(["--bogus"])).code, 2);
  const nowhere = await run(["--sysfs=nowhere"]);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.err, /--sysfs=nowhere is no sysfs tree/);
  assert.match((await run(["--help"])).out, /Usage: snowskin topology/);
});

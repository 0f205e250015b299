/** Which ports a store node opens, at which addresses, and what it says when it cannot. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { listenersOf } from "../support/listening_ports.ts";
import { type LoopMode, loopModes } from "../support/master_process.ts";

const MIB = 1 << 20;
const value = new Uint8Array(100_000).map((_, i) => i * 11);

function test(name: string, fn: (engine: LoopMode) => Promise<void>): void {
  for (const engine of loopModes) {
    const what = engine.absent === null && engine.name === "native loop" ? "native" : "typescript";
    const why = engine.absent === null ? "" : ` (skipped: ${engine.absent})`;
    const title = `${what} engine: ${name}${why}`;
    Deno.test({ name: title, ignore: engine.absent !== null, fn: () => fn(engine) });
  }
}

test("a node listens at exactly the ports that it declares", async ({ env }) => {
  const { process: _master, address } = await startMaster();
  await using _ends = _master;
  const [dataPort, httpPort] = [await freePort(), await freePort()];
  await using node = await startNode(address, 32 * MIB, {
    ...{ env, flags: [`--data_port=${dataPort}`, `--http_port=${httpPort}`] },
  });
  const wanted = [dataPort, httpPort].sort((a, b) => a - b);
  assert.deepEqual(listenersOf(node.pid).map(({ port }) => port), wanted);
  assert(listenersOf(node.pid).every(({ everywhere }) => !everywhere), "a loopback host");

  await using client = await StoreClient.connect({ masterServerAddress: address, forceTcp: true });
  assert.equal(await client.put("k", value), "stored");
  assert.deepEqual(await client.get("k"), value);
  assert.equal(listenersOf(node.pid).length, 2, "work opens no further port");
});

test("ports are opened where the flags say", async ({ env }) => {
  const { process: master, address } = await startMaster();
  await using _ends = master;
  const rows: [string[], { family: "IPv4" | "IPv6"; everywhere: boolean }][] = [
    [["--host=localhost"], { family: "IPv4", everywhere: false }],
    [["--host=127.0.0.2"], { family: "IPv4", everywhere: false }],
    [["--host=some.name.example"], { family: "IPv6", everywhere: true }],
    [["--host=127.0.0.1", "--bind_address=0.0.0.0"], { family: "IPv4", everywhere: true }],
    [["--host=some.name", "--bind_address=127.0.0.1"], { family: "IPv4", everywhere: false }],
  ];
  for (const [flags, wanted] of rows) {
    await using node = await startNode(address, 4 * MIB, { env, flags });
    const found = listenersOf(node.pid);
    assert.equal(found.length, 1, flags.join(" "));
    assert.deepEqual({ ...found[0], port: 0 }, { ...wanted, port: 0 }, flags.join(" "));
    assert(found[0].port >= 15_000 && found[0].port <= 17_000);
  }
});

test("a taken port is one clear line and exit code 3", async ({ env }) => {
  const { process: master, address } = await startMaster();
  await using _ends = master;
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  const node = new LocalProcess("node", Deno.execPath(), [
    ...["run", "-A", new URL("../../client/node/main.ts", import.meta.url).pathname],
    ...[`--master=${address}`, "--segment_size=4mb", "--host=127.0.0.1", `--data_port=${port}`],
  ], { env });
  const line = await node.line(/in use/);
  assert.equal(
    line,
    `snowskin store: --data_port: port ${port} of 127.0.0.1 is in use; ` +
      "choose another, or 0 for any that is free",
  );
  assert.equal((await node.status).code, 3);
  await node.stop();
  await new Promise((resolve) => holder.close(resolve));
});

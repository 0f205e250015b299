// Goal: two agents in two processes do what their verbs say, over each way that bytes can take.
// Method: the other process answers each notification with the checksum of its memory at that moment.
import assert from "node:assert/strict";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { crc32c } from "../../proto/crc32c.ts";
import { EngineCode, TransferAgent, type TransferEngineOptions } from "../../te.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { until } from "../support/until.ts";
import { fill, same } from "./engine_pair.ts";
import { engineError } from "./te_suite.ts";

const main = new URL("agent_peer_main.ts", import.meta.url).pathname;
const library = openLibrary();
const noShim = "unavailable" in library ? library.unavailable : null;
if ("close" in library) library.close();

async function startTarget(options: TransferEngineOptions) {
  const args = ["run", "-A", "--no-check", main, JSON.stringify(options)];
  const process = new LocalProcess("target", Deno.execPath(), args);
  const [, address] = / at (\S+)$/.exec(await process.line(/^target at /))!;
  return { process, address };
}

/** Waits for the answer to a notification and returns the checksum in it. */
async function answer(agent: TransferAgent, words: string): Promise<string> {
  let found = "";
  await until(() => {
    for (const message of agent.takeNotifications().get("target") ?? []) {
      const [said, sum] = new TextDecoder().decode(message).split(" ");
      if (said === words) found = sum;
    }
    return found !== "";
  });
  return found;
}

async function exchange(options: TransferEngineOptions): Promise<void> {
  const target = await startTarget(options);
  await using _process = target.process;
  await using agent = await TransferAgent.open("initiator", options);
  const mine = await agent.registerMemory([1 << 20, new Uint8Array(64 << 10)]);
  const [big, small] = mine.memory;
  if (options.metadata !== undefined) await agent.fetchMetadata("target");
  else await agent.fetchMetadata("target", { from: target.address });
  await agent.sendMetadata({ to: target.address });
  await agent.makeConnection("target");
  const theirs = agent.remoteMemory("target");
  const at = (length: number) => theirs.descriptors.filter((one) => one.length === length);

  const read = agent.initializeTransfer(
    "read",
    { type: "DRAM", descriptors: [mine.descriptors[1]] },
    { type: "DRAM", descriptors: at(64 << 10) },
    "target",
  );
  assert.equal(agent.check(read), "ready");
  assert.equal(agent.post(read), "running");
  assert.throws(
    () => agent.post(read),
    engineError(EngineCode.INVALID_ARGUMENT, /The read with agent "target" is running; it can/),
  );
  assert.equal(await read.wait(), "done");
  const expected = new Uint8Array(64 << 10);
  fill(expected, 1);
  assert(same(small.bytes, expected));

  // Blocks in another order there than here, posted again and again.
  const block = 32 << 10;
  const blocks = (address: bigint) => ({
    type: "DRAM" as const,
    descriptors: Array.from({ length: 32 }, (_, i) => ({
      ...{ address: address + BigInt(i * block), length: block, deviceId: 0 },
    })),
  });
  const near = agent.prepareDescriptors("local", blocks(mine.descriptors[0].address));
  const far = agent.prepareDescriptors({ agent: "target" }, blocks(at(1 << 20)[0].address));
  const order = Array.from({ length: 32 }, (_, i) => i);
  const back = order.toReversed();
  const write = agent.makeTransfer("write", near, order, far, back);
  for (let round = 0; round < 40; round++) {
    fill(big.bytes, 100 + round);
    agent.post(write, `round-${round}`);
    const turned = new Uint8Array(1 << 20);
    for (const i of order) {
      turned.set(big.bytes.subarray(i * block, (i + 1) * block), back[i] * block);
    }
    assert.equal(await write.wait(), "done", write.error?.message);
    const sum = crc32c(turned, 0, turned.length).toString(16);
    assert.equal(await answer(agent, `round-${round}`), sum, `round ${round}`);
  }

  target.process.kill("SIGKILL");
  await target.process.status;
  agent.post(write);
  assert.equal(await write.wait(), "failed");
  assert.match(write.error!.message, /^write with agent "target": [^\n]+$/);

  // Another process of the name: what was prepared for the former is refused.
  const next = await startTarget(options);
  await using _next = next.process;
  if (options.metadata !== undefined) await agent.fetchMetadata("target");
  else await agent.fetchMetadata("target", { from: next.address });
  agent.post(write);
  assert.equal(await write.wait(), "failed");
  assert.match(write.error!.message, /Agent "target" was removed, or opened anew/);
  await agent.sendMetadata({ to: next.address });
  agent.post(agent.initializeTransfer(
    "write",
    { type: "DRAM", descriptors: [mine.descriptors[0]] },
    {
      type: "DRAM",
      descriptors: agent.remoteMemory("target").descriptors.filter((d) => d.length === 1 << 20),
    },
    "target",
    { notification: "again" },
  ));
  assert.equal(await answer(agent, "again"), crc32c(big.bytes, 0, big.length).toString(16));
  next.process.kill("SIGTERM");
}

const ways: [string, TransferEngineOptions, string | null][] = [
  ["on one host", {}, noShim],
  ["over TCP", { forceTcp: true }, noShim],
  ["over TCP, in TypeScript", { engine: "typescript" }, null],
];
for (const [name, options, missing] of ways) {
  Deno.test({
    name: `two agents ${name}${missing === null ? "" : ` (skipped: ${missing})`}`,
    ignore: missing !== null,
    fn: () => exchange(options),
  });
}

Deno.test("two agents that meet at a metadata server", async () => {
  await using store = await ReferenceMetadata.start();
  await exchange({ metadata: store.url });
});

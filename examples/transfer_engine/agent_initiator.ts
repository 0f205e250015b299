/**
 * Reads and writes the memory of `agent_target.ts`:
 * `deno run -A examples/transfer_engine/agent_initiator.ts ADDRESS [--tcp]`.
 */
import { descriptorList, TransferAgent } from "../../te.ts";

const [address] = Deno.args;
const options = { forceTcp: Deno.args.includes("--tcp") };
await using agent = await TransferAgent.open("initiator", options);
const mine = await agent.registerMemory([1 << 20]);
const [{ address: start }] = mine.descriptors;
const { bytes } = mine.memory[0];

await agent.fetchMetadata("target", { from: address });
const theirs = agent.remoteMemory("target");

const reading = agent.initializeTransfer("read", mine, theirs, "target");
agent.post(reading);
console.log(`read: ${await reading.wait()}, "${new TextDecoder().decode(bytes.subarray(0, 21))}"`);

// Blocks are prepared once, and transfers pick from them by index.
bytes.fill(1);
const block = 64 << 10;
const blocks = (from: bigint) =>
  descriptorList(
    "DRAM",
    Array.from({ length: 16 }, (_, i) => [from + BigInt(i * block), block, 0]),
  );
const near = agent.prepareDescriptors("local", blocks(start));
const far = agent.prepareDescriptors({ agent: "target" }, blocks(theirs.descriptors[0].address));
const even = [0, 2, 4, 6, 8, 10, 12, 14];
const odd = even.map((i) => i + 1);
const first = agent.makeTransfer("write", near, even, far, even);
const second = agent.makeTransfer("write", near, odd, far, odd, { notification: "all ones" });
agent.post(first);
console.log(`first half: ${agent.check(first)}, then ${await first.wait()}`);
agent.post(second);
console.log(`second half: ${await second.wait()}`);

/**
 * An agent that lends memory until another one says that it has written there:
 * `deno run -A examples/transfer_engine/agent_target.ts [--tcp]`.
 */
import { TransferAgent } from "../../te.ts";

const told = Promise.withResolvers<string>();
await using agent = await TransferAgent.open("target", {
  listen: true,
  forceTcp: Deno.args.includes("--tcp"),
  onNotification: (from, message) =>
    told.resolve(`${from} says "${new TextDecoder().decode(message)}"`),
});
const { memory: [memory] } = await agent.registerMemory([1 << 20]);
memory.bytes.set(new TextEncoder().encode("hello from the target"));
console.log(`agent ${agent.name} is at ${agent.address}`);

const words = await told.promise;
console.log(`${words}; the bytes add up to ${memory.bytes.reduce((sum, byte) => sum + byte, 0)}`);

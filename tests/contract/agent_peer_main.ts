/**
 * An agent in a process of its own: lends two pieces of memory, and answers each notification with the
 * checksum that the second one has when it comes, so that a byte that comes later is seen.
 */
import { TransferAgent, type TransferEngineOptions } from "../../te.ts";
import { crc32c } from "../../proto/crc32c.ts";
import { fill } from "./engine_pair.ts";

const options: TransferEngineOptions = JSON.parse(Deno.args[0]);
const agent = await TransferAgent.open("target", {
  ...options,
  listen: true,
  onNotification: (from, message) => {
    const sum = crc32c(second.bytes, 0, second.length).toString(16);
    const words = new TextDecoder().decode(message);
    queueMicrotask(() => agent.sendNotification(from, `${words} ${sum}`).catch(console.error));
  },
});
const { memory: [first, second] } = await agent.registerMemory([64 << 10, new Uint8Array(1 << 20)]);
fill(first.bytes, 1);
if (options.metadata !== undefined) await agent.sendMetadata();
console.log(`target at ${agent.address}`);

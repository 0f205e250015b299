/**
 * Registers memory, prints the name of its engine, and waits until a peer says that it is done:
 * `deno run -A examples/transfer_engine/lend.ts [METADATA]`.
 */
import { type Notification, TransferEngine } from "../../te.ts";

const told = Promise.withResolvers<Notification>();
await using engine = await TransferEngine.initialize({
  metadata: Deno.args[0] ?? "P2PHANDSHAKE",
  onNotify: told.resolve,
});
const memory = await engine.registerMemory(1 << 20);
memory.bytes.set(new TextEncoder().encode("hello from the lender"));
console.log(`lent ${memory.length} bytes as ${engine.localName}`);

const { name, message } = await told.promise;
const sum = memory.bytes.reduce((total, byte) => total + byte, 0);
console.log(`${name} says "${message}"; the bytes add up to ${sum}`);

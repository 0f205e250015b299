/**
 * Reads and writes the memory of `lend.ts`:
 * `deno run -A examples/transfer_engine/use.ts NAME [METADATA]`.
 */
import { TransferEngine } from "../../te.ts";

const [name, metadata = "P2PHANDSHAKE"] = Deno.args;
await using engine = await TransferEngine.initialize({ metadata });
const segment = await engine.openSegment(name);
const [{ address, length }] = segment.buffers;

const greeting = new Uint8Array(21);
await engine.transferSync([
  { opcode: "read", segment, remoteAddress: address, local: greeting },
]);
console.log(`read "${new TextDecoder().decode(greeting)}"`);

// Both halves at once, from memory that need not be registered to be sent.
const local = new Uint8Array(length).fill(1);
const half = length / 2;
const batch = engine.submitTransfer([0, half].map((localOffset) => ({
  opcode: "write",
  segment,
  local,
  localOffset,
  length: half,
  remoteAddress: address + BigInt(localOffset),
})));
console.log(`wrote ${length} bytes with the results ${await batch.wait()}`);
await engine.notify(name, "all ones", "the user");

/**
 * One of two processes of `caller_memory_test.ts`. `owner` lends an array and says what became of it
 * when its input ends; `user NAME ADDRESS` reads and writes it, and stays until then, too.
 */
import { crc32c } from "../../proto/crc32c.ts";
import { TransferEngine } from "../../te.ts";
import { fill } from "./engine_pair.ts";

const BYTES = 24 << 20;
/** What goes without a connection where it may; what is longer, or shorter, is quicker over TCP. */
const READS = [1, 4096, 70_001, 1 << 20, 8 << 20];
const WRITES = [2 << 20, (2 << 20) + 1, 3 << 20, 5 << 20, 18 << 20];
const lines: string[] = [];
const say = (value: unknown) => console.log(JSON.stringify(value));
const [mode, name, address] = Deno.args;
const engine = await TransferEngine.initialize({
  engine: "native",
  log: (line) => lines.push(line),
});
const bytes = new Uint8Array(BYTES);

async function own(): Promise<void> {
  fill(bytes, 1);
  const memory = await engine.registerMemory(bytes);
  say({ name: engine.localName, address: String(memory.address) });
  await new Response(Deno.stdin.readable).text();
  const { servedReads, servedWrites, connections } = engine.stats();
  say({ crc: crc32c(bytes, 0, BYTES), servedReads, servedWrites, connections, lines });
}

async function use(): Promise<void> {
  const segment = await engine.openSegment(name);
  const expected = new Uint8Array(BYTES);
  fill(expected, 1);
  const codes: number[] = [];
  let wrong = 0;
  for (const [i, length] of READS.entries()) {
    const at = 3 + i;
    const remoteAddress = BigInt(address) + BigInt(at);
    const request = { segment, remoteAddress, local: bytes };
    codes.push(...await engine.transferSync([{ ...request, opcode: "read", length }]));
    for (let k = 0; k < length; k++) if (bytes[k] !== expected[at + k]) wrong++;
    const written = bytes.subarray(0, WRITES[i]);
    fill(written, i + 2);
    expected.set(written, at);
    codes.push(
      ...await engine.transferSync([{ ...request, opcode: "write", length: WRITES[i] }]),
    );
  }
  say({ codes, wrong, crc: crc32c(expected, 0, BYTES), lines });
  await new Response(Deno.stdin.readable).text();
}

await (mode === "owner" ? own() : use());
await engine[Symbol.asyncDispose]();

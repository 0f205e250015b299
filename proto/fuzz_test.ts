// Goal: no bytes from a peer can crash, hang or bloat a process that reads them.
// Method: the golden frames are damaged, most of them deep inside a body whose header stays valid,
// cut into random chunks and decoded. Each gives a value that encodes again, or a ProtocolError.
import assert from "node:assert/strict";
import { chosenSeed, Random } from "../tests/support/random.ts";
import { fromHex, loadWireVectors } from "../tests/support/wire_vectors.ts";
import { ProtocolError } from "./error.ts";
import { RequestSplitter, ResponseSplitter } from "./coro_rpc/splitter.ts";
import { type Rpc, rpcById, rpcByName } from "./messages.ts";
import { readTransportError } from "./coro_rpc/header.ts";
import type { Codec } from "./struct_pack/codec.ts";
import { Reader } from "./struct_pack/reader.ts";
import { Writer } from "./struct_pack/writer.ts";

const FRAMES = 120_000;
const SLOW_MS = 5000;
const MAX_GROWTH_BYTES = 300 << 20;

interface Specimen {
  kind: "request" | "response";
  rpc: Rpc<unknown, unknown>;
  headerBytes: number;
  frame: Uint8Array;
}

function specimens(): Specimen[] {
  const { vectors, all_replica_kinds, transport_error_frames } = loadWireVectors();
  const exchanges = [...vectors, all_replica_kinds].flatMap((exchange): Specimen[] => {
    const rpc = rpcByName.get(exchange.rpc)!;
    return [
      { kind: "request", rpc, headerBytes: 20, frame: fromHex(exchange.request_hex) },
      { kind: "response", rpc, headerBytes: 16, frame: fromHex(exchange.response_hex) },
    ];
  });
  const errors = transport_error_frames.map(({ response_hex }): Specimen => ({
    kind: "response",
    rpc: rpcByName.get("Ping")!,
    headerBytes: 16,
    frame: fromHex(response_hex),
  }));
  return [...exchanges.filter(({ frame, headerBytes }) => frame.length > headerBytes), ...errors];
}

/** Where the data of the body begins: behind type code, metainfo and literal. */
function dataStart({ frame, headerBytes }: Specimen): number {
  if ((frame[headerBytes] & 1) === 0) return headerBytes + 4;
  return frame.indexOf(0, headerBytes + 5) + 1;
}

function flip(bytes: Uint8Array, from: number, random: Random): void {
  if (from >= bytes.length) return;
  for (let flips = 1 + random.below(4); flips > 0; flips--) {
    const at = from + random.below(bytes.length - from);
    bytes[at] = random.oneIn(3) ? random.pick([0, 1, 0x7f, 0x80, 0xff]) : bytes[at] ^
      (1 << random.below(8));
  }
}

/** A damaged copy whose header, nine times in ten, still announces the right length. */
function damage(specimen: Specimen, all: Specimen[], random: Random): Uint8Array {
  const { frame, headerBytes } = specimen;
  const data = dataStart(specimen);
  const at = data + random.below(Math.max(1, frame.length - data));
  let copy: Uint8Array;
  switch (random.below(10)) {
    case 0:
      copy = frame.slice();
      flip(copy, 0, random);
      return copy;
    case 1:
      copy = frame.slice();
      flip(copy, headerBytes, random);
      break;
    case 2:
      copy = frame.slice(0, at);
      break;
    case 3: {
      const count = 1 + random.below(9);
      copy = Uint8Array.of(...frame.subarray(0, at), ...frame.subarray(at + count));
      break;
    }
    case 4: {
      const extra = Array.from({ length: 1 + random.below(9) }, () => random.below(256));
      copy = Uint8Array.of(...frame.subarray(0, at), ...extra, ...frame.subarray(at));
      break;
    }
    case 5: {
      const other = random.pick(all).frame;
      copy = Uint8Array.of(...frame.subarray(0, at), ...other.subarray(random.below(other.length)));
      break;
    }
    case 6:
      copy = frame.slice();
      if ((copy[headerBytes] & 1) !== 0) copy[headerBytes + 4] ^= random.pick([8, 16, 24]);
      break;
    default:
      copy = frame.slice();
      flip(copy, data, random);
  }
  const lengthAt = specimen.kind === "request" ? 12 : 8;
  new DataView(copy.buffer).setUint32(lengthAt, copy.length - headerBytes, true);
  return copy;
}

function decode(splitter: RequestSplitter | ResponseSplitter, specimen: Specimen): void {
  const reader = new Reader(splitter.bytes, splitter.bodyStart, splitter.bodyEnd);
  if (splitter instanceof ResponseSplitter && splitter.errorCode !== 0) {
    readTransportError(reader, splitter.errorCode);
    return;
  }
  const rpc = splitter instanceof RequestSplitter ? rpcById.get(splitter.functionId) : specimen.rpc;
  if (!rpc) throw new ProtocolError("no such function");
  const codec = specimen.kind === "request" ? rpc.request : rpc.response;
  if (codec === null) return reader.expectEnd();
  const value = codec.decode(reader);
  checkStable(codec, value);
}

function checkStable(codec: Codec<unknown>, value: unknown): void {
  const writer = new Writer();
  codec.encode(writer, value, { literal: true });
  assert.deepEqual(codec.decode(new Reader(writer.bytes)), value);
}

function feedInParts(
  splitter: RequestSplitter | ResponseSplitter,
  stream: Uint8Array,
  random: Random,
  onFrame: () => void,
): void {
  const step = random.oneIn(2) ? stream.length : 1 + random.below(64);
  for (let at = 0; at < stream.length; at += step) {
    splitter.feed(stream, at, Math.min(stream.length, at + step));
    while (splitter.next()) if (!splitter.tooLarge) onFrame();
  }
}

Deno.test("damaged frames give a value or a ProtocolError, in bounded time and memory", () => {
  const seed = chosenSeed();
  const random = new Random(seed);
  const all = specimens();
  const memoryBefore = Deno.memoryUsage().rss;
  let decoded = 0;
  let refused = 0;
  let waiting = 0;
  for (let i = 0; i < FRAMES; i++) {
    const specimen = random.pick(all);
    const stream = damage(specimen, all, random);
    const splitter = specimen.kind === "request" ? new RequestSplitter() : new ResponseSplitter();
    const startedMs = performance.now();
    let frames = 0;
    try {
      feedInParts(splitter, stream, random, () => {
        decode(splitter, specimen);
        frames++;
      });
      if (frames > 0) decoded++;
      else waiting++;
    } catch (error) {
      if (!(error instanceof ProtocolError)) {
        throw new Error(`seed ${seed}, frame ${i}, ${specimen.rpc.name}`, { cause: error });
      }
      refused++;
    }
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs < SLOW_MS, `seed ${seed}, frame ${i} took ${tookMs} ms`);
  }
  const grownBytes = Deno.memoryUsage().rss - memoryBefore;
  assert.ok(grownBytes < MAX_GROWTH_BYTES, `seed ${seed}: grew by ${grownBytes} bytes`);
  console.log(
    `fuzz: ${FRAMES} damaged frames, ${decoded} decoded, ${refused} refused, ` +
      `${waiting} incomplete, seed ${seed}`,
  );
  assert.ok(decoded > FRAMES / 20 && refused > FRAMES / 3, `seed ${seed}: the damage is one-sided`);
});

import type { TransferRequest } from "../batch.ts";
import { EngineCode } from "../engine_code.ts";
import type { RegisteredMemory } from "../memory.ts";
import type { Segment, SegmentMemory } from "../segment.ts";
import { TransferEngine } from "../transfer_engine.ts";
import { type BenchOptions, UNITS } from "./bench_flags.ts";
import { CommandError } from "./command_line.ts";
import { stopSignal } from "./stop_signal.ts";

/** Moves bytes for a while and says how fast that went, or lends memory until a signal comes. */
export async function runBench(options: BenchOptions): Promise<void> {
  const log = (line: string) => console.log(line);
  await using engine = await TransferEngine.initialize({ ...options.engine, log });
  if (options.files.length > 0) return await publish(engine, options.files);
  const memory = await engine.registerMemory(options.bufferSize);
  if (options.mode === "target") {
    console.log(
      `target ready: ${engine.localName} lends ${memory.length} bytes over ` +
        engine.transports.join(", "),
    );
    await stopSignal();
    const { servedReadBytes, servedWriteBytes } = engine.stats();
    console.log(`served ${servedReadBytes} bytes of reads, ${servedWriteBytes} bytes of writes`);
    return;
  }
  await initiate(engine, memory, options);
}

/** Publishes files until a signal comes. */
async function publish(engine: TransferEngine, files: readonly string[]): Promise<void> {
  const name = `nvmeof/${engine.localName}`;
  await engine.registerFiles(name, files.map((path) => ({ path })));
  const { buffers } = await engine.openSegment(name);
  const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
  console.log(`target ready: ${name} is ${bytes} bytes of ${files.join(", ")}`);
  await stopSignal();
}

async function initiate(
  engine: TransferEngine,
  memory: RegisteredMemory,
  options: BenchOptions,
): Promise<void> {
  const { threads, batchSize, blockSize, unit, precision } = options;
  const segment = await engine.openSegment(options.segment);
  const needed = threads * batchSize * blockSize;
  const batches = Array.from({ length: threads }, (_, thread) => {
    const buffer = segment.buffers[thread % segment.buffers.length];
    return requestsOf(options, thread, memory, segment, roomFor(buffer, needed, segment.name));
  });
  const begin = performance.now();
  const end = begin + options.seconds * 1000;
  let count = 0;
  await Promise.all(batches.map(async (requests) => {
    while (performance.now() < end) {
      const codes = await engine.transferSync(requests);
      const failed = codes.findIndex((code) => code !== EngineCode.OK);
      if (failed >= 0) {
        throw new CommandError(engine.explain(requests[failed], codes[failed]), 1);
      }
      count++;
    }
  }));
  const seconds = (performance.now() - begin) / 1000;
  const rate = count * batchSize * blockSize / seconds / UNITS[unit];
  console.log(
    `Test completed: duration ${seconds.toFixed(2)}, batch count ${count}, throughput ` +
      `${rate.toFixed(precision)} ${unit}/s`,
  );
}

function roomFor(buffer: SegmentMemory | undefined, needed: number, name: string): SegmentMemory {
  if (buffer !== undefined && buffer.length >= needed) return buffer;
  throw new CommandError(
    `The blocks of all batches are ${needed} bytes; ${name} has a buffer of ` +
      `${buffer?.length ?? 0}: use a larger --buffer_size there`,
    1,
  );
}

/** The blocks of one thread lie between those of the others, as in the reference's program. */
function requestsOf(
  { batchSize, blockSize, threads, operation }: BenchOptions,
  thread: number,
  local: RegisteredMemory,
  segment: Segment,
  buffer: SegmentMemory,
): TransferRequest[] {
  return Array.from({ length: batchSize }, (_, i) => {
    const localOffset = blockSize * (i * threads + thread);
    return {
      ...{ opcode: operation, segment, local, localOffset, length: blockSize },
      remoteAddress: buffer.address + BigInt(localOffset),
    };
  });
}

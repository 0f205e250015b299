/**
 * Snowskin's transfer engine in a process of its own, told what to do on stdin, in the role that
 * `wheel_engine.py` plays for the wheel: `engine_peer.ts BYTES tcp|host`, where `tcp` does not map
 * the memory of peers on this host.
 *
 * It prints {"name", "address"} of its registered memory, then for each line of stdin, an
 * {@linkcode EngineOrder}, one line with an {@linkcode EngineTurn} or {"error"}. Transfers go through
 * the public asynchronous API, `te.ts`; callers are loops of one event loop that share the engine.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { EngineCode, type RegisteredMemory, type Segment, TransferEngine } from "../../te.ts";

/** Calls of `batch` transfers of `length` bytes each, by `callers` at a time, for `seconds`. */
export interface EngineOrder {
  op: "read" | "write";
  /** Name of the peer and address of its memory, in decimal. */
  peer: string;
  address: string;
  length: number;
  batch: number;
  callers: number;
  seconds: number;
}

/** Microseconds except for counts and `seconds`. */
export interface EngineTurn {
  /** Of one call. */
  p50_us: number;
  p99_us: number;
  /** Transfers, of all callers. */
  operations: number;
  /** The same with those of the warm-up. */
  served: number;
  seconds: number;
  /** User and system time of this process, per transfer. */
  cpu_us: number;
}

const WARM_UP = 2;

async function turn(
  engine: TransferEngine,
  segment: Segment,
  local: RegisteredMemory,
  { op, address, length, batch, callers, seconds }: EngineOrder,
): Promise<EngineTurn> {
  const callOf = (caller: number) => {
    const requests = Array.from({ length: batch }, (_, i) => {
      const localOffset = (caller * batch + i) * length;
      const remoteAddress = BigInt(address) + BigInt(localOffset);
      return { opcode: op, segment, remoteAddress, local, localOffset, length };
    });
    return async () => {
      const codes = await engine.transferSync(requests);
      const failed = codes.findIndex((code) => code !== EngineCode.OK);
      if (failed >= 0) throw new Error(engine.explain(requests[failed], codes[failed]));
    };
  };
  const calls = Array.from({ length: callers }, (_, i) => callOf(i));
  for (const once of calls) for (let i = 0; i < WARM_UP; i++) await once();

  const latencies: number[] = [];
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const end = begun + seconds * 1000;
  await Promise.all(calls.map(async (once) => {
    let now = performance.now();
    do {
      await once();
      const after = performance.now();
      latencies.push(after - now);
      now = after;
    } while (now < end);
  }));
  const spent = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  const operations = latencies.length * batch;
  return {
    p50_us: latencies[latencies.length >> 1] * 1000,
    p99_us: latencies[Math.floor(latencies.length * 0.99)] * 1000,
    operations,
    served: operations + WARM_UP * callers * batch,
    seconds: spent,
    cpu_us: (user + system) / operations,
  };
}

async function main(bytes: number, way: string): Promise<void> {
  await using engine = await TransferEngine.initialize({ forceTcp: way === "tcp" });
  const memory = await engine.registerMemory(bytes);
  memory.bytes.fill(0x5a);
  console.log(JSON.stringify({ name: engine.localName, address: String(memory.address) }));
  const segments = new Map<string, Segment>();
  for await (const line of createInterface({ input: process.stdin })) {
    const order: EngineOrder = JSON.parse(line);
    try {
      const segment = segments.get(order.peer) ?? await engine.openSegment(order.peer);
      segments.set(order.peer, segment);
      console.log(JSON.stringify(await turn(engine, segment, memory, order)));
    } catch (error) {
      console.log(JSON.stringify({ error: error instanceof Error ? error.message : error }));
    }
  }
}

await main(Number(Deno.args[0]), Deno.args[1]);

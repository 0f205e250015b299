/**
 * Latency and CPU of single transfers through the public API of an engine.
 *
 * As a program, `transfer_latency.ts BYTES` is Snowskin's engine in the role that
 * `wheel_engine.py` plays for the reference: it prints {"port", "address", "local"} of its published
 * memory, then for each line {"op": "read"|"write", "host", "port", "version", "address", "length",
 * "count"} and "local", if memory of the same host is to be reached directly,
 * of stdin one line with a {@linkcode LatencyResult}, or {"error"}.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import type { PeerAddress, Region, TransferEngine } from "../client/transfer/engine.ts";
import { Opcode } from "../client/transfer/engine.ts";
import { openEngine } from "../client/transfer/open_engine.ts";

/** `count` transfers of `length` bytes, one at a time, between `local` and the peer's `address`. */
export interface LatencyOrder {
  op: "read" | "write";
  address: bigint;
  length: number;
  count: number;
}

/** Microseconds, except for `seconds` (all transfers) and `loop_delay_ms` (latest a timer was). */
export interface LatencyResult {
  p50_us: number;
  p99_us: number;
  seconds: number;
  /** User and system time of this process, per transfer. */
  cpu_us: number;
  loop_delay_ms: number;
}

const TIMER_MS = 5;

/** Runs one order after a tenth of it as warm-up. Throws when a transfer fails. */
export async function measureLatency(
  engine: TransferEngine,
  peer: PeerAddress,
  local: Region,
  order: LatencyOrder,
): Promise<LatencyResult> {
  const id = engine.openPeer(peer);
  try {
    const operation = {
      opcode: order.op === "read" ? Opcode.READ : Opcode.WRITE,
      peer: id,
      remoteAddress: order.address,
      length: order.length,
      local,
      localOffset: 0,
    };
    const once = async () => {
      const code = await engine.transferOne(operation);
      if (code !== 0) throw new Error(`A ${order.op} of ${order.length} bytes failed: ${code}`);
    };
    for (let i = 0; i < order.count / 10; i++) await once();

    let loopDelay = 0;
    let due = performance.now() + TIMER_MS;
    const timer = setInterval(() => {
      const now = performance.now();
      loopDelay = Math.max(loopDelay, now - due);
      due = now + TIMER_MS;
    }, TIMER_MS);
    const latencies = new Float64Array(order.count);
    const cpu = process.cpuUsage();
    const begun = performance.now();
    for (let i = 0; i < order.count; i++) {
      const before = performance.now();
      await once();
      latencies[i] = performance.now() - before;
    }
    const seconds = (performance.now() - begun) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    clearInterval(timer);
    latencies.sort();
    return {
      p50_us: latencies[order.count >> 1] * 1000,
      p99_us: latencies[Math.floor(order.count * 0.99)] * 1000,
      seconds,
      cpu_us: (user + system) / order.count,
      loop_delay_ms: loopDelay,
    };
  } finally {
    engine.closePeer(id);
  }
}

async function main(bytes: number): Promise<void> {
  const { engine } = openEngine();
  await using owned = engine;
  const region = owned.allocate(bytes, { publish: true });
  await region.populate();
  const { port } = await owned.listen({ host: "127.0.0.1" });
  console.log(JSON.stringify({ port, address: String(region.remoteBase), local: owned.localName }));
  for await (const line of createInterface({ input: process.stdin })) {
    const { host, port, version, address, local, ...order } = JSON.parse(line);
    const peer = { host, port, protocolVersion: version, localName: local ?? "" };
    try {
      const result = await measureLatency(owned, peer, region, {
        ...order,
        address: BigInt(address),
      });
      console.log(JSON.stringify(result));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error) }));
    }
  }
}

if (import.meta.main) await main(Number(Deno.args[0]));

/** Engines in processes of their own: a client that is told what to move, a server that is idle. */
import { JsonPeer } from "../json_peer.ts";
import { cpuMicroseconds } from "../process_stat.ts";
import type { EngineOrder, EngineTurn } from "./engine_peer.ts";
import type { InstalledWheel } from "./section.ts";

const MEMORY_BYTES = 32 << 20;

/** One engine. */
export interface EngineProcess extends AsyncDisposable {
  readonly peer: JsonPeer;
  /** Its name and the address of its memory, as an order names them. */
  readonly target: Pick<EngineOrder, "peer" | "address">;
}

interface Hello {
  name: string;
  address: string;
}

async function start(
  name: string,
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<EngineProcess> {
  const { peer, hello } = await JsonPeer.start<Hello>(command, args, env, name);
  return {
    ...{ peer, target: { peer: hello.name, address: hello.address } },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}

/** Ours, which lends `bytes`; `host` maps memory of peers on this host, `tcp` does not. */
export function startOurs(way: "tcp" | "host", bytes = MEMORY_BYTES): Promise<EngineProcess> {
  const script = new URL("engine_peer.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", script, String(bytes), way];
  return start("Our engine", Deno.execPath(), args);
}

/** That of the wheel. */
export function startWheel(wheel: InstalledWheel): Promise<EngineProcess> {
  const script = new URL("wheel_engine.py", import.meta.url).pathname;
  const env = { MC_TCP_BIND_ADDRESS: "127.0.0.1" };
  return start("The wheel's engine", wheel.python, ["-B", script, String(MEMORY_BYTES)], env);
}

/** What a turn came to, with the processor time of the other side. */
export interface PairTurn extends EngineTurn {
  /** Of the server, per transfer, warm-up included. */
  serverCpuUs: number;
}

/** A client and the server whose memory it reads and writes. */
export class EnginePair {
  constructor(
    readonly name: string,
    readonly client: EngineProcess,
    readonly server: EngineProcess,
  ) {}

  /** One turn. Rejects with one line that names the pair when a transfer fails. */
  async turn(order: Omit<EngineOrder, "peer" | "address">): Promise<PairTurn> {
    const before = cpuMicroseconds(this.server.peer.pid);
    const result = await this.client.peer.ask<EngineTurn>({ ...order, ...this.server.target })
      .catch((error) => {
        throw new Error(`${this.name}: ${(error as Error).message}`);
      });
    const spent = cpuMicroseconds(this.server.peer.pid) - before;
    return { ...result, serverCpuUs: spent / result.served };
  }
}

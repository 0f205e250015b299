/** A store client in a process of its own, told what to put and get. */
import { JsonPeer } from "../json_peer.ts";
import type { InstalledWheel } from "./section.ts";
import type { StoreOrder, StoreTurn } from "./store_peer.ts";

const MIB = 1 << 20;
/** The largest value that is moved. */
export const BUFFER_BYTES = 16 * MIB;
/** Has a client read as if it knew no key: it asks the master, and waits for the answer first. */
export const FIRST_READS = { SNOWSKIN_EARLY_READS: "off", SNOWSKIN_HELD_READS: "off" };

export class StoreContestant implements AsyncDisposable {
  private constructor(readonly name: string, readonly peer: JsonPeer) {}

  /** Ours; `env` configures it. */
  static async ours(
    name: string,
    master: string,
    env: Record<string, string> = {},
  ): Promise<StoreContestant> {
    const script = new URL("store_peer.ts", import.meta.url).pathname;
    const args = ["run", "-A", "--no-check", script, master, String(BUFFER_BYTES)];
    const { peer } = await JsonPeer.start(Deno.execPath(), args, env, name);
    return new StoreContestant(name, peer);
  }

  /** That of the wheel, which lends `segmentBytes`. */
  static async wheel(
    name: string,
    wheel: InstalledWheel,
    master: string,
    segmentBytes: number,
  ): Promise<StoreContestant> {
    const script = new URL("wheel_store.py", import.meta.url).pathname;
    const args = ["-B", script, master, String(segmentBytes), String(BUFFER_BYTES)];
    const { peer } = await JsonPeer.start(
      ...[wheel.python, args, { MC_TCP_BIND_ADDRESS: "127.0.0.1" }, name] as const,
    );
    return new StoreContestant(name, peer);
  }

  /** One turn. Rejects with one line that names the contestant when an operation fails. */
  async turn(order: StoreOrder): Promise<StoreTurn> {
    return await this.peer.ask<StoreTurn>(order).catch((error) => {
      throw new Error(`${this.name}: ${(error as Error).message}`);
    });
  }

  /** Puts the values that gets of `length` bytes rotate over. */
  async fill(length: number, values: number): Promise<void> {
    await this.turn({ op: "fill", memory: "buffer", length, values, seconds: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.peer[Symbol.asyncDispose]();
  }
}

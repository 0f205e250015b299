/** The two stores that `measure.ts` compares: a client and a node of one kind, and a master. */
import type { StoreClient, StoreOptions } from "../../mod.ts";
import { referenceMaster } from "../support/masters.ts";
import { GuestMaster, pattern, WheelPeer } from "./guest.ts";

const SEGMENT = 256 << 20;

/** Milliseconds of each call. */
export interface CallTimes {
  putMs: number[];
  getMs: number[];
}

export interface MeasuredStore extends AsyncDisposable {
  /** Processes other than this one, by what they are. */
  readonly processes: Readonly<Record<string, number>>;
  /** Puts new keys of `size` bytes and gets them, one after the other. */
  round(size: number, count: number): Promise<CallTimes>;
}

/** Calls of a client of ours that is warming up which are under way at a time. */
const TOGETHER = 32;

/** Ours: the client and the node are in this process. */
export interface OurStore extends MeasuredStore {
  readonly client: StoreClient;
  readonly node: StoreClient;
  /** Puts and gets new keys, several at a time, so that code that is run often is compiled. */
  warmUp(size: number, count: number): Promise<void>;
  /** A further client. */
  connect(options: Partial<StoreOptions>): Promise<StoreClient>;
}

/** Milliseconds of a call. */
export async function timed(call: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await call();
  return performance.now() - begun;
}

export async function ourStore(): Promise<OurStore> {
  const master = await GuestMaster.start();
  const node = await master.client("rxe1", { globalSegmentSize: SEGMENT, localBufferSize: 0 });
  const client = await master.client("rxe0");
  let key = 0;
  return {
    client,
    node,
    processes: { master: master.pid },
    connect: (options) => master.client("rxe0", options),
    async warmUp(size, count) {
      const value = pattern(size);
      for (let i = 0; i < count; i += TOGETHER) {
        await Promise.all(Array.from({ length: TOGETHER }, async () => {
          const name = `ours-${++key}`;
          await client.put(name, value);
          await client.get(name);
        }));
      }
    },
    async round(size, count) {
      const value = pattern(size), times: CallTimes = { putMs: [], getMs: [] };
      for (let i = 0; i < count; i++) {
        const name = `ours-${++key}`;
        times.putMs.push(await timed(() => client.put(name, value)));
        times.getMs.push(await timed(() => client.get(name)));
      }
      return times;
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await node.close();
      await master[Symbol.asyncDispose]();
    },
  };
}

/** Its own master, told to be patient as ours is. */
async function wheelsMaster() {
  const { process, address } = await referenceMaster.start({ flags: ["--client_ttl=120"] });
  return { address, pid: process.child.pid, stop: async () => void await process.stop("SIGKILL") };
}

async function oursForIt() {
  const master = await GuestMaster.start();
  return { address: master.address, pid: master.pid, stop: () => master[Symbol.asyncDispose]() };
}

/** The published wheel's, with a master of ours or its own. */
export async function wheelStore(python: string, ownMaster: boolean): Promise<MeasuredStore> {
  const master = ownMaster ? await wheelsMaster() : await oursForIt();
  const node = await WheelPeer.start(python, master.address, SEGMENT, "rxe1");
  const client = await WheelPeer.start(python, master.address, 0, "rxe0");
  let number = 0;
  return {
    processes: { client: client.pid, node: node.pid, master: master.pid },
    async round(size, count) {
      const answer = await client.ask({ do: "time", size, count, round: ++number });
      const { put, get } = answer as { put: number[]; get: number[] };
      const inMs = (seconds: number) => 1000 * seconds;
      return { putMs: put.map(inMs), getMs: get.map(inMs) };
    },
    async [Symbol.asyncDispose]() {
      for (const part of [client, node]) await part[Symbol.asyncDispose]();
      await master.stop();
    },
  };
}

/** The two stores that `measure.ts` compares: a client and a node of one kind. */
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
  /** Puts go to its own node; that of the other store is in the same pool, alive or not. */
  readonly there: { readonly preferredSegment: string };
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

/** What a store needs of its master. */
export type MeasuredMaster = Pick<GuestMaster, "address" | "pid">;

export async function ourStore(master: GuestMaster): Promise<OurStore> {
  const node = await master.client("rxe1", { globalSegmentSize: SEGMENT, localBufferSize: 0 });
  const client = await master.client("rxe0");
  const there = { preferredSegment: node.hostname };
  let key = 0;
  return {
    client,
    node,
    there,
    processes: { master: master.pid },
    connect: (options) => master.client("rxe0", options),
    async warmUp(size, count) {
      const value = pattern(size);
      for (let i = 0; i < count; i += TOGETHER) {
        await Promise.all(Array.from({ length: TOGETHER }, async () => {
          const name = `ours-${++key}`;
          await client.put(name, value, there);
          await client.get(name);
        }));
      }
    },
    async round(size, count) {
      const value = pattern(size), times: CallTimes = { putMs: [], getMs: [] };
      for (let i = 0; i < count; i++) {
        const name = `ours-${++key}`;
        times.putMs.push(await timed(() => client.put(name, value, there)));
        times.getMs.push(await timed(() => client.get(name)));
      }
      return times;
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await node.close();
    },
  };
}

/** The wheel's own master, told to be patient as ours is. */
export async function wheelsMaster(): Promise<MeasuredMaster & AsyncDisposable> {
  const { process, address } = await referenceMaster.start({ flags: ["--client_ttl=120"] });
  return {
    ...{ address, pid: process.child.pid },
    [Symbol.asyncDispose]: async () => void await process.stop("SIGKILL"),
  };
}

export async function wheelStore(python: string, master: MeasuredMaster): Promise<MeasuredStore> {
  const node = await WheelPeer.start(python, master.address, SEGMENT, "rxe1");
  const client = await WheelPeer.start(python, master.address, 0, "rxe0");
  const { hostname: segment } = await node.ask({ do: "hostname" });
  let number = 0;
  return {
    processes: { client: client.pid, node: node.pid, master: master.pid },
    async round(size, count) {
      const answer = await client.ask({ do: "time", size, count, round: ++number, segment });
      const { put, get } = answer as { put: number[]; get: number[] };
      const inMs = (seconds: number) => 1000 * seconds;
      return { putMs: put.map(inMs), getMs: get.map(inMs) };
    },
    async [Symbol.asyncDispose]() {
      for (const part of [client, node]) await part[Symbol.asyncDispose]();
    },
  };
}

import assert from "node:assert/strict";
import type { StoreContext } from "../../client/context.ts";
import { Hedges } from "../../client/hedges.ts";
import { readObject } from "../../client/read.ts";
import type { StoreError } from "../../proto/error.ts";
import type { ReplicaDescriptor } from "../../proto/types.ts";
import type { Fault } from "./fault_engine.ts";
import { replica, StoreFixture } from "./store_context.ts";

export const A = "10.0.0.2:9";
export const B = "10.0.0.3:9";
export const key: Uint8Array<ArrayBuffer> = new TextEncoder().encode("k");

/** A client and two peers that hold the same byte, with the faults of the first one. */
export class TwoReplicas {
  readonly t = new StoreFixture();
  store: StoreContext = this.t.store;
  readonly replicas: ReplicaDescriptor[] = [];

  /** `hedgePercent` as the client's setting. */
  static async open(
    fault: Fault | null,
    names = [A, B],
    hedgePercent = 0,
  ): Promise<TwoReplicas> {
    const pair = new TwoReplicas();
    pair.store = { ...pair.t.store, hedges: new Hedges(hedgePercent) };
    for (const name of names) {
      const { region } = await pair.t.peer(name);
      region.bytes.fill(8);
      pair.replicas.push(replica(name, region, 1));
    }
    const value = { replicas: pair.replicas, leaseTtlMs: 10_000, objectChecksum: null };
    pair.t.answers = {
      GetReplicaList: () => ({ code: 0, value }),
      BatchGetReplicaList: ({ keys }: { keys: unknown[] }) => keys.map(() => ({ code: 0, value })),
      PutStart: () => ({ code: 0, value: pair.replicas }),
      PutRevoke: () => ({ code: 0, value: null }),
    };
    pair.t.faults.plan = (peer) => peer === A ? fault : null;
    return pair;
  }

  /** Moves the time on until `work` has settled; resolves with it and the time that it took. */
  async settled<T>(
    work: Promise<T>,
    stepMs = 10,
  ): Promise<{ value?: T; error?: unknown; tookMs: number }> {
    const { clock } = this.t;
    const begun = clock.now();
    let done = false;
    const outcome = work.then((value) => ({ value }), (error) => ({ error }))
      .finally(() => done = true);
    while (!done && clock.now() - begun < 120_000) await clock.advance(stepMs);
    return { ...await outcome, tookMs: clock.now() - begun };
  }

  async read(store: StoreContext = this.store, stepMs = 10): Promise<number> {
    const local = new Uint8Array(1);
    const { error, tookMs } = await this.settled(
      readObject(store, key, () => [{ offset: 0, length: 1, local, localOffset: 0 }]),
      stepMs,
    );
    if (error !== undefined) throw Object.assign(error as StoreError, { tookMs });
    assert.equal(local[0], 8);
    return tookMs;
  }
}

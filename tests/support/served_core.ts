/** A core behind a dispatcher with every call of the master, beside a twin that is asked directly. */
import assert from "node:assert/strict";
import type { CoreConfig } from "../../master/core/api.ts";
import { ClusterCalls } from "../../master/rpc/cluster_calls.ts";
import { MovementCalls } from "../../master/rpc/movement_calls.ts";
import { ObjectCalls } from "../../master/rpc/object_calls.ts";
import { ScanCalls } from "../../master/rpc/scan_calls.ts";
import { Replies } from "../../master/rpc/replies.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import type { ReplicaDescriptor, ReplicaList, Segment } from "../../proto/types.ts";
import { clientId, CoreDriver, type SeenReplica, segmentOf } from "./core_driver.ts";
import { DispatcherDriver } from "./dispatcher.ts";

export interface ServedCoreOptions {
  core?: Partial<CoreConfig>;
  putWaitMs?: number;
  maxKeyBytes?: number;
  maxAnswerBytes?: number;
}

/**
 * The same calls made through `rpc` and on `twin` must have the same results: both begin alike, see
 * the same time and draw the same random numbers.
 */
export class ServedCore {
  readonly rpc: DispatcherDriver;
  readonly twin: CoreDriver;
  /** The core behind `rpc`. */
  readonly served: CoreDriver;
  /** Sizes of the objects that got their space. */
  readonly sizes: number[] = [];
  /** What was counted: name, items, failed items. */
  readonly counted: [name: string, items: number, failed: number][] = [];
  /** Lines about refused patterns. */
  readonly refusals: string[] = [];
  readonly #segments: Segment[] = [];

  constructor(options: ServedCoreOptions = {}) {
    this.served = new CoreDriver(options.core);
    this.twin = new CoreDriver(options.core);
    const { core } = this.served;
    const replies = new Replies();
    const entries = [
      ...new ObjectCalls(core, replies.writer, {
        maxKeyBytes: options.maxKeyBytes ?? 1 << 20,
        ...(options.maxAnswerBytes !== undefined && { maxAnswerBytes: options.maxAnswerBytes }),
        onSize: (bytes) => this.sizes.push(bytes),
      }).entries(),
      ...new ClusterCalls(core, {
        storage: { fsdir: "", enableDiskEviction: true, quotaBytes: 0 },
      }).entries(),
      ...new MovementCalls(core).entries(),
      ...new ScanCalls(core, {
        maxListingBytes: options.maxAnswerBytes ?? 1 << 20,
        onRefusal: (line) => this.refusals.push(line),
      }).entries(),
    ];
    const functions = entries.map((entry) => ({
      ...entry,
      meter: {
        served: (items: number, failed: number) => this.counted.push([entry.name, items, failed]),
      },
    }));
    const putWaitMs = options.putWaitMs ?? 0;
    this.rpc = new DispatcherDriver({ functions, replies, putWaitMs });
    this.rpc.nowMs = this.twin.nowMs;
  }

  /** Mounts a segment on both, of client 1. */
  mount(id: number, size: number, teEndpoint = `node-${id}:1`): Segment {
    const segment = { ...segmentOf(id, `segment-${id}`, size), teEndpoint };
    for (const { core } of [this.served, this.twin]) {
      core.cluster.mountSegment(segment, clientId(1));
      core.cluster.remountSegments([segment], clientId(1));
    }
    this.#segments.push(segment);
    return segment;
  }

  /** Lets time pass on both. */
  pass(ms: number): void {
    this.served.pass(ms);
    this.twin.pass(ms);
    this.rpc.nowMs = this.twin.nowMs;
  }

  /** The answer to a start that had this code on the twin. */
  expectedStart(code: number): Expected<ReplicaDescriptor[]> {
    if (code !== ErrorCode.OK) return { code, value: null };
    return { code: 0, value: this.#descriptors(this.twin.sink.replicas) };
  }

  /** The answer to a get that had this code on the twin. */
  expectedGet(code: number): Expected<ReplicaList> {
    if (code !== ErrorCode.OK) return { code, value: null };
    const { replicas, leaseTtlMs, sum: objectChecksum } = this.twin.sink;
    return {
      code: 0,
      value: { replicas: this.#descriptors(replicas), leaseTtlMs, objectChecksum },
    };
  }

  /** The answer to a listing of keys that had this count, or code, on the twin. */
  expectedMatches(count: number): Expected<[string, ReplicaDescriptor[]][]> {
    if (count < 0) return { code: count, value: null };
    const { matches } = this.twin.sink;
    assert.equal(matches.length, count);
    const value = matches.splice(0).map(({ key, replicas }): [string, ReplicaDescriptor[]] => [
      key,
      this.#descriptors(replicas),
    ]);
    return { code: 0, value };
  }

  #descriptors(replicas: SeenReplica[]): ReplicaDescriptor[] {
    return replicas.map(({ kind, id, status, size, segment, offset, path }) => {
      if (kind === "disk") {
        return { id, status, location: { kind, filePath: path, objectSize: size } };
      }
      if (kind === "local_disk") {
        const [owner, transportEndpoint] = path.split("@");
        return {
          ...{ id, status },
          location: { kind, clientId: owner, objectSize: size, transportEndpoint },
        };
      }
      const { base, teEndpoint, protocol } = this.#segments[segment];
      const buffer = {
        ...{ size, bufferAddress: base + BigInt(offset), protocol },
        transportEndpoint: teEndpoint,
      };
      return { id, status, location: { kind, buffer } };
    });
  }
}

import { beginRequest, endRequest, REQUEST_HEADER_BYTES } from "../../proto/coro_rpc/header.ts";
import { appendWriteId } from "../../proto/coro_rpc/write_id.ts";
import * as m from "../../proto/messages.ts";
import { objectChecksum } from "../../proto/object_checksum.ts";
import type { Rpc } from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { type ReplicateConfig, ReplicaType, type Segment } from "../../proto/types.ts";
import type { CoreConfig } from "../core/api.ts";
import { MasterCore } from "../core/core.ts";
import type { PageSource } from "../core/pages.ts";
import { SeededRng } from "../core/rng.ts";
import { FactBuffer } from "../journal/fact_buffer.ts";
import { Dispatcher } from "./dispatcher.ts";
import { ObjectCalls } from "./object_calls.ts";
import { Replies } from "./replies.ts";

/** Rounds after which the engine has compiled what it will compile of the calls. */
const ROUNDS = 3000;
/** Milliseconds of one step, about. */
const STEP_MS = 2;
/** Every so many rounds are followed by the calls for several keys, of so many keys. */
const BATCH = 16;
const SEGMENT_BYTES = 64 << 20;
const VALUE_BYTES = 1024;

const clientId = "1-1";
const tenantId = new TextEncoder().encode("default");
const segment: Segment = {
  ...{ id: "1-1", name: "warm-up", base: 1n << 40n, size: SEGMENT_BYTES },
  ...{ teEndpoint: "warm-up:1", protocol: "tcp", hostId: "" },
};
const config: ReplicateConfig = {
  ...{ replicaNum: 1, nofReplicaNum: 0, dfsReplicaNum: 0, softPinAction: 0, softPinTtlMs: null },
  ...{ withHardPin: false, preferredSegments: [], preferredSegment: "", preferredNofSegments: [] },
  ...{ preferAllocInSameNode: false, dataType: 0, hostId: "", groupIds: null },
};

/**
 * Runs the calls of engines on a core of its own, which holds nothing of anybody, so that the
 * JavaScript engine has compiled them before the first requests come: the first ten thousand calls
 * of a cold master cost about half as much again.
 */
export class WarmUp {
  readonly #writer = new Writer();
  readonly #replies = new Replies();
  readonly #facts = new FactBuffer(() => this.#facts.clear());
  readonly #core: MasterCore;
  readonly #dispatcher: Dispatcher;
  readonly #clock: () => number;
  #keys: Uint8Array[] = [];
  #round = 0;

  /** `pages` are those of the core that will serve: code is compiled for what it has met. */
  constructor(coreConfig: CoreConfig, pages: PageSource, clock: () => number) {
    this.#clock = clock;
    const changed = { lifeEvents: 64, maxReservedShare: 0.5 };
    this.#core = new MasterCore({ ...coreConfig, ...changed }, new SeededRng(1), pages);
    this.#core.attachFacts(this.#facts);
    this.#core.cluster.mountSegment(segment, clientId);
    this.#core.cluster.remountSegments([segment], clientId);
    const { writer } = this.#replies;
    const calls = new ObjectCalls(this.#core, writer, { maxKeyBytes: 1 << 10, onSize() {} });
    this.#dispatcher = new Dispatcher({
      functions: calls.entries().map((entry) => ({ ...entry, meter: allOf(entry.name) })),
      replies: this.#replies,
      putWaitMs: 0,
      changes: () => this.#facts.told,
      onFault(name, error) {
        throw new Error(`${name} failed`, { cause: error });
      },
    });
  }

  /** Objects that the core of its own holds. */
  get keyCount(): number {
    return this.#core.keyCount;
  }

  /** Goes on for some milliseconds. Returns whether there is more to do. */
  step(): boolean {
    const endMs = this.#clock() + STEP_MS;
    while (this.#round < ROUNDS && this.#clock() < endMs) this.#run(this.#round++);
    return this.#round < ROUNDS;
  }

  #run(round: number): void {
    const key = new TextEncoder().encode(`warm-up/${String(round).padStart(54, "0")}`);
    this.#keys.push(key);
    const objectMeta = { key, objectChecksum: null };
    this.#ask(m.PutStart, { clientId, key, sliceLength: VALUE_BYTES, tenantId, config });
    this.#ask(m.PutEnd, { clientId, objectMeta, replicaType: ReplicaType.ALL, tenantId });
    this.#runReserved(round);
    this.#ask(m.ExistKey, { key, tenantId });
    this.#ask(m.GetReplicaList, { key, tenantId });
    if (this.#keys.length === BATCH) this.#runBatch(this.#keys.splice(0));
  }

  /** A put into memory that the one before has reserved. */
  #runReserved(round: number): void {
    const key = new TextEncoder().encode(`warm-up/reserved/${round}`);
    const reserved = this.#core.reservations.count > 0;
    const sliceLength = VALUE_BYTES;
    const writeId = 1 + round;
    if (!reserved) this.#ask(m.PutStart, { clientId, key, sliceLength, tenantId, config }, writeId);
    const objectMeta = { key, objectChecksum: objectChecksum(round) };
    const next = { nextWriteId: writeId + 1, sliceLength, config };
    this.#ask(m.EndAndReserve, { clientId, objectMeta, reserved, ...next, tenantId }, writeId);
    this.#ask(m.Remove, { key, force: true, tenantId });
  }

  #runBatch(keys: Uint8Array[]): void {
    this.#ask(m.BatchExistKey, { keys, tenantId });
    this.#ask(m.BatchGetReplicaList, { keys, tenantId });
    this.#ask(m.BatchRemove, { keys, force: true, tenantId });
    const sliceLengths = keys.map(() => VALUE_BYTES);
    this.#ask(m.BatchPutStart, { clientId, keys, sliceLengths, tenantId, config });
    const objectMetas = keys.map((key) => ({ key, objectChecksum: null }));
    this.#ask(m.BatchPutEnd, { clientId, objectMetas, replicaType: ReplicaType.ALL, tenantId });
    this.#ask(m.BatchRemove, { keys, force: true, tenantId });
  }

  #ask<Q, R>(rpc: Rpc<Q, R>, request: Q, writeId = 0): void {
    const writer = this.#writer;
    writer.reset();
    const at = beginRequest(writer, 0, rpc.functionId);
    rpc.request!.encode(writer, request, { literal: true });
    const end = writer.length;
    if (writeId > 0) appendWriteId(writer, writeId);
    endRequest(writer, at, writer.length - end);
    const { bytes } = writer;
    const { functionId } = rpc;
    const start = REQUEST_HEADER_BYTES;
    this.#replies.clear();
    this.#dispatcher.request(
      ...[0, 0, functionId, bytes, start, end, bytes.length, this.#clock()] as const,
    );
    this.#facts.clear();
  }
}

/** Throws when a call that cannot fail has failed. */
function allOf(name: string) {
  return {
    served(items: number, failed: number) {
      if (failed > 0) throw new Error(`${failed} of ${items} items of ${name} failed`);
    },
  };
}

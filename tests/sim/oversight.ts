/** What a master promises in its answers, and whether a later answer breaks it. */
import * as m from "../../proto/messages.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import type { Expected } from "../../proto/messages.ts";
import type { ReplicaDescriptor, ReplicaList } from "../../proto/types.ts";
import { Promises } from "./promises.ts";
import type { Frame, Served } from "./wire.ts";

/** In place of the key of what is reserved. */
const NO_KEY = new Uint8Array(0);

export interface OversightOptions {
  nowMs: () => number;
  /** Time for which memory that was given to a writer is the writer's. */
  releaseTimeoutMs: () => number;
}

/** Sees every request on its way and every answer at the moment at which the master gives it. */
export class Oversight {
  readonly #options: OversightOptions;
  readonly #promises = new Promises();
  /** Writers with numbers that have ended or revoked, perhaps before they were answered. */
  readonly #done = new Set<string>();

  constructor(options: OversightOptions) {
    this.#options = options;
  }

  /** Compares what the master answers with what it has promised before. */
  served({ frame, response }: Served): void {
    const { rpc, request } = frame;
    switch (rpc.name) {
      case m.GetReplicaList.name:
        return this.#leased([response as Expected<ReplicaList>], frame.readMs!);
      case m.BatchGetReplicaList.name:
        return this.#leased(response as Expected<ReplicaList>[], frame.readMs!);
      case m.PutStart.name:
      case m.UpsertStart.name: {
        const { clientId, key } = request as m.StartRequest;
        return this.#given(frame, clientId, [key], [response as Expected<ReplicaDescriptor[]>]);
      }
      case m.EndAndReserve.name:
        return this.#reserved(frame, response as Expected<m.ReservedMemory>);
      case m.BatchPutStart.name:
      case m.BatchUpsertStart.name: {
        const { clientId, keys } = request as m.BatchStartRequest;
        return this.#given(frame, clientId, keys, response as Expected<ReplicaDescriptor[]>[]);
      }
    }
  }

  /**
   * A writer that says that it is done, however that ends, writes no more, unless it begins anew:
   * that is what a client does whose start was not answered before another master led.
   */
  sent({ rpc, request, writeId }: Frame): void {
    switch (rpc.name) {
      case m.PutStart.name:
      case m.UpsertStart.name: {
        const { clientId, key } = request as m.StartRequest;
        this.#done.delete(writerName(writeId, clientId, key));
        return;
      }
      case m.EndAndReserve.name: {
        const { clientId, objectMeta, reserved, nextWriteId } = request as m.EndAndReserveRequest;
        this.#done.delete(writerName(nextWriteId, clientId, NO_KEY));
        // What was reserved is the writer's until the master says that it has become an object.
        if (!reserved) this.#settle(writeId, clientId, [objectMeta.key]);
        return;
      }
      case m.GiveBack.name: {
        const { clientId, reservations } = request as m.GiveBackRequest;
        for (const { writeId } of reservations) this.#settle(writeId, clientId, [NO_KEY]);
        return;
      }
      case m.BatchPutStart.name:
      case m.BatchUpsertStart.name: {
        const { clientId, keys } = request as m.BatchStartRequest;
        for (const key of keys) this.#done.delete(writerName(writeId, clientId, key));
        return;
      }
      case m.PutEnd.name:
      case m.UpsertEnd.name: {
        const { clientId, objectMeta } = request as m.EndRequest;
        return this.#settle(writeId, clientId, [objectMeta.key]);
      }
      case m.BatchPutEnd.name:
      case m.BatchUpsertEnd.name: {
        const { clientId, objectMetas } = request as m.BatchEndRequest;
        return this.#settle(writeId, clientId, objectMetas.map(({ key }) => key));
      }
      case m.PutRevoke.name:
      case m.UpsertRevoke.name: {
        const { clientId, key } = request as m.RevokeRequest;
        return this.#settle(writeId, clientId, [key]);
      }
      case m.BatchPutRevoke.name:
      case m.BatchUpsertRevoke.name: {
        const { clientId, keys } = request as m.BatchRevokeRequest;
        return this.#settle(writeId, clientId, keys);
      }
    }
  }

  #leased(answers: readonly Expected<ReplicaList>[], readMs: number): void {
    for (const { value } of answers) {
      if (value === null) continue;
      this.#promises.promise(value.replicas, readMs + value.leaseTtlMs, "a reader");
    }
  }

  #reserved(frame: Frame, { code, value }: Expected<m.ReservedMemory>): void {
    const { clientId, reserved, nextWriteId } = frame.request as m.EndAndReserveRequest;
    if (reserved && (code === ErrorCode.OK || code === ErrorCode.INVALID_WRITE)) {
      this.#settle(frame.writeId, clientId, [NO_KEY]);
    }
    const given = { ...frame, writeId: nextWriteId };
    if (value !== null) this.#given(given, clientId, [NO_KEY], [{ code, value: value.replicas }]);
  }

  #given(
    { sentMs, writeId }: Frame,
    client: string,
    keys: readonly Uint8Array[],
    answers: readonly Expected<ReplicaDescriptor[]>[],
  ): void {
    const nowMs = this.#options.nowMs();
    const releaseTimeoutMs = this.#options.releaseTimeoutMs();
    for (const [i, { value }] of answers.entries()) {
      if (value === null) continue;
      const to = writerName(writeId, client, keys[i]);
      this.#promises.checkGiven(value, nowMs, to);
      if (this.#done.has(to)) continue;
      this.#promises.promise(value, sentMs + releaseTimeoutMs, to);
    }
  }

  #settle(writeId: number, client: string, keys: readonly Uint8Array[]): void {
    for (const key of keys) {
      const name = writerName(writeId, client, key);
      this.#promises.release(name);
      if (writeId !== 0) this.#done.add(name);
    }
  }
}

function writerName(writeId: number, client: string, key: Uint8Array): string {
  return `${client}, the writer of ${new TextDecoder().decode(key)} (${writeId}),`;
}

import { ErrorCode } from "../../proto/error_code.ts";
import type { GivenBack } from "../../proto/messages.ts";
import type { ReplicateConfig, Uuid } from "../../proto/types.ts";
import type { Checksum, ReplicaSink, Writer } from "./api.ts";
import { endReserved, giveBack, reserveWrite, useWithinMs } from "./reserved_writes.ts";
import type { CoreState } from "./state.ts";

/**
 * Memory that clients have reserved for puts to come. A `writer` names a reservation, as it names a
 * write that was started.
 */
export class ReservationApi {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** Reservations there are now. */
  get count(): number {
    return this.#state.objects.reserved.size;
  }

  /** Milliseconds within which a client has to begin to write into a reservation. */
  get useWithinMs(): number {
    return useWithinMs(this.#state.config);
  }

  /** Bytes of the value whose put {@linkcode ReservationApi.end} has ended last. */
  get endedSize(): number {
    return this.#state.request.size;
  }

  /** See {@linkcode reserveWrite}. */
  reserve(
    writer: Writer,
    tenant: number,
    size: number,
    config: ReplicateConfig,
    nowMs: number,
    sink: ReplicaSink,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return reserveWrite(this.#state, writer, tenant, size, config, nowMs, sink);
  }

  /** See {@linkcode endReserved}. */
  end(
    writer: Writer,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    checksum: Checksum | null,
    nowMs: number,
  ): ErrorCode {
    if (this.#state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    return endReserved(this.#state, writer, tenant, bytes, start, end, checksum, nowMs);
  }

  /** Takes reservations back, see {@linkcode giveBack}. PERSISTENT_FAIL. */
  giveBack(
    clientId: Uuid,
    tenant: number,
    reservations: readonly GivenBack[],
    nowMs: number,
  ): ErrorCode {
    const state = this.#state;
    if (state.readOnly) return ErrorCode.PERSISTENT_FAIL;
    const client = state.clients.find(clientId);
    state.clients.hold(client);
    for (const { writeId, written } of reservations) {
      giveBack(state, { client, writeId }, tenant, written, nowMs);
    }
    state.clients.letGo();
    return ErrorCode.OK;
  }
}

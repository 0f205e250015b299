/** Puts into memory that was reserved ahead: calls of ours, see `proto/messages/ours.ts`. */
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { beginBody, openBody } from "../../proto/struct_pack/codec.ts";
import { widthFor } from "../../proto/struct_pack/writer.ts";
import { ReplicaType } from "../../proto/types.ts";
import type { Writer as KeyWriter } from "../core/api.ts";
import type { MasterCore } from "../core/core.ts";
import { type Call, Outcome } from "./call.ts";
import { ConfigReader } from "./config_reader.ts";
import type { KeyList } from "./key_list.ts";
import { awaitsReaders, count, Metered, metered, takeTenant, writeError } from "./object_parts.ts";
import { done, type HandlerEntry, handWritten, plainCall } from "./plain_call.ts";
import type { ReplicaEncoder } from "./replica_encoder.ts";
import { TenantAccess, type TenantDoor } from "./tenant_door.ts";
import type { WriteCallOptions } from "./write_calls.ts";

const CLIENT_ID_BYTES = 16;
/** Reservations that one call may give back. */
const MOST_GIVEN_BACK = 1024;

export class ReservedCalls {
  readonly #core: MasterCore;
  readonly #keys: KeyList;
  readonly #encoder: ReplicaEncoder;
  readonly #door: TenantDoor;
  readonly #options: WriteCallOptions;
  readonly #configs = new ConfigReader();
  readonly #writer: KeyWriter = { client: 0, writeId: 0 };

  constructor(
    core: MasterCore,
    keys: KeyList,
    encoder: ReplicaEncoder,
    door: TenantDoor,
    options: WriteCallOptions,
  ) {
    this.#core = core;
    this.#keys = keys;
    this.#encoder = encoder;
    this.#door = door;
    this.#options = options;
  }

  entries(): HandlerEntry[] {
    return [
      handWritten(m.EndAndReserve, (call) => this.#endAndReserve(call)),
      plainCall(m.GiveBack, (request, nowMs) => done(this.#giveBack(request, nowMs))),
    ];
  }

  #endAndReserve(call: Call): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    const core = this.#core;
    const by = this.#writer;
    openBody(reader, m.EndAndReserve.request!);
    const clientAt = reader.skip(CLIENT_ID_BYTES);
    this.#keys.readMeta(reader);
    const reserved = reader.bool();
    const nextWriteId = reader.u64Number();
    const size = reader.u64Number();
    const config = this.#configs.read(reader);
    const access = reserved ? TenantAccess.CREATE : TenantAccess.CHANGE;
    const named = takeTenant(this.#door, reader, access);
    // A write that was started has been metered then.
    const tenant = reserved ? metered(core, call, named, 1, Metered.BYTES) : named;
    beginBody(writer, m.EndAndReserve.response, widthFor(core.segments.longestText), false);
    by.client = core.findClient(reader.bytes, clientAt);
    by.writeId = call.writeId;
    core.holdClient(by.client);
    const code = tenant < 0 ? tenant as ErrorCode : this.#end(call, tenant, reserved);
    if (awaitsReaders(call, code, 0)) {
      core.letGoClient();
      return Outcome.HELD;
    }
    count(call, code);
    if (code < 0) writeError(writer, code);
    else if (nextWriteId === 0 || !this.#reserve(tenant, nextWriteId, size, config, nowMs)) {
      this.#encoder.begin(0, 0);
      this.#encoder.endReserved(0);
    }
    core.letGoClient();
    return Outcome.DONE;
  }

  #end(call: Call, tenant: number, reserved: boolean): ErrorCode {
    const { reader: { bytes }, nowMs } = call;
    const { reservations, tenants } = this.#core;
    const keys = this.#keys;
    const start = keys.starts[0];
    const end = keys.ends[0];
    const sum = { low: keys.sumLows[0], high: keys.sumHighs[0] };
    const checksum = keys.summed[0] === 0 ? null : sum;
    const by = this.#writer;
    if (!reserved) {
      return this.#core.putEnd(by, tenant, bytes, start, end, checksum, ReplicaType.ALL, nowMs);
    }
    if (end - start > this.#options.maxKeyBytes) return ErrorCode.INVALID_KEY;
    const code = reservations.end(by, tenant, bytes, start, end, checksum, nowMs);
    if (code === ErrorCode.OK) {
      this.#options.onSize(reservations.endedSize);
      tenants.spend(tenant, reservations.endedSize);
    }
    return code;
  }

  /** Reserves memory and describes it; whether there is any. */
  #reserve(
    tenant: number,
    writeId: number,
    size: number,
    config: m.EndAndReserveRequest["config"],
    nowMs: number,
  ): boolean {
    const { reservations } = this.#core;
    const encoder = this.#encoder;
    this.#writer.writeId = writeId;
    const code = reservations.reserve(this.#writer, tenant, size, config, nowMs, encoder);
    if (code !== ErrorCode.OK) return false;
    encoder.endReserved(reservations.useWithinMs);
    return true;
  }

  #giveBack({ clientId, tenantId, reservations }: m.GiveBackRequest, nowMs: number): ErrorCode {
    const tenant = this.#door.enter(tenantId, 0, tenantId.length, TenantAccess.CHANGE);
    if (tenant < 0) return tenant as ErrorCode;
    if (reservations.length > MOST_GIVEN_BACK) return ErrorCode.INVALID_PARAMS;
    return this.#core.reservations.giveBack(clientId, tenant, reservations, nowMs);
  }
}

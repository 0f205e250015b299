/** Puts and upserts: start, end and revoke, each for one key and for many. */
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { Rpc } from "../../proto/messages.ts";
import { openBody } from "../../proto/struct_pack/codec.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { type SizeWidth, widthFor } from "../../proto/struct_pack/writer.ts";
import { type ReplicateConfig, ReplicaType } from "../../proto/types.ts";
import type { Writer as KeyWriter } from "../core/api.ts";
import type { MasterCore } from "../core/core.ts";
import { Counter } from "../core/counters.ts";
import { type Call, Outcome } from "./call.ts";
import { ConfigReader } from "./config_reader.ts";
import type { KeyList } from "./key_list.ts";
import {
  awaitsReaders,
  beginList,
  count,
  Metered,
  metered,
  refuseAll,
  takeKeys,
  takeTenant,
  writeDone,
  writeError,
} from "./object_parts.ts";
import { type HandlerEntry, handWritten } from "./plain_call.ts";
import type { ReplicaEncoder } from "./replica_encoder.ts";
import { TenantAccess, type TenantDoor } from "./tenant_door.ts";

const CLIENT_ID_BYTES = 16;

/** How the calls of one kind differ. */
interface Variant {
  batch: boolean;
  upsert: boolean;
}

const PUT = { batch: false, upsert: false };
const UPSERT = { batch: false, upsert: true };
const BATCH_PUT = { batch: true, upsert: false };
const BATCH_UPSERT = { batch: true, upsert: true };

export interface WriteCallOptions {
  /** A put of a longer key is refused. */
  maxKeyBytes: number;
  /** Told the size in bytes of each object that gets its space. */
  onSize: (bytes: number) => void;
}

export class WriteCalls {
  readonly #core: MasterCore;
  readonly #keys: KeyList;
  readonly #encoder: ReplicaEncoder;
  readonly #door: TenantDoor;
  readonly #options: WriteCallOptions;
  readonly #configs = new ConfigReader();
  readonly #writer: KeyWriter = { client: 0, writeId: 0 };
  readonly #sum = { low: 0, high: 0 };

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

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    return [
      handWritten(m.PutStart, (call) => this.#start(call, m.PutStart, PUT)),
      handWritten(m.UpsertStart, (call) => this.#start(call, m.UpsertStart, UPSERT)),
      handWritten(m.BatchPutStart, (call) => this.#start(call, m.BatchPutStart, BATCH_PUT)),
      handWritten(
        m.BatchUpsertStart,
        (call) => this.#start(call, m.BatchUpsertStart, BATCH_UPSERT),
      ),
      handWritten(m.PutEnd, (call) => this.#end(call, m.PutEnd, PUT)),
      handWritten(m.UpsertEnd, (call) => this.#end(call, m.UpsertEnd, UPSERT)),
      handWritten(m.BatchPutEnd, (call) => this.#end(call, m.BatchPutEnd, BATCH_PUT)),
      handWritten(m.BatchUpsertEnd, (call) => this.#end(call, m.BatchUpsertEnd, BATCH_UPSERT)),
      handWritten(m.PutRevoke, (call) => this.#revoke(call, m.PutRevoke, PUT)),
      handWritten(m.UpsertRevoke, (call) => this.#revoke(call, m.UpsertRevoke, UPSERT)),
      handWritten(m.BatchPutRevoke, (call) => this.#revoke(call, m.BatchPutRevoke, BATCH_PUT)),
      handWritten(
        m.BatchUpsertRevoke,
        (call) => this.#revoke(call, m.BatchUpsertRevoke, BATCH_UPSERT),
      ),
    ];
  }

  #start<Q, R>(call: Call, rpc: Rpc<Q, R>, variant: Variant): Outcome {
    const { reader, replies: { writer } } = call;
    const { batch } = variant;
    const keys = this.#keys;
    openBody(reader, rpc.request!);
    const clientAt = reader.skip(CLIENT_ID_BYTES);
    takeKeys(keys, reader, batch);
    if (batch) keys.readSizes(reader);
    else keys.readSize(reader);
    const config = this.#configs.read(reader);
    const named = takeTenant(this.#door, reader, TenantAccess.CREATE);
    const tenant = metered(this.#core, call, named, keys.count, Metered.BYTES);
    this.#writer.client = this.#core.internClient(reader.bytes, clientAt);
    this.#writer.writeId = call.writeId;

    const width = widthFor(Math.max(keys.count, this.#core.segments.longestText));
    if (call.resumeAt === 0) beginList(call, rpc, batch, keys.count, width);
    else if (writer.width < width) this.#widen(call, rpc, width);
    for (let i = call.resumeAt; i < keys.count; i++) {
      const code = tenant < 0
        ? tenant as ErrorCode
        : this.#startOne(call, variant, tenant, config, i);
      if (call.nowMs < call.waitUntilMs && this.#mayWait(code, variant, reader.bytes, i)) {
        call.resumeAt = i;
        if (i === 0) call.replies.restartBody();
        return Outcome.WAIT;
      }
      if (code < 0) writeError(writer, code);
      count(call, code);
    }
    return Outcome.DONE;
  }

  /**
   * Whether what refused item `i` of a start passes by itself: there is no room yet, or the client's
   * own write of the key still goes on, in another call than this one.
   */
  #mayWait(code: ErrorCode, { upsert }: Variant, bytes: Uint8Array, i: number): boolean {
    if (code === ErrorCode.TENANT_QUOTA_EXCEEDED) return this.#core.tenants.takesBackRefusal();
    if (code === ErrorCode.NO_AVAILABLE_HANDLE) {
      // It has not failed yet: only the last attempt counts.
      this.#core.counters.add(Counter.ALLOCATION_FAILURES, -1);
      return true;
    }
    return code === ErrorCode.OBJECT_REPLICA_BUSY && upsert && !this.#keys.isRepeated(bytes, i);
  }

  #startOne(
    call: Call,
    { upsert }: Variant,
    tenant: number,
    config: ReplicateConfig,
    i: number,
  ): ErrorCode {
    const core = this.#core;
    const keys = this.#keys;
    const { nowMs, reader: { bytes } } = call;
    const start = keys.starts[i];
    const end = keys.ends[i];
    if (keys.sizeCount !== keys.count) return ErrorCode.INVALID_PARAMS;
    if (end - start > this.#options.maxKeyBytes) return ErrorCode.INVALID_KEY;
    const groups = config.groupIds;
    if (groups !== null && groups.length !== keys.count) return ErrorCode.INVALID_PARAMS;
    const group = groups === null ? null : groups[i];
    const size = keys.sizes[i];
    const sink = this.#encoder;
    const writer = this.#writer;
    const code = upsert
      ? core.upsertStart(writer, tenant, bytes, start, end, size, config, group, nowMs, sink)
      : core.putStart(writer, tenant, bytes, start, end, size, config, group, nowMs, sink);
    if (code === ErrorCode.OK) {
      this.#options.onSize(size);
      core.tenants.spend(tenant, size);
    }
    return code;
  }

  /** Writes the finished part of a batch's reply again, with sizes of another width. */
  #widen<Q, R>(call: Call, rpc: Rpc<Q, R>, width: SizeWidth): void {
    const { resumeAt, replies } = call;
    const { writer } = replies;
    const written = new Reader(writer.bytes.slice(replies.bodyStart));
    openBody(written, rpc.response);
    written.skip(written.width);
    const answer = m.PutStart.response.schema;
    replies.restartBody();
    beginList(call, rpc, true, this.#keys.count, width);
    for (let i = 0; i < resumeAt; i++) answer.write(writer, answer.read(written));
  }

  #end<Q, R>(call: Call, rpc: Rpc<Q, R>, { batch, upsert }: Variant): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    const core = this.#core;
    const keys = this.#keys;
    openBody(reader, rpc.request!);
    const clientAt = reader.skip(CLIENT_ID_BYTES);
    if (batch) keys.readMetas(reader);
    else keys.readMeta(reader);
    const type = batch && upsert ? ReplicaType.ALL : reader.i32();
    const tenant = takeTenant(this.#door, reader, TenantAccess.CHANGE);
    if (tenant < 0) return refuseAll(call, rpc, batch, keys.count, tenant);
    const { bytes } = reader;
    const by = this.#writer;
    const sum = this.#sum;
    by.client = core.findClient(bytes, clientAt);
    core.holdClient(by.client);
    by.writeId = call.writeId;
    if (call.resumeAt === 0) beginList(call, rpc, batch, keys.count, widthFor(keys.count));
    for (let i = call.resumeAt; i < keys.count; i++) {
      const start = keys.starts[i];
      const end = keys.ends[i];
      sum.low = keys.sumLows[i];
      sum.high = keys.sumHighs[i];
      const checksum = keys.summed[i] === 0 ? null : sum;
      const code = upsert
        ? core.upsertEnd(by, tenant, bytes, start, end, checksum, type, nowMs)
        : core.putEnd(by, tenant, bytes, start, end, checksum, type, nowMs);
      if (awaitsReaders(call, code, i)) return letGo(core);
      writeDone(writer, code);
      count(call, code);
    }
    core.letGoClient();
    return Outcome.DONE;
  }

  #revoke<Q, R>(call: Call, rpc: Rpc<Q, R>, { batch, upsert }: Variant): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    const core = this.#core;
    const keys = this.#keys;
    openBody(reader, rpc.request!);
    const clientAt = reader.skip(CLIENT_ID_BYTES);
    takeKeys(keys, reader, batch);
    const type = batch && upsert ? ReplicaType.ALL : reader.i32();
    const tenant = takeTenant(this.#door, reader, TenantAccess.CHANGE);
    if (tenant < 0) return refuseAll(call, rpc, batch, keys.count, tenant);
    const { bytes } = reader;
    const by = this.#writer;
    by.client = core.findClient(bytes, clientAt);
    core.holdClient(by.client);
    by.writeId = call.writeId;
    if (call.resumeAt === 0) beginList(call, rpc, batch, keys.count, widthFor(keys.count));
    for (let i = call.resumeAt; i < keys.count; i++) {
      const start = keys.starts[i];
      const end = keys.ends[i];
      const code = upsert
        ? core.upsertRevoke(by, tenant, bytes, start, end, type, nowMs)
        : core.putRevoke(by, tenant, bytes, start, end, type, nowMs);
      if (awaitsReaders(call, code, i)) return letGo(core);
      writeDone(writer, code);
      count(call, code);
    }
    core.letGoClient();
    return Outcome.DONE;
  }
}

/** A request that goes on later. */
function letGo(core: MasterCore): Outcome {
  core.letGoClient();
  return Outcome.HELD;
}

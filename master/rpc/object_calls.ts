/**
 * The calls that engines make for every block: exist, get, put, upsert, remove. Arguments are read
 * and answers are written in place, without objects in between.
 */
import { ReadHoldWriter } from "../../proto/coro_rpc/read_hold.ts";
import { KNOWS_CHECKSUMS, TAKES_HOLDS } from "../../proto/coro_rpc/write_id.ts";
import * as m from "../../proto/messages.ts";
import type { Rpc } from "../../proto/messages.ts";
import { openBody } from "../../proto/struct_pack/codec.ts";
import { type SizeWidth, widthFor, type Writer } from "../../proto/struct_pack/writer.ts";
import type { MasterCore } from "../core/core.ts";
import { AnswerTooLarge, type Call, Outcome } from "./call.ts";
import { KeyList } from "./key_list.ts";
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
  writeFlag,
} from "./object_parts.ts";
import { type HandlerEntry, handWritten } from "./plain_call.ts";
import { ReplicaEncoder } from "./replica_encoder.ts";
import { ReservedCalls } from "./reserved_calls.ts";
import { NamedDoor, TenantAccess, type TenantDoor } from "./tenant_door.ts";
import { type WriteCallOptions, WriteCalls } from "./write_calls.ts";

const MAX_ANSWER_BYTES = 256 << 20;

export interface ObjectCallOptions extends WriteCallOptions {
  /** Bytes of answers up to which lookups are answered; default 256 MiB. */
  maxAnswerBytes?: number;
  /** Lets calls in; default: whoever names a tenant. */
  door?: TenantDoor;
}

export class ObjectCalls {
  readonly #core: MasterCore;
  readonly #door: TenantDoor;
  readonly #keys = new KeyList();
  readonly #encoder: ReplicaEncoder;
  readonly #holds = new ReadHoldWriter();
  readonly #maxAnswerBytes: number;
  readonly #writes: WriteCalls;
  readonly #reserved: ReservedCalls;

  /** `writer` is the one that replies are written to. */
  constructor(core: MasterCore, writer: Writer, options: ObjectCallOptions) {
    this.#core = core;
    this.#door = options.door ?? new NamedDoor(core);
    this.#maxAnswerBytes = options.maxAnswerBytes ?? MAX_ANSWER_BYTES;
    this.#encoder = new ReplicaEncoder(core.segments, writer);
    this.#writes = new WriteCalls(core, this.#keys, this.#encoder, this.#door, options);
    this.#reserved = new ReservedCalls(core, this.#keys, this.#encoder, this.#door, options);
  }

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    return [
      handWritten(m.ExistKey, (call) => this.#exist(call, m.ExistKey, false)),
      handWritten(m.BatchExistKey, (call) => this.#exist(call, m.BatchExistKey, true)),
      handWritten(m.GetReplicaList, (call) => this.#get(call, m.GetReplicaList, false)),
      handWritten(m.BatchGetReplicaList, (call) => this.#get(call, m.BatchGetReplicaList, true)),
      handWritten(m.Remove, (call) => this.#remove(call, m.Remove, false)),
      handWritten(m.BatchRemove, (call) => this.#remove(call, m.BatchRemove, true)),
      ...this.#writes.entries(),
      ...this.#reserved.entries(),
    ];
  }

  #exist<Q, R>(call: Call, rpc: Rpc<Q, R>, batch: boolean): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    const tenant = this.#readKeys(call, rpc, batch, Metered.KEYS);
    const keys = this.#keys;
    if (tenant < 0) return refuseAll(call, rpc, batch, keys.count, tenant);
    beginList(call, rpc, batch, keys.count, widthFor(keys.count));
    this.#core.locate(tenant, reader.bytes, keys, false);
    for (let i = 0; i < keys.count; i++) {
      const code = this.#core.existAt(i, nowMs);
      writeFlag(writer, code);
      count(call, code);
    }
    return Outcome.DONE;
  }

  #get<Q, R>(call: Call, rpc: Rpc<Q, R>, batch: boolean): Outcome {
    const { writer } = call.replies;
    const tenant = this.#readKeys(call, rpc, batch, Metered.BYTES);
    if (tenant < 0) return refuseAll(call, rpc, batch, this.#keys.count, tenant);
    let width = widthFor(Math.max(this.#keys.count, this.#core.segments.longestText));
    for (;;) {
      this.#describe(call, rpc, batch, tenant, width);
      if (writer.neededWidth <= width) return Outcome.DONE;
      width = writer.neededWidth;
      call.replies.restartBody();
      call.items = 0;
      call.failedItems = 0;
    }
  }

  #describe<Q, R>(
    call: Call,
    rpc: Rpc<Q, R>,
    batch: boolean,
    tenant: number,
    width: SizeWidth,
  ): void {
    const { reader: { bytes }, nowMs, replies: { writer } } = call;
    const keys = this.#keys;
    const encoder = this.#encoder;
    this.#core.locate(tenant, bytes, keys, true);
    const holds = call.writeId === TAKES_HOLDS ? this.#holds : null;
    encoder.showsOurs = holds !== null || call.writeId === KNOWS_CHECKSUMS;
    holds?.reset(keys.count);
    beginList(call, rpc, batch, keys.count, width);
    for (let i = 0; i < keys.count; i++) {
      if (writer.length > this.#maxAnswerBytes) throw new AnswerTooLarge(this.#maxAnswerBytes);
      const code = this.#core.getReplicaListAt(i, nowMs, encoder);
      if (code < 0) writeError(writer, code);
      else {
        encoder.endList();
        holds?.add(i, this.#core.grantHoldAt(i, nowMs));
      }
      count(call, code);
    }
    if (holds !== null) call.replies.attachmentLength = holds.write(writer);
  }

  #remove<Q, R>(call: Call, rpc: Rpc<Q, R>, batch: boolean): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    openBody(reader, rpc.request!);
    const keys = this.#keys;
    takeKeys(keys, reader, batch);
    const force = reader.bool();
    const named = takeTenant(this.#door, reader, TenantAccess.CHANGE);
    const tenant = metered(this.#core, call, named, keys.count, Metered.KEYS);
    if (tenant < 0) return refuseAll(call, rpc, batch, keys.count, tenant);
    const { bytes } = reader;
    if (call.resumeAt === 0) {
      beginList(call, rpc, batch, keys.count, widthFor(keys.count));
      // Those that come later in the batch are let go of while the first of them are waited for.
      for (let i = 0; force && i < keys.count; i++) {
        this.#core.refuseHolds(tenant, bytes, keys.starts[i], keys.ends[i], nowMs);
      }
    }
    for (let i = call.resumeAt; i < keys.count; i++) {
      const code = this.#core.remove(tenant, bytes, keys.starts[i], keys.ends[i], force, nowMs);
      if (awaitsReaders(call, code, i)) return Outcome.HELD;
      writeDone(writer, code);
      count(call, code);
    }
    return Outcome.DONE;
  }

  /** Takes a request that consists of keys and a tenant, and returns the tenant if it may go on. */
  #readKeys<Q, R>(call: Call, rpc: Rpc<Q, R>, batch: boolean, by: boolean): number {
    const { reader } = call;
    openBody(reader, rpc.request!);
    takeKeys(this.#keys, reader, batch);
    const tenant = takeTenant(this.#door, reader, TenantAccess.READ);
    return metered(this.#core, call, tenant, this.#keys.count, by);
  }
}

/**
 * The calls that engines make for every block: exist, get, put, upsert, remove. Arguments are read
 * and answers are written in place, without objects in between.
 */
import { ErrorCode } from "../../proto/error_code.ts";
import * as messages from "../../proto/messages.ts";
import type { Rpc } from "../../proto/messages.ts";
import { beginBody, openBody } from "../../proto/struct_pack/codec.ts";
import type { Reader } from "../../proto/struct_pack/reader.ts";
import { type SizeWidth, widthFor, type Writer } from "../../proto/struct_pack/writer.ts";
import type { ReplicateConfig } from "../../proto/types.ts";
import type { MasterCore } from "../core/core.ts";
import { type Call, Outcome } from "./call.ts";
import { ConfigReader } from "./config_reader.ts";
import { KeyList } from "./key_list.ts";
import { type HandlerEntry, handWritten } from "./plain_call.ts";
import { ReplicaEncoder } from "./replica_encoder.ts";

/** Answers about one key; negative = an `ErrorCode`. */
type KeyOperation = (tenant: number, bytes: Uint8Array, start: number, end: number) => number;

export interface ObjectCallOptions {
  maxKeyBytes: number;
  /** Told the size in bytes of each object that gets its space. */
  onSize: (bytes: number) => void;
}

export class ObjectCalls {
  readonly #core: MasterCore;
  readonly #onSize: (bytes: number) => void;
  readonly #maxKeyBytes: number;
  readonly #keys = new KeyList();
  readonly #checksums: (bigint | null)[] = [];
  readonly #sizes: number[] = [];
  readonly #configs = new ConfigReader();
  readonly #encoder: ReplicaEncoder;

  constructor(core: MasterCore, writer: Writer, options: ObjectCallOptions) {
    this.#core = core;
    this.#maxKeyBytes = options.maxKeyBytes;
    this.#onSize = options.onSize;
    this.#encoder = new ReplicaEncoder(core.segments, writer);
  }

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    const m = messages;
    return [
      handWritten(m.ExistKey, (call) => this.#existKey(call)),
      handWritten(m.BatchExistKey, (call) => this.#batchExistKey(call)),
      handWritten(m.GetReplicaList, (call) => this.#getReplicaList(call)),
      handWritten(m.BatchGetReplicaList, (call) => this.#batchGetReplicaList(call)),
      handWritten(m.PutStart, (call) => this.#start(call, m.PutStart, false)),
      handWritten(m.UpsertStart, (call) => this.#start(call, m.UpsertStart, true)),
      handWritten(m.BatchPutStart, (call) => this.#batchStart(call, m.BatchPutStart, false)),
      handWritten(m.BatchUpsertStart, (call) => this.#batchStart(call, m.BatchUpsertStart, true)),
      handWritten(m.PutEnd, (call) => this.#end(call, m.PutEnd, false)),
      handWritten(m.UpsertEnd, (call) => this.#end(call, m.UpsertEnd, true)),
      handWritten(m.BatchPutEnd, (call) => this.#batchEnd(call, m.BatchPutEnd, false)),
      handWritten(m.BatchUpsertEnd, (call) => this.#batchEnd(call, m.BatchUpsertEnd, true)),
      handWritten(m.PutRevoke, (call) => this.#revoke(call, m.PutRevoke, false)),
      handWritten(m.UpsertRevoke, (call) => this.#revoke(call, m.UpsertRevoke, true)),
      handWritten(m.BatchPutRevoke, (call) => this.#batchRevoke(call, m.BatchPutRevoke, false)),
      handWritten(
        m.BatchUpsertRevoke,
        (call) => this.#batchRevoke(call, m.BatchUpsertRevoke, true),
      ),
      handWritten(m.Remove, (call) => this.#remove(call)),
      handWritten(m.BatchRemove, (call) => this.#batchRemove(call)),
    ];
  }

  #existKey(call: Call): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, messages.ExistKey.request!);
    const code = this.#oneKey(
      reader,
      (tenant, bytes, start, end) => this.#core.existKey(tenant, bytes, start, end, nowMs),
    );
    const { writer } = call.replies;
    beginBody(writer, messages.ExistKey.response, 1, false);
    writeFlag(writer, code);
    count(call, code);
    return Outcome.DONE;
  }

  #batchExistKey(call: Call): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    openBody(reader, messages.BatchExistKey.request!);
    const keys = this.#keys;
    keys.readKeys(reader);
    const tenant = this.#lastTenant(reader);
    beginBody(writer, messages.BatchExistKey.response, widthFor(keys.count), false);
    writer.size(keys.count);
    const { bytes } = reader;
    for (let i = 0; i < keys.count; i++) {
      const code = this.#core.existKey(tenant, bytes, keys.starts[i], keys.ends[i], nowMs);
      writeFlag(writer, code);
      count(call, code);
    }
    return Outcome.DONE;
  }

  #getReplicaList(call: Call): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    openBody(reader, messages.GetReplicaList.request!);
    beginBody(writer, messages.GetReplicaList.response, this.#listWidth(1), false);
    const code = this.#oneKey(
      reader,
      (tenant, bytes, start, end) =>
        this.#core.getReplicaList(tenant, bytes, start, end, nowMs, this.#encoder),
    );
    if (code < 0) writeError(writer, code);
    else this.#encoder.endList();
    count(call, code);
    return Outcome.DONE;
  }

  #batchGetReplicaList(call: Call): Outcome {
    const { reader, nowMs, replies: { writer } } = call;
    openBody(reader, messages.BatchGetReplicaList.request!);
    const keys = this.#keys;
    keys.readKeys(reader);
    const tenant = this.#lastTenant(reader);
    const { response } = messages.BatchGetReplicaList;
    beginBody(writer, response, this.#listWidth(keys.count), false);
    writer.size(keys.count);
    const { bytes } = reader;
    for (let i = 0; i < keys.count; i++) {
      const start = keys.starts[i];
      const end = keys.ends[i];
      const code = this.#core.getReplicaList(tenant, bytes, start, end, nowMs, this.#encoder);
      if (code < 0) writeError(writer, code);
      else this.#encoder.endList();
      count(call, code);
    }
    return Outcome.DONE;
  }

  #start<Q, R>(call: Call, rpc: Rpc<Q, R>, upsert: boolean): Outcome {
    const { reader, replies: { writer } } = call;
    openBody(reader, rpc.request!);
    const client = this.#client(reader);
    const length = reader.length();
    const start = reader.skip(length);
    const size = reader.u64Number();
    const config = this.#configs.read(reader);
    const tenant = this.#lastTenant(reader);
    beginBody(writer, rpc.response, this.#listWidth(1), false);
    const code = this.#startOne(
      call,
      upsert,
      client,
      tenant,
      start,
      start + length,
      size,
      config,
      0,
      1,
    );
    if (mayWait(call, code)) {
      call.replies.restartBody();
      return Outcome.WAIT;
    }
    if (code < 0) writeError(writer, code);
    count(call, code);
    return Outcome.DONE;
  }

  #batchStart<Q, R>(call: Call, rpc: Rpc<Q, R>, upsert: boolean): Outcome {
    const { reader, replies: { writer } } = call;
    openBody(reader, rpc.request!);
    const client = this.#client(reader);
    const keys = this.#keys;
    keys.readKeys(reader);
    const sizes = this.#sizes;
    const sizeCount = reader.size(8);
    for (let i = 0; i < sizeCount; i++) sizes[i] = reader.u64Number();
    const config = this.#configs.read(reader);
    const tenant = this.#lastTenant(reader);
    if (call.resumeAt === 0) {
      beginBody(writer, rpc.response, this.#listWidth(keys.count), false);
      writer.size(keys.count);
    }
    for (let i = call.resumeAt; i < keys.count; i++) {
      const start = keys.starts[i];
      const end = keys.ends[i];
      const size = i < sizeCount ? sizes[i] : 0;
      const code = this.#startOne(
        call,
        upsert,
        client,
        tenant,
        start,
        end,
        size,
        config,
        i,
        keys.count,
      );
      if (mayWait(call, code)) {
        call.resumeAt = i;
        return Outcome.WAIT;
      }
      if (code < 0) writeError(writer, code);
      count(call, code);
    }
    return Outcome.DONE;
  }

  #startOne(
    call: Call,
    upsert: boolean,
    client: number,
    tenant: number,
    start: number,
    end: number,
    size: number,
    config: ReplicateConfig,
    index: number,
    keyCount: number,
  ): number {
    const core = this.#core;
    const { bytes } = call.reader;
    if (end - start > this.#maxKeyBytes) return ErrorCode.INVALID_KEY;
    const groups = config.groupIds;
    if (groups !== null && groups.length !== keyCount) return ErrorCode.INVALID_PARAMS;
    const group = groups === null ? null : groups[index];
    const sink = this.#encoder;
    const { nowMs } = call;
    const code = upsert
      ? core.upsertStart(client, tenant, bytes, start, end, size, config, group, nowMs, sink)
      : core.putStart(client, tenant, bytes, start, end, size, config, group, nowMs, sink);
    if (code === ErrorCode.OK) this.#onSize(size);
    return code;
  }

  #end<Q, R>(call: Call, rpc: Rpc<Q, R>, upsert: boolean): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, rpc.request!);
    const client = this.#client(reader);
    const length = reader.length();
    const start = reader.skip(length);
    const end = start + length;
    const checksum = reader.bool() ? reader.u64() : null;
    const type = reader.i32();
    const tenant = this.#lastTenant(reader);
    const { bytes } = reader;
    const core = this.#core;
    const code = upsert
      ? core.upsertEnd(client, tenant, bytes, start, end, checksum, type, nowMs)
      : core.putEnd(client, tenant, bytes, start, end, checksum, type, nowMs);
    return this.#answerDone(call, rpc, code);
  }

  #batchEnd<Q, R>(call: Call, rpc: Rpc<Q, R>, upsert: boolean): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, rpc.request!);
    const client = this.#client(reader);
    const checksums = this.#checksums;
    this.#keys.readMetas(reader, checksums);
    const type = upsert ? 4 : reader.i32();
    const core = this.#core;
    return this.#answerAll(
      call,
      rpc,
      this.#lastTenant(reader),
      (tenant, bytes, start, end, i) =>
        upsert
          ? core.upsertEnd(client, tenant, bytes, start, end, checksums[i], type, nowMs)
          : core.putEnd(client, tenant, bytes, start, end, checksums[i], type, nowMs),
    );
  }

  #revoke<Q, R>(call: Call, rpc: Rpc<Q, R>, upsert: boolean): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, rpc.request!);
    const client = this.#client(reader);
    const length = reader.length();
    const start = reader.skip(length);
    const end = start + length;
    const type = reader.i32();
    const tenant = this.#lastTenant(reader);
    const { bytes } = reader;
    const core = this.#core;
    const code = upsert
      ? core.upsertRevoke(client, tenant, bytes, start, end, type, nowMs)
      : core.putRevoke(client, tenant, bytes, start, end, type, nowMs);
    return this.#answerDone(call, rpc, code);
  }

  #batchRevoke<Q, R>(call: Call, rpc: Rpc<Q, R>, upsert: boolean): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, rpc.request!);
    const client = this.#client(reader);
    this.#keys.readKeys(reader);
    const type = upsert ? 4 : reader.i32();
    const core = this.#core;
    return this.#answerAll(
      call,
      rpc,
      this.#lastTenant(reader),
      (tenant, bytes, start, end) =>
        upsert
          ? core.upsertRevoke(client, tenant, bytes, start, end, type, nowMs)
          : core.putRevoke(client, tenant, bytes, start, end, type, nowMs),
    );
  }

  #remove(call: Call): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, messages.Remove.request!);
    const length = reader.length();
    const start = reader.skip(length);
    const force = reader.bool();
    const tenant = this.#lastTenant(reader);
    const code = this.#core.remove(tenant, reader.bytes, start, start + length, force, nowMs);
    return this.#answerDone(call, messages.Remove, code);
  }

  #batchRemove(call: Call): Outcome {
    const { reader, nowMs } = call;
    openBody(reader, messages.BatchRemove.request!);
    this.#keys.readKeys(reader);
    const force = reader.bool();
    return this.#answerAll(
      call,
      messages.BatchRemove,
      this.#lastTenant(reader),
      (tenant, bytes, start, end) => this.#core.remove(tenant, bytes, start, end, force, nowMs),
    );
  }

  /** Reads `key, tenant` and applies the operation to them. */
  #oneKey(reader: Reader, operation: KeyOperation): number {
    const length = reader.length();
    const start = reader.skip(length);
    const tenant = this.#lastTenant(reader);
    return operation(tenant, reader.bytes, start, start + length);
  }

  #client(reader: Reader): number {
    const at = reader.skip(16);
    return this.#core.internClient(reader.bytes, at);
  }

  /** Reads the tenant, the last argument of every call here. */
  #lastTenant(reader: Reader): number {
    const length = reader.length();
    const start = reader.skip(length);
    reader.expectEnd();
    return this.#core.internTenant(reader.bytes, start, start + length);
  }

  /** Wide enough for `items` and for every name and number of replicas that an answer can hold. */
  #listWidth(items: number): SizeWidth {
    return widthFor(Math.max(items, this.#core.segments.longestText, this.#core.segments.count));
  }

  #answerDone<Q, R>(call: Call, rpc: Rpc<Q, R>, code: number): Outcome {
    const { writer } = call.replies;
    beginBody(writer, rpc.response, 1, false);
    writeDone(writer, code);
    count(call, code);
    return Outcome.DONE;
  }

  #answerAll<Q, R>(
    call: Call,
    rpc: Rpc<Q, R>,
    tenant: number,
    operation: (t: number, bytes: Uint8Array, start: number, end: number, i: number) => number,
  ): Outcome {
    const { reader: { bytes }, replies: { writer } } = call;
    const keys = this.#keys;
    beginBody(writer, rpc.response, widthFor(keys.count), false);
    writer.size(keys.count);
    for (let i = 0; i < keys.count; i++) {
      const code = operation(tenant, bytes, keys.starts[i], keys.ends[i], i);
      writeDone(writer, code);
      count(call, code);
    }
    return Outcome.DONE;
  }
}

function mayWait(call: Call, code: number): boolean {
  return code === ErrorCode.NO_AVAILABLE_HANDLE && call.nowMs < call.waitUntilMs;
}

function count(call: Call, code: number): void {
  call.items++;
  if (code < 0) call.failedItems++;
}

/** `expected<bool>` from 1, 0 or a negative code. */
function writeFlag(writer: Writer, code: number): void {
  if (code < 0) return writeError(writer, code);
  writer.u8(1);
  writer.u8(code);
}

/** `expected<void>`. */
function writeDone(writer: Writer, code: number): void {
  if (code < 0) return writeError(writer, code);
  writer.u8(1);
}

/** The error side of an `expected`. */
function writeError(writer: Writer, code: number): void {
  writer.u8(0);
  writer.i32(code);
}

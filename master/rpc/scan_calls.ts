/** The calls that look at every object: listing and removing by regular expression, removing all. */
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import type { Rpc } from "../../proto/messages.ts";
import { beginBody, type Codec, openBody } from "../../proto/struct_pack/codec.ts";
import type { Reader } from "../../proto/struct_pack/reader.ts";
import type { Expected } from "../../proto/struct_pack/schema.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import type { MasterCore } from "../core/core.ts";
import { byteText, MAX_PATTERN_BYTES } from "../core/key_pattern.ts";
import type { ListingScan } from "../core/listing_scan.ts";
import type { RemovalScan } from "../core/removal_scan.ts";
import { type Call, type Handler, Outcome } from "./call.ts";
import { count, Metered, metered, takeTenant, writeError } from "./object_parts.ts";
import { type HandlerEntry, handWritten } from "./plain_call.ts";
import { MatchEncoder, ReplicaEncoder } from "./replica_encoder.ts";
import { NamedDoor, TenantAccess, type TenantDoor } from "./tenant_door.ts";

/** Bytes per size in an answer about any number of keys, of which the number comes last. */
const MATCHES_WIDTH = 4;

/** Refused patterns are told once in so many milliseconds. */
const TELL_EVERY_MS = 1000;

export interface ScanCallOptions {
  /** Bytes of keys and replicas up to which a listing is answered. */
  maxListingBytes: number;
  /** Told why a pattern was refused, in one line. */
  onRefusal: (line: string) => void;
  /** Lets calls in; default: whoever names a tenant. */
  door?: TenantDoor;
}

export class ScanCalls {
  readonly #core: MasterCore;
  readonly #door: TenantDoor;
  readonly #options: ScanCallOptions;
  #toldAtMs = -Infinity;

  constructor(core: MasterCore, options: ScanCallOptions) {
    this.#core = core;
    this.#door = options.door ?? new NamedDoor(core);
    this.#options = options;
  }

  /** Every call that is served here. */
  entries(): HandlerEntry[] {
    return [
      handWritten(m.GetReplicaListByRegex, (call) => this.#list(call)),
      handWritten(m.RemoveByRegex, (call) => this.#removeMatching(call)),
      handWritten(m.RemoveAll, (call) => this.#removeAll(call)),
    ];
  }

  #list(call: Call): Outcome {
    openBody(call.reader, m.GetReplicaListByRegex.request!);
    const pattern = takePattern(call.reader);
    const named = takeTenant(this.#door, call.reader, TenantAccess.READ);
    const tenant = metered(this.#core, call, named, 1, Metered.KEYS);
    if (tenant < 0) return refuseListing(call, tenant as ErrorCode);
    const found = new Writer();
    found.startSizes(MATCHES_WIDTH);
    const replicas = new ReplicaEncoder(this.#core.segments, found);
    const sink = new MatchEncoder(replicas, found, this.#options.maxListingBytes);
    const listing = this.#core.scans.listing(tenant, pattern, sink);
    return begin(call, refuseListing, (call) => {
      if (!listing.step(call.work, call.nowMs)) return Outcome.SCAN;
      this.#tell(call, m.GetReplicaListByRegex, pattern, listing);
      if (listing.code !== ErrorCode.OK) return refuseListing(call, listing.code);
      const { writer } = call.replies;
      beginBody(writer, m.GetReplicaListByRegex.response, MATCHES_WIDTH, false);
      writer.u8(1);
      writer.u32(listing.matches);
      writer.raw(found.bytes);
      return counted(call, listing.code);
    });
  }

  #removeMatching(call: Call): Outcome {
    openBody(call.reader, m.RemoveByRegex.request!);
    const pattern = takePattern(call.reader);
    const force = call.reader.bool();
    const named = takeTenant(this.#door, call.reader, TenantAccess.CHANGE);
    const tenant = metered(this.#core, call, named, 1, Metered.KEYS);
    const answer = (call: Call, code: ErrorCode, removed = 0) => {
      const expected: Expected<number> = { code, value: code === 0 ? removed : null };
      return answered(call, m.RemoveByRegex.response, expected, code);
    };
    if (tenant < 0) return answer(call, tenant as ErrorCode);
    const removal = this.#core.scans.removal(tenant, pattern, force);
    return begin(call, answer, (call) => {
      if (!removal.step(call.work, call.nowMs)) return Outcome.SCAN;
      this.#tell(call, m.RemoveByRegex, pattern, removal);
      return answer(call, removal.code, removal.removed);
    });
  }

  #removeAll(call: Call): Outcome {
    const { force, tenantId } = m.RemoveAll.request!.decode(call.reader);
    const ofAll = tenantId.length === 0;
    const { CHANGE } = TenantAccess;
    const named = ofAll
      ? this.#door.enterAll(CHANGE)
      : this.#door.enter(tenantId, 0, tenantId.length, CHANGE);
    const tenant = ofAll ? named : metered(this.#core, call, named, 1, Metered.KEYS);
    const answer = (call: Call, code: ErrorCode, removed = 0) =>
      answered(call, m.RemoveAll.response, code === 0 ? removed : code, code);
    // As the reference: what can be nobody's name has nothing to remove.
    if (tenant === ErrorCode.INVALID_PARAMS) return answer(call, ErrorCode.OK);
    if (tenant < 0) return answer(call, tenant as ErrorCode);
    const removal = this.#core.scans.removal(ofAll ? -1 : tenant, null, force);
    return begin(
      call,
      answer,
      (call) =>
        removal.step(call.work, call.nowMs)
          ? answer(call, removal.code, removal.removed)
          : Outcome.SCAN,
    );
  }

  #tell<Q, R>(
    { nowMs }: Call,
    { name }: Rpc<Q, R>,
    pattern: Uint8Array,
    { refusal }: ListingScan | RemovalScan,
  ): void {
    if (refusal === null || nowMs - this.#toldAtMs < TELL_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    const shown = JSON.stringify(byteText(pattern.subarray(0, 100)));
    this.#options.onRefusal(`${name} was refused: the pattern ${shown} ${refusal}`);
  }
}

/** Reads a pattern; of one that is too long, enough for that to be seen. */
function takePattern(reader: Reader): Uint8Array {
  const length = reader.length();
  const start = reader.skip(length);
  return reader.bytes.slice(start, start + Math.min(length, MAX_PATTERN_BYTES + 1));
}

function begin(
  call: Call,
  refuse: (call: Call, code: ErrorCode) => Outcome,
  scan: Handler,
): Outcome {
  if (!call.mayScan) return refuse(call, ErrorCode.TASK_PENDING_LIMIT_EXCEEDED);
  call.scan = scan;
  return Outcome.SCAN;
}

function refuseListing(call: Call, code: ErrorCode): Outcome {
  beginBody(call.replies.writer, m.GetReplicaListByRegex.response, MATCHES_WIDTH, false);
  writeError(call.replies.writer, code);
  return counted(call, code);
}

function answered<R>(call: Call, codec: Codec<R>, answer: R, code: ErrorCode): Outcome {
  codec.encode(call.replies.writer, answer, { literal: false });
  return counted(call, code);
}

function counted(call: Call, code: ErrorCode): Outcome {
  call.items = 0;
  call.failedItems = 0;
  count(call, code);
  return Outcome.DONE;
}

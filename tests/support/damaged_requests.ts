/** Requests of the golden exchanges with something wrong in them. */
import { beginRequest, endRequest } from "../../proto/coro_rpc/header.ts";
import * as m from "../../proto/messages.ts";
import type { Rpc } from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { replicateConfig } from "./core_driver.ts";
import type { Random } from "./random.ts";
import { fromHex, loadWireVectors } from "./wire_vectors.ts";

export const REQUEST_HEADER_BYTES = 20;

/** Every golden request as a whole frame. */
export function goldenRequests(): Uint8Array[] {
  const { vectors, all_replica_kinds } = loadWireVectors();
  return [...vectors, all_replica_kinds].map(({ request_hex }) => fromHex(request_hex));
}

/** The same of calls of ours. */
export function ourRequests(): Uint8Array[] {
  const clientId = "1-7";
  const tenantId = new TextEncoder().encode("default");
  const objectMeta = { key: new TextEncoder().encode("key"), objectChecksum: 5n };
  const next = { nextWriteId: 2, sliceLength: 1000, config: replicateConfig() };
  return [
    ...[true, false].map((reserved) =>
      frameOf(m.EndAndReserve, { clientId, objectMeta, reserved, ...next, tenantId })
    ),
    frameOf(m.GiveBack, { clientId, reservations: [{ writeId: 2, written: true }], tenantId }),
    frameOf(m.ReportPeers, { clientId, peers: [{ endpoint: "node:1", suspected: true }] }),
  ];
}

function frameOf<Q, R>(rpc: Rpc<Q, R>, request: Q): Uint8Array {
  const writer = new Writer();
  const start = beginRequest(writer, 1, rpc.functionId);
  rpc.request!.encode(writer, request, { literal: true });
  endRequest(writer, start);
  return writer.bytes.slice();
}

/** The part of a request that holds its arguments: behind type code, metainfo and literal. */
function argumentsStart(frame: Uint8Array): number {
  const body = REQUEST_HEADER_BYTES;
  if (frame.length < body + 5 || (frame[body] & 1) === 0) return Math.min(frame.length, body + 4);
  return (frame[body + 4] & 4) === 0 ? body + 5 : frame.indexOf(0, body + 5) + 1;
}

/** Changes up to six bytes of `frame[from, end)`. */
function change(frame: Uint8Array, from: number, random: Random): void {
  if (from >= frame.length) return;
  for (let left = 1 + random.below(6); left > 0; left--) {
    const at = from + random.below(frame.length - from);
    frame[at] = random.oneIn(2) ? frame[at] ^ (1 << random.below(8)) : random.u32() & 255;
  }
}

/**
 * A damaged copy of one of `frames` whose header tells its true length, so that a server reads on
 * behind it. The damage is mostly among the arguments, where it may give other arguments.
 */
export function damagedRequest(frames: Uint8Array[], random: Random): Uint8Array {
  const frame = random.pick(frames);
  const start = argumentsStart(frame);
  const at = start + random.below(Math.max(1, frame.length - start));
  let damaged: Uint8Array;
  switch (random.below(8)) {
    case 0:
      damaged = frame.slice();
      change(damaged, REQUEST_HEADER_BYTES, random);
      break;
    case 1:
      damaged = frame.slice(0, Math.max(REQUEST_HEADER_BYTES, at));
      break;
    case 2: {
      const extra = Array.from({ length: 1 + random.below(40) }, () => random.u32() & 255);
      damaged = Uint8Array.of(...frame.subarray(0, at), ...extra, ...frame.subarray(at));
      break;
    }
    case 3: {
      const other = random.pick(frames);
      const body = other.subarray(Math.min(other.length, argumentsStart(other)));
      damaged = Uint8Array.of(...frame.subarray(0, start), ...body);
      break;
    }
    default:
      damaged = frame.slice();
      change(damaged, start, random);
  }
  new DataView(damaged.buffer).setUint32(12, damaged.length - REQUEST_HEADER_BYTES, true);
  return damaged;
}

import { Errno } from "./errno.ts";
import { LAYOUT } from "./layout.ts";
import { type NativeEngine, Struct } from "./native_engine.ts";
import { checked, NativeError } from "./native_error.ts";
import type { rdmaSymbols } from "./rdma_symbols.ts";

/** The RDMA part of the loaded shim. */
export type RdmaLibrary = Deno.DynamicLibrary<typeof rdmaSymbols>["symbols"];

/** Fields of `struct mc_rdma_options`; what is absent gets the default stated in `mc/rdma.h`. */
export interface NativeRdmaOptions {
  /** Names of devices; empty = every one with an active port. */
  devices: readonly string[];
  port?: number;
  /** -1 or absent = chosen by the shim. */
  gidIndex?: number;
  /** Bytes. */
  mtu?: number;
  serviceLevel?: number;
  trafficClass?: number;
  pkeyIndex?: number;
  /** Work requests of a queue pair. */
  maxWr?: number;
  maxSge?: number;
  maxInline?: number;
  cqEntries?: number;
  /** Bytes of one work request. */
  sliceBytes?: number;
  /** Registered memory through which borrowed bytes go. */
  bounceBytes?: number;
  retryCount?: number;
  timeout?: number;
  /** Microseconds of polling before a wait sleeps. */
  spinUs?: number;
}

/** A device that the engine has opened. */
export interface RdmaDevice {
  name: string;
  lid: number;
  /** 16 bytes. */
  gid: Uint8Array;
  gidIndex: number;
  /** Bytes of the path's packets. */
  mtu: number;
}

/** The far end of a link. */
export interface RdmaRemote {
  gid: Uint8Array;
  lid: number;
  qpNumbers: readonly number[];
}

/** Published memory of a peer, with a key for each path to it. */
export interface RdmaBuffer {
  address: bigint;
  length: number;
  rkeys: readonly number[];
}

/** Devices of one engine, and paths to a peer, at most. */
export const MAX_RDMA_DEVICES = 8;
/** Queue pairs of one link, at most. */
export const MAX_RDMA_QPS = 16;

/** There is no library for RDMA, or no device that can be used; `message` is one line. */
export class RdmaAbsentError extends Error {
  override readonly name = "RdmaAbsentError";
}

/** What the shim answers for that: no library, no device, none that may be opened, no active port. */
const ABSENCES: readonly number[] = [
  ...[Errno.ENOENT, Errno.ENODEV, Errno.EACCES, Errno.EPERM, Errno.ENETDOWN],
];

const WHY_BYTES = 256;
const DEVICE_BYTES = LAYOUT["sizeof mc_rdma_device"];
const BUFFER_BYTES = LAYOUT["sizeof mc_rdma_buffer"];
const NAMES_BYTES = LAYOUT["sizeof mc_rdma_options"] - LAYOUT["mc_rdma_options.devices"];

function textAt(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/**
 * The RDMA side of a native engine (`mc/rdma.h`): devices, links to devices of peers, keys of
 * memory. Lives as long as its engine. Methods throw {@linkcode NativeError}.
 */
export class NativeRdma {
  readonly #library: RdmaLibrary;
  readonly #engine: NativeEngine;
  readonly devices: readonly RdmaDevice[];

  /**
   * Opens the devices. {@linkcode RdmaAbsentError} when there are none, `Error` with one line that says
   * what else is wrong.
   */
  constructor(library: RdmaLibrary, engine: NativeEngine, options: NativeRdmaOptions) {
    this.#library = library;
    this.#engine = engine;
    const names = new TextEncoder().encode(`${options.devices.join(",")}\0`);
    if (names.length > NAMES_BYTES) {
      throw new Error(`The names of RDMA devices are over ${NAMES_BYTES - 1} bytes`);
    }
    const struct = new Struct("mc_rdma_options")
      .u32("size", LAYOUT["sizeof mc_rdma_options"])
      .u32("port", options.port ?? 0)
      .u32("gid_index", options.gidIndex ?? -1)
      .u32("mtu", options.mtu ?? 0)
      .u32("service_level", options.serviceLevel ?? 0)
      .u32("traffic_class", options.trafficClass ?? 0)
      .u32("pkey_index", options.pkeyIndex ?? 0)
      .u32("max_wr", options.maxWr ?? 0)
      .u32("max_sge", options.maxSge ?? 0)
      .u32("max_inline", options.maxInline ?? 0)
      .u32("cq_entries", options.cqEntries ?? 0)
      .u32("slice_bytes", options.sliceBytes ?? 0)
      .u32("bounce_bytes", options.bounceBytes ?? 0)
      .u32("retry_count", options.retryCount ?? 0)
      .u32("timeout", options.timeout ?? 0)
      .u32("spin_us", options.spinUs ?? 0);
    struct.bytes.set(names, LAYOUT["mc_rdma_options.devices"]);
    const why = new Uint8Array(WHY_BYTES);
    const result = library.mc_rdma_open(engine.pointer, struct.bytes, why, WHY_BYTES);
    if (result < 0) {
      const message = textAt(why) || new NativeError("mc_rdma_open", -result).message;
      throw ABSENCES.includes(-result) ? new RdmaAbsentError(message) : new Error(message);
    }
    this.devices = this.#readDevices();
  }

  /** Keys of a region, one per device. */
  keysOf(region: number): { lkeys: number[]; rkeys: number[] } {
    const lkeys = new Uint32Array(MAX_RDMA_DEVICES);
    const rkeys = new Uint32Array(MAX_RDMA_DEVICES);
    const result = this.#library.mc_rdma_region_keys(this.#engine.pointer, region, lkeys, rkeys);
    const count = checked("mc_rdma_region_keys", result);
    return { lkeys: [...lkeys.subarray(0, count)], rkeys: [...rkeys.subarray(0, count)] };
  }

  /** Makes queue pairs on a device for a device of a peer. */
  openLink(device: number, qpCount: number): { id: number; qpNumbers: number[] } {
    const numbers = new Uint32Array(MAX_RDMA_QPS);
    const result = this.#library.mc_rdma_link_open(
      this.#engine.pointer,
      device,
      qpCount,
      numbers,
    );
    const id = checked("mc_rdma_link_open", result);
    return { id, qpNumbers: [...numbers.subarray(0, qpCount)] };
  }

  /** Connects a link with that of a peer. Rejects with {@linkcode NativeError}. */
  async connectLink(link: number, remote: RdmaRemote): Promise<void> {
    if (remote.qpNumbers.length > MAX_RDMA_QPS) {
      throw new NativeError("mc_rdma_link_connect", Errno.EINVAL);
    }
    const struct = new Struct("mc_rdma_remote")
      .u32("lid", remote.lid)
      .u32("qp_count", remote.qpNumbers.length);
    struct.bytes.set(remote.gid.subarray(0, 16), LAYOUT["mc_rdma_remote.gid"]);
    remote.qpNumbers.forEach((number, i) =>
      struct.view.setUint32(LAYOUT["mc_rdma_remote.qp_numbers"] + 4 * i, number, true)
    );
    const call = this.#library.mc_rdma_link_connect(this.#engine.pointer, link, struct.bytes);
    checked("mc_rdma_link_connect", await this.#engine.during(call));
  }

  /** Whether a link is connected; false once it broke or was closed. */
  isConnected(link: number): boolean {
    return this.#library.mc_rdma_link_state(this.#engine.pointer, link) === 1;
  }

  /** Ends a link; what is in flight on it fails. */
  closeLink(link: number): void {
    this.#library.mc_rdma_link_close(this.#engine.pointer, link);
  }

  /** Tells over which links a peer is reached and what memory it has. */
  setPeer(peer: number, links: readonly number[], buffers: readonly RdmaBuffer[]): void {
    const bytes = new Uint8Array(buffers.length * BUFFER_BYTES);
    const view = new DataView(bytes.buffer);
    buffers.forEach((buffer, i) => {
      const at = i * BUFFER_BYTES;
      view.setBigUint64(at + LAYOUT["mc_rdma_buffer.address"], buffer.address, true);
      view.setBigUint64(at + LAYOUT["mc_rdma_buffer.length"], BigInt(buffer.length), true);
      buffer.rkeys.forEach((key, path) =>
        view.setUint32(at + LAYOUT["mc_rdma_buffer.rkeys"] + 4 * path, key, true)
      );
    });
    const result = this.#library.mc_rdma_peer_set(
      this.#engine.pointer,
      peer,
      Uint32Array.from(links),
      links.length,
      bytes,
      buffers.length,
    );
    checked("mc_rdma_peer_set", result);
  }

  #readDevices(): RdmaDevice[] {
    const bytes = new Uint8Array(MAX_RDMA_DEVICES * DEVICE_BYTES);
    const count = this.#library.mc_rdma_devices(this.#engine.pointer, bytes, MAX_RDMA_DEVICES);
    return Array.from({ length: count }, (_, i) => {
      const device = bytes.subarray(i * DEVICE_BYTES, (i + 1) * DEVICE_BYTES);
      const view = new DataView(device.buffer, device.byteOffset);
      const gid = LAYOUT["mc_rdma_device.gid"];
      return {
        name: textAt(device.subarray(LAYOUT["mc_rdma_device.name"])),
        lid: view.getUint32(LAYOUT["mc_rdma_device.lid"], true),
        gid: device.slice(gid, gid + 16),
        gidIndex: view.getUint32(LAYOUT["mc_rdma_device.gid_index"], true),
        mtu: view.getUint32(LAYOUT["mc_rdma_device.mtu"], true),
      };
    });
  }
}

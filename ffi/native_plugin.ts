import { LAYOUT } from "./layout.ts";
import { type NativeEngine, Struct } from "./native_engine.ts";
import { checked, NativeError } from "./native_error.ts";
import type { pluginSymbols } from "./plugin_symbols.ts";

/** The part of the loaded shim for transports that are libraries of their own. */
export type PluginLibrary = Deno.DynamicLibrary<typeof pluginSymbols>["symbols"];

/** Fields of `struct mc_plugin_options`. */
export interface NativePluginOptions {
  /** Path of a library with `mc_transport_plugin()`; empty = libfabric. */
  library: string;
  /** Handed to the transport; of libfabric: the provider. */
  parameters: string;
}

/** Published memory of a peer, and what lets the transport use it. */
export interface PluginBuffer {
  address: bigint;
  length: number;
  key: Uint8Array;
}

const WHY_BYTES = 512;
const TEXT_BYTES = LAYOUT["mc_plugin_options.parameters"] - LAYOUT["mc_plugin_options.library"];
const BUFFER_BYTES = LAYOUT["sizeof mc_plugin_buffer"];
const KEY_BYTES = BUFFER_BYTES - LAYOUT["mc_plugin_buffer.key"];

function textAt(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/**
 * The transport of a native engine that is a library of its own (`mc/plugin.h`). Lives as long as
 * its engine. Methods throw {@linkcode NativeError}.
 */
export class NativePlugin {
  readonly #library: PluginLibrary;
  readonly #engine: NativeEngine;
  /** Of the network; engines with the same one can reach each other. */
  readonly name: string;
  /** What the transport has been run on, for people. */
  readonly standing: string;

  /** Opens the transport. `Error` with one line that says what is missing or refused. */
  constructor(library: PluginLibrary, engine: NativeEngine, options: NativePluginOptions) {
    this.#library = library;
    this.#engine = engine;
    const struct = new Struct("mc_plugin_options").u32("size", LAYOUT["sizeof mc_plugin_options"]);
    for (const field of ["library", "parameters"] as const) {
      const text = new TextEncoder().encode(options[field]);
      if (text.length >= TEXT_BYTES || text.includes(0)) {
        throw new Error(`The ${field} of a transport is at most ${TEXT_BYTES - 1} bytes of text`);
      }
      struct.bytes.set(text, LAYOUT[`mc_plugin_options.${field}`]);
    }
    const why = new Uint8Array(WHY_BYTES);
    const result = library.mc_plugin_open(engine.pointer, struct.bytes, why, WHY_BYTES);
    if (result < 0) {
      throw new Error(textAt(why) || new NativeError("mc_plugin_open", -result).message);
    }
    const info = this.#info();
    this.name = textAt(info.bytes.subarray(LAYOUT["mc_plugin_info.name"]));
    this.standing = textAt(info.bytes.subarray(LAYOUT["mc_plugin_info.standing"]));
  }

  /** Where peers reach the transport now; changes when memory is withdrawn. */
  get address(): Uint8Array {
    const info = this.#info();
    const at = LAYOUT["mc_plugin_info.address"];
    const size = info.view.getUint32(LAYOUT["mc_plugin_info.address_size"], true);
    return info.bytes.slice(at, at + size);
  }

  /** What lets peers use a published region. */
  keyOf(region: number): Uint8Array {
    const key = new Uint8Array(KEY_BYTES);
    const result = this.#library.mc_plugin_region_key(this.#engine.pointer, region, key);
    return key.slice(0, checked("mc_plugin_region_key", result));
  }

  /** Tells where a peer is and what memory it has. */
  setPeer(peer: number, address: Uint8Array, buffers: readonly PluginBuffer[]): void {
    const bytes = new Uint8Array(buffers.length * BUFFER_BYTES);
    const view = new DataView(bytes.buffer);
    buffers.forEach(({ address, length, key }, i) => {
      const at = i * BUFFER_BYTES;
      const size = Math.min(key.length, KEY_BYTES);
      view.setBigUint64(at + LAYOUT["mc_plugin_buffer.address"], address, true);
      view.setBigUint64(at + LAYOUT["mc_plugin_buffer.length"], BigInt(length), true);
      view.setUint32(at + LAYOUT["mc_plugin_buffer.key_size"], size, true);
      bytes.set(key.subarray(0, size), at + LAYOUT["mc_plugin_buffer.key"]);
    });
    const result = this.#library.mc_plugin_peer_set(
      this.#engine.pointer,
      peer,
      Uint8Array.from(address),
      address.length,
      bytes,
      buffers.length,
    );
    checked("mc_plugin_peer_set", result);
  }

  #info(): Struct<"mc_plugin_info"> {
    const info = new Struct("mc_plugin_info");
    checked("mc_plugin_info", this.#library.mc_plugin_info(this.#engine.pointer, info.bytes));
    return info;
  }
}

import { Buffer } from "node:buffer";
import type { Library } from "../../ffi/library.ts";
import type { NativeEngine } from "../../ffi/native_engine.ts";
import { NativePlugin, type NativePluginOptions } from "../../ffi/native_plugin.ts";
import type { PeerAddress, PeerId, PluginSide, TransferCode } from "./engine.ts";
import type { EnginePeers } from "./native_peers.ts";

/** How an engine has a transport that is a library of its own. */
export type PluginOptions = NativePluginOptions;

/** {@linkcode PluginSide} with what the engine itself needs. */
interface OpenedPlugin extends PluginSide {
  /** Peers of the engine; those without the transport are left to `sockets`. */
  peers(sockets: EnginePeers): EnginePeers;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));

/** Opens the transport. `Error` with one line when its library or a device is missing. */
export function openPlugin(
  library: Library,
  engine: NativeEngine,
  options: PluginOptions,
): OpenedPlugin {
  const plugin = new NativePlugin(library.symbols, engine, options);
  return {
    name: plugin.name,
    standing: plugin.standing,
    get address() {
      return hex(plugin.address);
    },
    keyOf: (region) => hex(plugin.keyOf(region.id)),
    peers: (sockets) => new PluginPeers(engine, plugin, sockets),
  };
}

/** Peers of an engine with such a transport: those that have it, too, are reached over it. */
class PluginPeers implements EnginePeers {
  readonly #engine: NativeEngine;
  readonly #plugin: NativePlugin;
  readonly #sockets: EnginePeers;
  readonly #peers = new Map<PeerId, number>();

  constructor(engine: NativeEngine, plugin: NativePlugin, sockets: EnginePeers) {
    this.#engine = engine;
    this.#plugin = plugin;
    this.#sockets = sockets;
  }

  open(address: PeerAddress, id: PeerId): void {
    const { plugin } = address;
    if (plugin === undefined) return this.#sockets.open(address, id);
    const native = this.#engine.openPluginPeer();
    this.#peers.set(id, native);
    this.#plugin.setPeer(
      native,
      unhex(plugin.address),
      plugin.buffers.map(({ addr, length, key }) => ({ address: addr, length, key: unhex(key) })),
    );
  }

  close(id: PeerId): void {
    const native = this.#peers.get(id);
    if (native === undefined) return this.#sockets.close(id);
    this.#peers.delete(id);
    this.#engine.closePeer(native);
  }

  clear(): void {
    this.#peers.clear();
    this.#sockets.clear();
  }

  has(id: PeerId): boolean {
    return this.#peers.has(id) || this.#sockets.has(id);
  }

  native(id: PeerId): number {
    return this.#peers.get(id) ?? this.#sockets.native(id);
  }

  resolve(id: PeerId): Promise<boolean> {
    return this.#peers.has(id) ? Promise.resolve(true) : this.#sockets.resolve(id);
  }

  unresolved(id: PeerId): TransferCode {
    return this.#sockets.unresolved(id);
  }

  failed(id: PeerId, code: TransferCode): void {
    if (!this.#peers.has(id)) this.#sockets.failed(id, code);
  }
}

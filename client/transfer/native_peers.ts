import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { NativeEngine } from "../../ffi/native_engine.ts";
import type { PeerAddress, PeerId } from "./engine.ts";

interface Peer {
  readonly address: PeerAddress;
  /** Whether `address.host` is a name. */
  readonly named: boolean;
  /** Numeric address that `native` stands for. */
  resolved: string;
  /** Id in the shim; 0 while the name is not resolved. */
  native: number;
  /** A connection failed: the name may mean another machine by now. */
  stale: boolean;
  resolving: Promise<boolean> | null;
}

/** The peers of a native engine. The shim knows numeric addresses only; names are resolved here. */
export class NativePeers {
  readonly #engine: NativeEngine;
  readonly #peers = new Map<PeerId, Peer>();
  #next = 1;

  constructor(engine: NativeEngine) {
    this.#engine = engine;
  }

  open(address: PeerAddress): PeerId {
    const named = isIP(address.host.split("%")[0]) === 0;
    const peer: Peer = {
      address: { ...address },
      named,
      resolved: "",
      native: 0,
      stale: named,
      resolving: null,
    };
    if (!named) this.#assign(peer, address.host);
    const id = this.#next++;
    this.#peers.set(id, peer);
    return id;
  }

  close(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#peers.delete(id);
    if (peer.native !== 0) this.#engine.closePeer(peer.native);
  }

  /** Forgets all of them; the engine is closing. */
  clear(): void {
    this.#peers.clear();
  }

  has(id: PeerId): boolean {
    return this.#peers.has(id);
  }

  /** Id in the shim, or 0 when {@linkcode resolve} has to come first. */
  native(id: PeerId): number {
    const peer = this.#peers.get(id);
    return peer === undefined || peer.stale ? 0 : peer.native;
  }

  /** Finds the numeric address of a named peer; false when that fails. */
  resolve(id: PeerId): Promise<boolean> {
    const peer = this.#peers.get(id);
    if (peer === undefined) return Promise.resolve(false);
    if (!peer.stale) return Promise.resolve(true);
    peer.resolving ??= this.#lookup(id, peer).finally(() => peer.resolving = null);
    return peer.resolving;
  }

  /** A connection could not be made: a name is looked up again before the next transfer. */
  failed(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer !== undefined) peer.stale = peer.named;
  }

  async #lookup(id: PeerId, peer: Peer): Promise<boolean> {
    let found: string;
    try {
      found = (await lookup(peer.address.host)).address;
    } catch {
      return false;
    }
    if (this.#peers.get(id) !== peer) return false;
    if (found !== peer.resolved) this.#assign(peer, found);
    peer.stale = false;
    return true;
  }

  #assign(peer: Peer, host: string): void {
    const { port, protocolVersion, localName } = peer.address;
    const native = this.#engine.openPeer(host, port, protocolVersion, localName);
    if (peer.native !== 0) this.#engine.closePeer(peer.native);
    peer.native = native;
    peer.resolved = host;
  }
}

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { NativeEngine } from "../../ffi/native_engine.ts";
import { type PeerAddress, type PeerId, TransferCode } from "./engine.ts";

/** The peers of an engine and what the shim calls them. */
export interface EnginePeers {
  /** Takes a peer in under an id that was not used before. */
  open(address: PeerAddress, id: PeerId): void;
  close(id: PeerId): void;
  /** Forgets all of them; the engine is closing. */
  clear(): void;
  has(id: PeerId): boolean;
  /** Id in the shim, or 0 when {@linkcode resolve} has to come first. */
  native(id: PeerId): number;
  /** Finds out how a peer is reached; false when that fails. */
  resolve(id: PeerId): Promise<boolean>;
  /** The result of operations with a peer that could not be resolved. */
  unresolved(id: PeerId): TransferCode;
  /** An operation with the peer failed. */
  failed(id: PeerId, code: TransferCode): void;
}

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
export class NativePeers implements EnginePeers {
  readonly #engine: NativeEngine;
  readonly #peers = new Map<PeerId, Peer>();

  constructor(engine: NativeEngine) {
    this.#engine = engine;
  }

  open(address: PeerAddress, id: PeerId): void {
    const named = isIP(address.host) === 0;
    const peer: Peer = {
      address: { ...address },
      named,
      resolved: "",
      native: 0,
      stale: named,
      resolving: null,
    };
    if (!named) this.#assign(peer, address.host);
    this.#peers.set(id, peer);
  }

  close(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#peers.delete(id);
    if (peer.native !== 0) this.#engine.closePeer(peer.native);
  }

  clear(): void {
    this.#peers.clear();
  }

  has(id: PeerId): boolean {
    return this.#peers.has(id);
  }

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

  unresolved(_id: PeerId): TransferCode {
    return TransferCode.DNS;
  }

  /** A connection could not be made: a name is looked up again before the next transfer. */
  failed(id: PeerId, code: TransferCode): void {
    if (code !== TransferCode.ENDPOINT) return;
    const peer = this.#peers.get(id);
    if (peer !== undefined) peer.stale = peer.named;
  }

  async #lookup(id: PeerId, peer: Peer): Promise<boolean> {
    let found: string;
    try {
      const all = await lookup(peer.address.host, { all: true });
      // After a failure it is the turn of the address behind the one that failed.
      const failed = all.findIndex(({ address }) => address === peer.resolved);
      found = all[(failed + 1) % all.length].address;
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
    const { host: name } = peer.address;
    const native = this.#engine.openPeer(host, port, protocolVersion, localName, name);
    if (peer.native !== 0) this.#engine.closePeer(peer.native);
    peer.native = native;
    peer.resolved = host;
  }
}

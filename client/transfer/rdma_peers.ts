import type { NativeEngine } from "../../ffi/native_engine.ts";
import { MAX_RDMA_DEVICES, type NativeRdma } from "../../ffi/native_rdma.ts";
import { nicPath } from "../../proto/rdma_handshake.ts";
import { type PeerAddress, type PeerId, type RdmaPeerAddress, TransferCode } from "./engine.ts";
import type { EnginePeers } from "./native_peers.ts";
import { errorText } from "./error_text.ts";
import type { RdmaLinks } from "./rdma_links.ts";

interface Peer {
  readonly address: RdmaPeerAddress;
  readonly native: number;
  /** No link was made yet, or one broke. */
  stale: boolean;
  resolving: Promise<boolean> | null;
}

/** One of our devices with one of a peer's. */
interface Path {
  link: number;
  remote: number;
}

/**
 * Peers of an engine with RDMA. Those that have RDMA devices are reached over them: links are
 * dialled before the first operation, and again before the next one after an operation failed. The
 * others are left to `sockets`, whose ids are in front of ours.
 */
export class RdmaPeers implements EnginePeers {
  readonly #engine: NativeEngine;
  readonly #rdma: NativeRdma;
  readonly #links: RdmaLinks;
  readonly #sockets: EnginePeers;
  readonly #log: (line: string) => void;
  readonly #peers = new Map<PeerId, Peer>();

  constructor(
    engine: NativeEngine,
    rdma: NativeRdma,
    links: RdmaLinks,
    sockets: EnginePeers,
    log: (line: string) => void,
  ) {
    this.#engine = engine;
    this.#rdma = rdma;
    this.#links = links;
    this.#sockets = sockets;
    this.#log = log;
  }

  open(address: PeerAddress, id: PeerId): void {
    if (address.rdma === undefined) return this.#sockets.open(address, id);
    this.#peers.set(id, {
      address: address.rdma,
      native: this.#engine.openRdmaPeer(),
      stale: true,
      resolving: null,
    });
  }

  close(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#sockets.close(id);
    this.#peers.delete(id);
    this.#engine.closePeer(peer.native);
  }

  clear(): void {
    this.#peers.clear();
    this.#sockets.clear();
  }

  has(id: PeerId): boolean {
    return this.#peers.has(id) || this.#sockets.has(id);
  }

  native(id: PeerId): number {
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#sockets.native(id);
    return peer.stale ? 0 : peer.native;
  }

  unresolved(id: PeerId): TransferCode {
    return this.#peers.has(id) ? TransferCode.ENDPOINT : this.#sockets.unresolved(id);
  }

  failed(id: PeerId, code: TransferCode): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) this.#sockets.failed(id, code);
    else peer.stale = true;
  }

  resolve(id: PeerId): Promise<boolean> {
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#sockets.resolve(id);
    if (!peer.stale) return Promise.resolve(true);
    peer.resolving ??= this.#connect(id, peer).finally(() => peer.resolving = null);
    return peer.resolving;
  }

  /** Dials from each of our devices; the peer is reached when one of them gets through. */
  async #connect(id: PeerId, peer: Peer): Promise<boolean> {
    const tried = await Promise.allSettled(
      this.#rdma.devices.map((_, device) => this.#dial(device, peer.address)),
    );
    const paths: Path[] = [];
    for (const result of tried) {
      if (result.status === "fulfilled") paths.push(result.value);
      else this.#log(errorText(result.reason));
    }
    if (paths.length === 0 || this.#peers.get(id) !== peer) return false;
    const used = paths.slice(0, MAX_RDMA_DEVICES);
    this.#rdma.setPeer(
      peer.native,
      used.map(({ link }) => link),
      peer.address.buffers.map(({ addr, length, rkeys }) => ({
        address: addr,
        length,
        rkeys: used.map(({ remote }) => rkeys[remote]),
      })),
    );
    peer.stale = false;
    return true;
  }

  /** Our devices start with different ones of the peer, and go on to the others. */
  async #dial(device: number, { server, devices, exchange }: RdmaPeerAddress): Promise<Path> {
    let failure: unknown;
    for (let i = 0; i < devices.length; i++) {
      const remote = (device + i) % devices.length;
      try {
        const path = nicPath(server, devices[remote].name);
        return { link: await this.#links.dial(device, path, exchange), remote };
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }
}

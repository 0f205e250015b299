import type { NativeEngine } from "../../ffi/native_engine.ts";
import { MAX_RDMA_DEVICES, type NativeRdma } from "../../ffi/native_rdma.ts";
import { nicPath } from "../../proto/rdma_handshake.ts";
import { CoolDowns } from "./cool_downs.ts";
import { type PeerAddress, type PeerId, type RdmaPeerAddress, TransferCode } from "./engine.ts";
import type { EnginePeers } from "./native_peers.ts";
import { errorText } from "./error_text.ts";
import type { RdmaLinks } from "./rdma_links.ts";
import { devicesFor } from "./topology.ts";

/** How long a path is left out after it failed; doubles each time. The reference's times. */
const PAUSE_MS = 30_000;
const MAX_PAUSE_MS = 300_000;
/**
 * Queue pairs of a link. One is served in order, by one unit of a device or one processor. A link of
 * the reference connects with its own number only, which is 2 unless somebody has changed it.
 */
const QPS_PER_LINK = 4, REFERENCE_QPS_PER_LINK = 2;

interface Peer {
  readonly address: RdmaPeerAddress;
  readonly native: number;
  /** No link was made yet, or one broke. */
  stale: boolean;
  resolving: Promise<boolean> | null;
  paths: readonly Path[];
  /** When a path that is left out is to be tried again; `Infinity` = none is. */
  retryAtMs: number;
}

/** One of our devices with one of a peer's. */
interface Path {
  readonly name: string;
  link: number;
  remote: number;
}

export interface RdmaPeersOptions {
  /** For each of our devices, whether it lies close to our memory. */
  near: readonly boolean[];
  /** Queue pairs of a link that we dial, 1 to 16; absent = 4, and 2 to a peer that takes no more. */
  qpsPerLink?: number | undefined;
  /** Receives lines about links that cannot be made. */
  log: (line: string) => void;
  /** Milliseconds; default those of the process. */
  now?: () => number;
}

/**
 * Peers of an engine with RDMA. Those that have RDMA devices are reached over them: links are
 * dialled before the first operation, and again before the next one after an operation failed. Devices
 * close to the memory come first on both sides. A path that broke is left out for a while, unless
 * there is no other; it is then taken in again beside the ones in use. The others are left to
 * `sockets`, whose ids are in front of ours.
 */
export class RdmaPeers implements EnginePeers {
  readonly #engine: Pick<NativeEngine, "openRdmaPeer" | "closePeer">;
  readonly #rdma: Pick<NativeRdma, "devices" | "isConnected" | "setPeer">;
  readonly #links: Pick<RdmaLinks, "dial">;
  readonly #sockets: EnginePeers;
  readonly #near: readonly boolean[];
  readonly #qpsPerLink: number | undefined;
  readonly #log: (line: string) => void;
  readonly #now: () => number;
  readonly #pauses: CoolDowns;
  readonly #peers = new Map<PeerId, Peer>();

  constructor(
    engine: Pick<NativeEngine, "openRdmaPeer" | "closePeer">,
    rdma: Pick<NativeRdma, "devices" | "isConnected" | "setPeer">,
    links: Pick<RdmaLinks, "dial">,
    sockets: EnginePeers,
    options: RdmaPeersOptions,
  ) {
    this.#engine = engine;
    this.#rdma = rdma;
    this.#links = links;
    this.#sockets = sockets;
    this.#near = options.near;
    this.#qpsPerLink = options.qpsPerLink;
    this.#log = options.log;
    this.#now = options.now ?? (() => performance.now());
    this.#pauses = new CoolDowns(this.#now, PAUSE_MS, MAX_PAUSE_MS);
  }

  open(address: PeerAddress, id: PeerId): void {
    if (address.rdma === undefined) return this.#sockets.open(address, id);
    this.#peers.set(id, {
      address: address.rdma,
      native: this.#engine.openRdmaPeer(),
      stale: true,
      resolving: null,
      paths: [],
      retryAtMs: Infinity,
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
    if (peer.stale) return 0;
    if (peer.retryAtMs !== Infinity && this.#now() >= peer.retryAtMs) {
      peer.retryAtMs = Infinity;
      void this.#reconnect(id, peer);
    }
    return peer.native;
  }

  unresolved(id: PeerId): TransferCode {
    return this.#peers.has(id) ? TransferCode.ENDPOINT : this.#sockets.unresolved(id);
  }

  failed(id: PeerId, code: TransferCode): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#sockets.failed(id, code);
    peer.stale = true;
    // A refused range breaks its link as well; the path is not to blame.
    if (code === TransferCode.ADDRESS_NOT_REGISTERED) return;
    for (const { name, link } of peer.paths) {
      if (this.#rdma.isConnected(link) || this.#pauses.restMs(name) > 0) continue;
      this.#pauses.failed(name);
      const seconds = Math.ceil(this.#pauses.restMs(name) / 1000);
      this.#log(`the path ${name} broke and is left out for ${seconds} s`);
    }
  }

  resolve(id: PeerId): Promise<boolean> {
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#sockets.resolve(id);
    if (!peer.stale) return Promise.resolve(true);
    return this.#reconnect(id, peer);
  }

  #reconnect(id: PeerId, peer: Peer): Promise<boolean> {
    peer.resolving ??= this.#connect(id, peer).finally(() => peer.resolving = null);
    return peer.resolving;
  }

  /** Dials from each of our devices; the peer is reached when one of them gets through. */
  async #connect(id: PeerId, peer: Peer): Promise<boolean> {
    const near = this.#devices(true);
    const far = this.#devices(false);
    let paths: Path[] = [];
    for (const paused of [false, true]) {
      for (const devices of [near, far]) {
        if (paths.length === 0) paths = await this.#dialAll(devices, peer.address, paused);
      }
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
    peer.paths = used;
    peer.retryAtMs = this.#nextRetry(peer.address);
    peer.stale = false;
    return true;
  }

  #devices(near: boolean): number[] {
    return Array.from(this.#rdma.devices.keys()).filter((device) => this.#near[device] === near);
  }

  /** When the first of the paused paths to a peer may be used again. */
  #nextRetry({ server, devices }: RdmaPeerAddress): number {
    const rests = Array.from(this.#rdma.devices.keys()).flatMap((device) =>
      devices.map((remote) => this.#pauses.restMs(this.#name(device, nicPath(server, remote.name))))
    ).filter((restMs) => restMs > 0);
    return rests.length === 0 ? Infinity : this.#now() + Math.min(...rests);
  }

  async #dialAll(
    devices: readonly number[],
    address: RdmaPeerAddress,
    paused: boolean,
  ): Promise<Path[]> {
    const tried = await Promise.allSettled(
      devices.map((device) => this.#dial(device, address, paused)),
    );
    const paths: Path[] = [];
    for (const result of tried) {
      if (result.status === "rejected") this.#log(errorText(result.reason));
      else if (result.value !== null) paths.push(result.value);
    }
    return paths;
  }

  /**
   * Our devices start with different ones of the peer, and go on to the others. `null` when all of the
   * paths are paused, or none is with `paused`.
   */
  async #dial(
    device: number,
    address: RdmaPeerAddress,
    paused: boolean,
  ): Promise<Path | null> {
    const { server, devices, exchange, takesAnyQps } = address;
    const qps = this.#qpsPerLink ?? (takesAnyQps ? QPS_PER_LINK : REFERENCE_QPS_PER_LINK);
    let failure: unknown = null;
    for (const remote of remoteOrder(address, device)) {
      const path = nicPath(server, devices[remote].name);
      const name = this.#name(device, path);
      if (this.#pauses.restMs(name) > 0 !== paused) continue;
      try {
        const link = await this.#links.dial(device, path, qps, exchange);
        return { name, link, remote };
      } catch (error) {
        failure = error;
        this.#pauses.failed(name);
      }
    }
    if (failure === null) return null;
    throw failure;
  }

  #name(device: number, peerPath: string): string {
    return `${this.#rdma.devices[device].name} to ${peerPath}`;
  }
}

/** Devices of a peer in the order in which one of ours tries them: close to its memory first. */
function remoteOrder({ devices, buffers, priorities }: RdmaPeerAddress, turn: number): number[] {
  const names = devices.map(({ name }) => name);
  const locations = [...new Set(buffers.map(({ name }) => name))];
  const near = new Set(
    locations.flatMap((location) => devicesFor(priorities, location, names).preferred),
  );
  const order = (wanted: boolean) => {
    const group = [...names.keys()].filter((i) => near.has(names[i]) === wanted);
    return group.map((_, i) => group[(turn + i) % group.length]);
  };
  return [...order(true), ...order(false)];
}

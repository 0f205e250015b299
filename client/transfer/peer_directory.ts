import type { HandshakeType } from "../../proto/handshake.ts";
import { type JsonValue, stringifyJsonExact } from "../../proto/json_exact.ts";
import type { RpcMeta } from "../../proto/metadata/rpc_meta.ts";
import type { SegmentBuffer, SegmentDocument } from "../../proto/metadata/segment_document.ts";
import { FILES_PROTOCOL, type SegmentFiles } from "../../proto/metadata/segment_files.ts";
import type { Clock } from "./clock.ts";
import {
  type PeerAddress,
  type PeerId,
  type RdmaPeerAddress,
  TransferCode,
  type TransferEngine,
} from "./engine.ts";
import { errorText } from "./error_text.ts";
import { localFiles, type LocalPaths } from "./file_segments.ts";
import type { MetadataStore } from "./metadata_store.ts";

/** Results after which a peer's document is looked up again, since it may have moved. */
export const STALE_PEER_CODES: readonly number[] = [
  TransferCode.SOCKET,
  TransferCode.ENDPOINT,
  TransferCode.DNS,
  TransferCode.ADDRESS_NOT_REGISTERED,
];

/** How long a name that could not be found is answered without asking again. */
const NOT_FOUND_MS = 500;

/** An open peer and where its data port is. */
interface Peer {
  readonly id: PeerId;
  readonly host: string;
  readonly port: number;
  readonly protocolVersion: 1 | 2;
  readonly localName: string;
  /** What else than TCP needs to know of the peer, as text; empty = it is reached over TCP. */
  readonly direct: string;
}

/** Sends one handshake to a peer and resolves with its reply. */
export type SendHandshake = (
  host: string,
  port: number,
  type: HandshakeType,
  body: JsonValue,
) => Promise<JsonValue>;

/**
 * Peers of an engine by the name under which they publish their memory. Documents are looked up once
 * and kept; {@linkcode refresh} looks again when a transfer failed.
 */
export class PeerDirectory {
  readonly #engine: TransferEngine;
  readonly #metadata: MetadataStore;
  readonly #clock: Clock;
  readonly #maxProtocolVersion: 1 | 2;
  readonly #forceTcp: boolean;
  readonly #tls: boolean;
  readonly #handshake: SendHandshake;
  readonly #localPaths: () => LocalPaths | null;
  readonly #peers = new Map<string, Peer>();
  readonly #lookups = new Map<string, Promise<Peer>>();
  readonly #failures = new Map<string, { error: Error; untilMs: number }>();

  constructor(
    engine: TransferEngine,
    metadata: MetadataStore,
    options: {
      clock: Clock;
      maxProtocolVersion: 1 | 2;
      forceTcp: boolean;
      /** Present: peers are reached over TLS only. */
      tls?: unknown;
      handshake: SendHandshake;
      /** Where this host has the files of segments; `null` = those are not used. */
      localPaths?: () => LocalPaths | null;
    },
  ) {
    this.#engine = engine;
    this.#metadata = metadata;
    this.#clock = options.clock;
    this.#maxProtocolVersion = options.maxProtocolVersion;
    this.#forceTcp = options.forceTcp;
    this.#tls = options.tls !== undefined;
    this.#handshake = options.handshake;
    this.#localPaths = options.localPaths ?? (() => null);
  }

  /** The peer of a name that was looked up before, or `undefined`. */
  known(name: string): PeerId | undefined {
    return this.#peers.get(name)?.id;
  }

  /** Looks a name up. Rejects with `Error` when it has no document or no way to reach it. */
  async open(name: string): Promise<PeerId> {
    const peer = this.#peers.get(name);
    if (peer !== undefined) return peer.id;
    const failure = this.#failures.get(name);
    if (failure !== undefined) {
      if (this.#clock.now() < failure.untilMs) throw failure.error;
      this.#failures.delete(name);
    }
    return (await this.#lookUp(name)).id;
  }

  /**
   * Looks a known name up again. Resolves with whether it is now reached otherwise; a name that
   * cannot be found any more is forgotten and rejects as {@linkcode open} does.
   */
  async refresh(name: string): Promise<boolean> {
    const before = this.#peers.get(name);
    try {
      return await this.#lookUp(name) !== before;
    } catch (error) {
      if (this.#peers.get(name) === before) this.#forget(name);
      throw error;
    }
  }

  /** Why a name could not be found a moment ago; `undefined` when it was. */
  failureOf(name: string): Error | undefined {
    return this.#failures.get(name)?.error;
  }

  /** Where the data port of a known name is. */
  addressOf(name: string): { host: string; port: number } | undefined {
    return this.#peers.get(name);
  }

  /** On the last failure of a known name's files, for a message; empty = there was none. */
  troubleOf(name: string): string {
    const peer = this.#peers.get(name);
    const failure = peer && this.#engine.files?.failureOf(peer.id);
    return failure ? `; last failure: ${failure}` : "";
  }

  /** Closes the peer of a name, if it is open. */
  close(name: string): void {
    this.#forget(name);
  }

  /** Closes every peer. */
  clear(): void {
    for (const name of [...this.#peers.keys()]) this.#forget(name);
  }

  #lookUp(name: string): Promise<Peer> {
    const running = this.#lookups.get(name);
    if (running !== undefined) return running;
    const lookup = this.#find(name).finally(() => this.#lookups.delete(name));
    this.#lookups.set(name, lookup);
    return lookup;
  }

  async #find(name: string): Promise<Peer> {
    try {
      const { document, dataHost } = await this.#metadata.lookup(name);
      if (document.files !== undefined) return this.#keepFiles(name, document.files);
      this.#checkTls(document);
      const { plugin } = this.#engine;
      if (plugin !== undefined && !this.#forceTcp && document.plugin?.name === plugin.name) {
        return this.#keepPlugin(name, dataHost, document.plugin.address, document.buffers);
      }
      if (this.#engine.rdma !== undefined && !this.#forceTcp && document.devices.length > 0) {
        return this.#keepRdma(
          name,
          dataHost,
          document,
          await this.#metadata.handshakeAddress(name),
        );
      }
      if (document.tcpDataPort === 0) {
        throw new Error(`${name} is reached over ${document.protocols.join(", ")} only, not tcp`);
      }
      const version = document.tcpProtoVersion >= 2 ? this.#maxProtocolVersion : 1;
      const localName = this.#forceTcp ? "" : document.localName;
      return this.#keep(name, {
        host: dataHost,
        port: document.tcpDataPort,
        protocolVersion: version,
        localName,
      });
    } catch (cause) {
      const error = new Error(`Cannot find the peer ${name}: ${errorText(cause)}`, { cause });
      this.#failures.set(name, { error, untilMs: this.#clock.now() + NOT_FOUND_MS });
      throw error;
    }
  }

  /** Bytes are moved in the clear between two that want that, and between no others. */
  #checkTls({ tls }: SegmentDocument): void {
    if (tls && !this.#tls) throw new Error("it speaks TLS only, and this process has none");
    if (!tls && this.#tls) throw new Error("it speaks no TLS, and this process nothing else");
  }

  #keepRdma(
    name: string,
    host: string,
    document: SegmentDocument,
    handshake: RpcMeta,
  ): Peer {
    const { devices, buffers, priorities, rdmaServerName } = document;
    const keyed = buffers.filter(({ rkeys }) => rkeys.length === devices.length);
    const rdma: RdmaPeerAddress = {
      server: rdmaServerName || name,
      devices,
      buffers: keyed,
      priorities,
      // Only engines of ours have such a name.
      takesAnyQps: document.localName !== "",
      exchange: (type, body) => this.#handshake(handshake.host, handshake.port, type, body),
    };
    const { server } = rdma;
    const known = stringifyJsonExact({
      server,
      handshake: [handshake.host, handshake.port],
      devices: devices.map(({ name, lid, gid }) => [name, lid, gid]),
      buffers: keyed.map(({ addr, length, rkeys }) => [addr, length, rkeys]),
    });
    return this.#keep(name, { host, port: 0, protocolVersion: 2, rdma }, known);
  }

  #keepPlugin(
    name: string,
    host: string,
    address: string,
    all: readonly SegmentBuffer[],
  ): Peer {
    const buffers = all.flatMap(({ addr, length, key }) =>
      key === undefined ? [] : [{ addr, length, key }]
    );
    const known = stringifyJsonExact({ address, buffers });
    const plugin = { address, buffers };
    return this.#keep(name, { host, port: 0, protocolVersion: 2, plugin }, known);
  }

  #keepFiles(name: string, segment: SegmentFiles): Peer {
    const paths = this.#localPaths();
    if (paths === null || this.#engine.files === undefined) {
      throw new Error(
        `its bytes are in files, and the transport ${FILES_PROTOCOL} is not installed`,
      );
    }
    const files = localFiles(segment, paths);
    const address = { host: "", port: 0, protocolVersion: 2 as const, files };
    return this.#keep(name, address, stringifyJsonExact(files.map((file) => ({ ...file }))));
  }

  #keep(name: string, address: PeerAddress, direct = ""): Peer {
    this.#failures.delete(name);
    const { host, port, protocolVersion, localName = "" } = address;
    const old = this.#peers.get(name);
    const same = old !== undefined && old.host === host && old.port === port &&
      old.protocolVersion === protocolVersion && old.localName === localName &&
      old.direct === direct;
    if (same) return old;
    this.#forget(name);
    const peer = {
      id: this.#engine.openPeer(address),
      ...{ host, port, protocolVersion, localName, direct },
    };
    this.#peers.set(name, peer);
    return peer;
  }

  #forget(name: string): void {
    const peer = this.#peers.get(name);
    if (peer === undefined) return;
    this.#peers.delete(name);
    this.#engine.closePeer(peer.id);
  }
}

import { MAX_RDMA_QPS, type NativeRdma, type RdmaDevice } from "../../ffi/native_rdma.ts";
import { EMPTY_CONNECTION, HandshakeType } from "../../proto/handshake.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import {
  formatGid,
  nicPath,
  parseGid,
  parseRdmaHandshake,
  type RdmaHandshake,
  rdmaHandshakeJson,
} from "../../proto/rdma_handshake.ts";
import { errorText } from "./error_text.ts";

/** Sends a handshake to a peer and resolves with what it answers. */
export type Exchange = (type: HandshakeType, body: JsonValue) => Promise<JsonValue>;

export interface RdmaLinksOptions {
  /** Links kept; beyond that the one unused longest is closed. */
  maxLinks: number;
}

interface Link {
  readonly id: number;
  readonly qpNumbers: readonly number[];
  /** Queue pairs at the far end, once known. */
  remote: readonly number[] | null;
  connected: Promise<void> | null;
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((number, i) => number === b[i]);
}

/**
 * Links between devices of this engine and devices of peers. There is one for each pair, whoever
 * dialled it, and both sides use it.
 */
export class RdmaLinks {
  readonly #rdma: NativeRdma;
  readonly #options: RdmaLinksOptions;
  readonly #links = new Map<string, Link>();
  readonly #dialling = new Map<string, Promise<number>>();
  /** The part of our device paths in front of the `@`. */
  serverName: string;

  constructor(rdma: NativeRdma, serverName: string, options: RdmaLinksOptions) {
    this.#rdma = rdma;
    this.serverName = serverName;
    this.#options = options;
  }

  /**
   * Resolves with a connected link from a device of ours to the one that `peerPath` names, of `qps`
   * queue pairs if there was none. Rejects with `Error` when the peer cannot be reached or refuses.
   */
  dial(device: number, peerPath: string, qps: number, exchange: Exchange): Promise<number> {
    const key = this.#key(device, peerPath);
    const running = this.#dialling.get(key);
    if (running !== undefined) return running;
    const dialling = this.#dial(device, peerPath, qps, exchange)
      .finally(() => this.#dialling.delete(key));
    this.#dialling.set(key, dialling);
    return dialling;
  }

  /** Answers a peer that dials. Never rejects: what is wrong is told to the peer. */
  async accept(body: JsonValue): Promise<JsonValue> {
    let request: RdmaHandshake;
    try {
      request = parseRdmaHandshake(body);
    } catch (error) {
      return { ...EMPTY_CONNECTION, reply_msg: errorText(error) };
    }
    try {
      return await this.#accept(request);
    } catch (error) {
      const half = this.#half(0, request.localNicPath, [], null);
      return rdmaHandshakeJson({
        ...half,
        localNicPath: request.peerNicPath,
        replyMessage: errorText(error),
      });
    }
  }

  async #dial(
    device: number,
    peerPath: string,
    qps: number,
    exchange: Exchange,
  ): Promise<number> {
    const key = this.#key(device, peerPath);
    const old = this.#links.get(key);
    if (old !== undefined) {
      await old.connected?.catch(() => {});
      if (this.#rdma.isConnected(old.id)) {
        this.#touch(key, old);
        return old.id;
      }
      this.#drop(key, old);
    }
    const link = this.#open(key, device, qps);
    try {
      const half = this.#half(device, peerPath, link.qpNumbers, false);
      const reply = parseRdmaHandshake(
        await exchange(HandshakeType.CONNECTION, rdmaHandshakeJson(half)),
      );
      if (reply.replyMessage !== "") throw new Error(`it refuses: ${reply.replyMessage}`);
      if (reply.localNicPath !== peerPath || reply.peerNicPath !== half.localNicPath) {
        throw new Error("it answers for another device");
      }
      await this.#connect(link, reply);
      if (reply.readyAck !== null) {
        const ready = rdmaHandshakeJson({ ...half, readyAck: true });
        const answer = parseRdmaHandshake(await exchange(HandshakeType.CONNECTION, ready));
        if (answer.replyMessage !== "") throw new Error(`it refuses: ${answer.replyMessage}`);
      }
      return link.id;
    } catch (cause) {
      this.#drop(key, link);
      throw new Error(`Cannot connect to ${peerPath}: ${errorText(cause)}`, { cause });
    }
  }

  async #accept(request: RdmaHandshake): Promise<JsonValue> {
    const device = this.#rdma.devices.findIndex(({ name }) =>
      nicPath(this.serverName, name) === request.peerNicPath
    );
    if (device < 0) throw new Error(`there is no device ${request.peerNicPath} here`);
    if (request.localNicPath === "") throw new Error("the handshake names no device of the sender");
    const key = this.#key(device, request.localNicPath);
    let link = this.#links.get(key);
    if (request.readyAck === true) {
      if (link?.remote && same(link.remote, request.qpNumbers)) return EMPTY_CONNECTION;
      throw new Error("the ready-ack is for queue pairs that are not connected here");
    }
    const count = request.qpNumbers.length;
    if (count < 1 || count > MAX_RDMA_QPS) {
      throw new Error(`${count} queue pairs; 1 to ${MAX_RDMA_QPS} are allowed`);
    }
    const usable = link !== undefined &&
      (link.remote === null
        ? link.qpNumbers.length === count
        : same(link.remote, request.qpNumbers) && this.#rdma.isConnected(link.id));
    if (link !== undefined && !usable) this.#drop(key, link);
    if (link === undefined || !usable) link = this.#open(key, device, count);
    try {
      await this.#connect(link, request);
    } catch (error) {
      this.#drop(key, link);
      throw error;
    }
    const readyAck = request.readyAck === null ? null : false;
    return rdmaHandshakeJson(this.#half(device, request.localNicPath, link.qpNumbers, readyAck));
  }

  /** Both sides may dial at once: whichever half of the peer comes first connects the link. */
  #connect(link: Link, { qpNumbers, localGid, localLid }: RdmaHandshake): Promise<void> {
    if (link.remote !== null) {
      if (same(link.remote, qpNumbers)) return link.connected!;
      return Promise.reject(new Error("it answers other queue pairs than it dialled with"));
    }
    const gid = parseGid(localGid);
    link.remote = qpNumbers;
    link.connected = this.#rdma.connectLink(link.id, { gid, lid: localLid, qpNumbers });
    return link.connected;
  }

  #open(key: string, device: number, qpCount: number): Link {
    for (const [oldest, link] of this.#links) {
      if (this.#links.size < this.#options.maxLinks) break;
      this.#drop(oldest, link);
    }
    const link: Link = { ...this.#rdma.openLink(device, qpCount), remote: null, connected: null };
    this.#links.set(key, link);
    return link;
  }

  #touch(key: string, link: Link): void {
    this.#links.delete(key);
    this.#links.set(key, link);
  }

  #drop(key: string, link: Link): void {
    if (this.#links.get(key) === link) this.#links.delete(key);
    this.#rdma.closeLink(link.id);
  }

  #half(
    device: number,
    peerNicPath: string,
    qpNumbers: readonly number[],
    readyAck: boolean | null,
  ): RdmaHandshake {
    const { name, lid, gid }: RdmaDevice = this.#rdma.devices[device];
    return {
      localNicPath: nicPath(this.serverName, name),
      peerNicPath,
      localLid: lid,
      localGid: formatGid(gid),
      qpNumbers: [...qpNumbers],
      replyMessage: "",
      readyAck,
    };
  }

  #key(device: number, peerPath: string): string {
    return `${device} ${peerPath}`;
  }
}

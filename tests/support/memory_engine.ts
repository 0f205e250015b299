import { createServer, type Server } from "node:net";
import {
  type LentMemory,
  type ListenOptions,
  Opcode,
  type PeerAddress,
  type PeerId,
  type Region,
  TransferCode,
  type TransferEngine,
  type TransferOperation,
  type TransferOptions,
  type TransferStats,
} from "../../client/transfer/engine.ts";
import { Fences } from "../../client/transfer/fences.ts";
import { noteSums } from "../../client/transfer/sums.ts";
import { withoutWindow } from "../../proto/address_window.ts";

/** What engines of one test share instead of a network: who listens where, and what fails. */
export class MemoryNetwork {
  readonly engines = new Map<string, MemoryEngine>();
  /** Called before each operation; another code than 0 is its result and nothing is moved. */
  fault: (address: string, op: TransferOperation) => number = () => TransferCode.OK;
  /** Awaited before a batch is run. */
  delay: () => Promise<void> = () => Promise.resolve();
  nextBase = 0x5eed_0000_0000n;
}

class MemoryRegion implements Region {
  bytes: Uint8Array;
  readonly remoteBase: bigint | null;

  readonly length: number;

  constructor(readonly id: number, bytes: Uint8Array, base: bigint | null) {
    this.bytes = bytes;
    this.length = bytes.length;
    this.remoteBase = base;
  }

  populate(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.bytes = new Uint8Array(0);
  }
}

/** An engine for unit tests: bytes move between arrays of one process, at once. */
export class MemoryEngine implements TransferEngine {
  readonly name = "tcp-typescript";
  readonly localName = "";
  readonly regions: MemoryRegion[] = [];
  readonly batches: TransferOperation[][] = [];
  readonly #peers = new Map<PeerId, string>();
  readonly #fences = new Fences(() => performance.now());
  #address = "";
  #handshakes: Server | null = null;
  #nextPeer = 1;
  disposed = false;

  constructor(readonly network: MemoryNetwork) {}

  allocate(length: number, options: { publish?: boolean } = {}): Region {
    return this.adopt(new Uint8Array(length), options);
  }

  adopt(memory: LentMemory, options: { publish?: boolean } = {}): MemoryRegion {
    if (!(memory instanceof Uint8Array)) throw new TypeError("there are no addresses here");
    const base = options.publish ? this.network.nextBase : null;
    if (base !== null) this.network.nextBase += BigInt(memory.length) + 4096n;
    const region = new MemoryRegion(this.regions.length + 1, memory, base);
    this.regions.push(region);
    return region;
  }

  async listen(options: ListenOptions = {}): Promise<{ host: string; port: number }> {
    const host = options.host ?? "127.0.0.1";
    const port = options.port || 40_000 + this.network.engines.size;
    const { onHandshake } = options;
    if (onHandshake !== undefined) {
      const server = createServer({ allowHalfOpen: true }, (socket) => onHandshake(socket, null));
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, resolve);
      });
      this.#handshakes = server;
    }
    this.#address = `${host}:${port}`;
    this.network.engines.set(this.#address, this);
    return { host, port };
  }

  /** Stops answering, as a killed process does. */
  vanish(): void {
    this.network.engines.delete(this.#address);
  }

  openPeer({ host, port }: PeerAddress): PeerId {
    this.#peers.set(this.#nextPeer, `${host}:${port}`);
    return this.#nextPeer++;
  }

  closePeer(peer: PeerId): void {
    this.#peers.delete(peer);
  }

  async transfer(
    ops: readonly TransferOperation[],
    _options?: TransferOptions,
  ): Promise<Int32Array> {
    this.batches.push([...ops]);
    await this.network.delay();
    const codes = Int32Array.from(ops, (op) => this.#move(op));
    noteSums(ops, codes);
    return codes;
  }

  async transferOne(op: TransferOperation, options?: TransferOptions): Promise<TransferCode> {
    const [code] = await this.transfer([op], options);
    return code as TransferCode;
  }

  setIdentity(): void {}

  fence(address: bigint, length: number, keepMs: number): Promise<boolean> {
    this.#fences.add(Number(address), length, keepMs);
    return Promise.resolve(true);
  }

  stats(): TransferStats {
    return {
      servedReads: 0,
      servedWrites: 0,
      servedReadBytes: 0,
      servedWriteBytes: 0,
      refused: 0,
      readsFenced: 0,
      connections: 0,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.vanish();
    this.#handshakes?.close();
    this.disposed = true;
    return Promise.resolve();
  }

  #move(op: TransferOperation): number {
    const address = this.#peers.get(op.peer) ?? "";
    const fault = this.network.fault(address, op);
    if (fault !== TransferCode.OK) return fault;
    const target = this.network.engines.get(address);
    if (target === undefined) return TransferCode.SOCKET;
    if (target.#fences.meet(Number(op.remoteAddress), op.length)) {
      return TransferCode.ADDRESS_NOT_REGISTERED;
    }
    const base = withoutWindow(op.remoteAddress);
    for (const region of target.regions) {
      const offset = Number(base - (region.remoteBase ?? 0n));
      if (offset < 0 || offset + op.length > region.bytes.length) continue;
      const remote = region.bytes.subarray(offset, offset + op.length);
      const local = op.local instanceof Uint8Array ? op.local : op.local.bytes;
      const mine = local.subarray(op.localOffset, op.localOffset + op.length);
      if (op.opcode === Opcode.WRITE) remote.set(mine);
      else mine.set(remote);
      return TransferCode.OK;
    }
    return TransferCode.ADDRESS_NOT_REGISTERED;
  }
}

/** Sockets that speak the transfer protocol byte by byte, well or badly. */
import { Buffer } from "node:buffer";
import { connect, createServer, type Server, type Socket } from "node:net";
import { until } from "../support/until.ts";
import {
  TRANSFER_REQUEST_BYTES,
  TransferRequest,
  writeTransferRequest,
  writeTransferStatus,
} from "../../proto/transfer_tcp.ts";

/** The 24 bytes of a request. */
export function requestBytes(
  opcode: 0 | 1,
  version: 1 | 2,
  address: bigint,
  size: number,
): Uint8Array {
  const bytes = new Uint8Array(TRANSFER_REQUEST_BYTES);
  writeTransferRequest(new DataView(bytes.buffer), 0, { opcode, version, address, size });
  return bytes;
}

/** The 8 bytes of a status. */
export function statusBytes(code: 0 | 1): Uint8Array {
  const bytes = new Uint8Array(8);
  writeTransferStatus(new DataView(bytes.buffer), 0, code);
  return bytes;
}

/** A client that sends what it is told and keeps what it gets. */
export class RawClient implements AsyncDisposable {
  readonly #socket: Socket;
  #received: Uint8Array[] = [];
  length = 0;
  closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#received.push(chunk);
      this.length += chunk.length;
    });
    socket.on("error", () => {});
    socket.on("close", () => this.closed = true);
  }

  static connect(port: number, host = "127.0.0.1"): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawClient(socket));
      });
    });
  }

  send(...parts: Uint8Array[]): void {
    for (const part of parts) this.#socket.write(part);
  }

  /** Sends no more; what comes is still read. */
  end(): void {
    this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Everything received so far. */
  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#received));
  }

  /** Waits for at least that many bytes. */
  async receive(length: number): Promise<Uint8Array> {
    await until(() => this.length >= length || this.closed);
    return this.bytes;
  }

  async untilClosed(): Promise<void> {
    await until(() => this.closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.untilClosed();
  }
}

/** A connection that a {@linkcode RawServer} accepted. */
export class RawConnection {
  readonly #socket: Socket;
  #buffered = Buffer.alloc(0);
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#buffered = Buffer.concat([this.#buffered, chunk]);
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#ended = true);
  }

  /** Waits for `length` bytes and takes them. */
  async take(length: number): Promise<Uint8Array> {
    await until(() => this.#buffered.length >= length || this.#ended);
    const taken = this.#buffered.subarray(0, length);
    this.#buffered = this.#buffered.subarray(length);
    return new Uint8Array(taken);
  }

  /** Waits for a request; `null` when the connection ends first. */
  async takeRequest(): Promise<TransferRequest | null> {
    const bytes = await this.take(TRANSFER_REQUEST_BYTES);
    if (bytes.length < TRANSFER_REQUEST_BYTES) return null;
    const request = new TransferRequest();
    request.read(new DataView(bytes.buffer), 0);
    return request;
  }

  send(...parts: Uint8Array[]): void {
    for (const part of parts) this.#socket.write(part);
  }

  /** Reads nothing any more. */
  pause(): void {
    this.#socket.pause();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get ended(): boolean {
    return this.#ended;
  }
}

/** Accepts connections and hands each, with its number, to `serve`. */
export class RawServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly connections: RawConnection[] = [];

  private constructor(serve: (connection: RawConnection, index: number) => void) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      const connection = new RawConnection(socket);
      this.connections.push(connection);
      serve(connection, this.connections.length - 1);
    });
  }

  static async listen(
    serve: (connection: RawConnection, index: number) => void = () => {},
  ): Promise<RawServer> {
    const server = new RawServer(serve);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("It does not listen");
    return address.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

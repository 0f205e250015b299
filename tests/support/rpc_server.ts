import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import {
  beginResponse,
  endResponse,
  type TransportErrorCode,
  writeErrorResponse,
} from "../../proto/coro_rpc/header.ts";
import { RequestSplitter } from "../../proto/coro_rpc/splitter.ts";
import { type Rpc, rpcById } from "../../proto/messages.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";

/** One call as it reached the server, to be answered in any way and order. */
export class ReceivedCall {
  constructor(
    readonly rpc: Rpc<unknown, unknown>,
    readonly request: unknown,
    readonly seq: number,
    readonly socket: Socket,
  ) {}

  answer(value: unknown): void {
    this.answerAs(this.rpc, value);
  }

  /** Answers with the type of another call. */
  answerAs<Q, R>(rpc: Rpc<Q, R>, value: R): void {
    const writer = new Writer();
    const start = beginResponse(writer, this.seq);
    rpc.response.encode(writer, value, { literal: true });
    endResponse(writer, start);
    this.socket.write(writer.bytes);
  }

  refuse(code: TransportErrorCode, message: string): void {
    const writer = new Writer();
    writeErrorResponse(writer, this.seq, code, message);
    this.socket.write(writer.bytes);
  }
}

/** A server of the master's calls on a free port, scripted by a test. */
export class ScriptedRpcServer implements AsyncDisposable {
  /** Connections that were accepted so far. */
  connections = 0;
  /** Pieces in which requests arrived. */
  chunks = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(onCall: (call: ReceivedCall) => void) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      const splitter = new RequestSplitter();
      socket.on("data", (chunk) => {
        this.chunks++;
        splitter.feed(chunk);
        while (splitter.next()) {
          const rpc = rpcById.get(splitter.functionId)!;
          const reader = new Reader(splitter.bytes, splitter.bodyStart, splitter.bodyEnd);
          const request = rpc.request === null ? null : rpc.request.decode(reader);
          onCall(new ReceivedCall(rpc, request, splitter.seq, socket));
        }
      });
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(
    onCall: (call: ReceivedCall) => void,
    port = 0,
  ): Promise<ScriptedRpcServer> {
    const server = new ScriptedRpcServer(onCall);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(port, "127.0.0.1", () => resolve());
    });
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Ends every connection at once. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

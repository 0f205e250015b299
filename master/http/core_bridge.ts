/** The Worker that serves HTTP, as the thread that owns the core sees it. */
import { receiveMessageOnPort } from "node:worker_threads";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { TableChange } from "../core/small_tables.ts";
import type { AdminCore } from "./backend.ts";
import { ListenError } from "./listen.ts";
import type {
  ControlMessage,
  CoreReply,
  CoreRequest,
  HttpListening,
  HttpWorkerConfig,
  TableNews,
  WorkerMessage,
} from "./worker_protocol.ts";

/** Time after which a Worker that does not stop is ended. */
const STOP_TIMEOUT_MS = 2000;

export interface HttpWorkerOptions {
  /** Answers the calls, in the thread that made this object. */
  core: AdminCore;
  /** Told about a call that failed for another reason than a code of the store. */
  onFault: (error: unknown) => void;
  /** Told when the Worker died; HTTP is gone then. */
  onExit: (error: Error) => void;
}

/**
 * Starts, feeds and stops the Worker.
 *
 * Calls from the Worker are answered in one of two ways: by {@linkcode drain}, for a thread that
 * waits in C and must not return to its event loop, or by themselves in the event loop after
 * {@linkcode answerInEventLoop}.
 */
export class HttpWorker {
  readonly #options: HttpWorkerOptions;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #workerPort: MessagePort;
  #onMessage: (message: WorkerMessage) => void = () => {};
  #onDeath: (error: Error) => void;
  #dead = false;
  #stopping = false;

  constructor(options: HttpWorkerOptions) {
    const { port1, port2 } = new MessageChannel();
    this.#options = options;
    this.#port = port1;
    this.#workerPort = port2;
    this.#onDeath = options.onExit;
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => this.#onMessage(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#dead = true;
      if (!this.#stopping) this.#onDeath(failure(event.message));
    };
  }

  /**
   * Opens the servers and resolves with their addresses. Rejects with a `ListenError` when one
   * cannot listen; the Worker can only be stopped then.
   */
  start(config: HttpWorkerConfig): Promise<HttpListening> {
    return new Promise((resolve, reject) => {
      this.#onDeath = reject;
      this.#onMessage = (message) => {
        this.#onDeath = this.#options.onExit;
        if (message.type === "listening") {
          if (message.keys !== null) this.#options.core.setKeys(message.keys);
          resolve(message.listening);
        } else if (message.type === "listen_failed") reject(new ListenError(message.failure));
        else if (message.type === "failed") reject(failure(message.message));
      };
      this.#send({ type: "start", config }, [this.#workerPort]);
    });
  }

  /** Answers calls that have arrived, `most` at most, without waiting. Returns how many. */
  drain(most = Infinity): number {
    for (let count = 0; count < most; count++) {
      const received = receiveMessageOnPort(this.#port as never);
      if (received === undefined) return count;
      this.#answer(received.message as CoreRequest);
    }
    return most;
  }

  /** From now on calls are answered in the event loop as they arrive. */
  answerInEventLoop(): void {
    this.#port.onmessage = ({ data }: MessageEvent<CoreRequest>) => this.#answer(data);
  }

  /** From now on calls are there when this descriptor wakes the thread. */
  wakeBy(fd: number): void {
    this.#send({ type: "wake_by", fd });
  }

  /** Hands changes of the small tables on, before any later answer. */
  publish(tables: TableChange[]): void {
    this.#port.postMessage({ tables } satisfies TableNews);
  }

  /** Deletes the metadata documents of a segment whose owner expired. */
  forgetSegment(name: string): void {
    this.#send({ type: "forget_segment", name });
  }

  /** Closes the servers and ends the Worker. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    if (!this.#dead) await this.#stopped();
    this.#port.close();
    this.#worker.terminate();
  }

  #stopped(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, STOP_TIMEOUT_MS);
      this.#onMessage = (message) => {
        if (message.type !== "stopped") return;
        clearTimeout(timer);
        resolve();
      };
      this.#send({ type: "stop" });
    });
  }

  #send(message: ControlMessage, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #answer({ id, method, args }: CoreRequest): void {
    try {
      const call = this.#options.core[method] as (...args: unknown[]) => unknown;
      const value = call.apply(this.#options.core, args);
      if (!(value instanceof Promise)) return this.#reply({ id, value });
      value.then(
        (settled) => this.#reply({ id, value: settled }),
        (error) => this.#fail(id, error),
      );
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #fail(id: number, error: unknown): void {
    if (error instanceof StoreError) {
      return this.#reply({ id, code: error.code, message: error.message });
    }
    this.#options.onFault(error);
    const code = ErrorCode.INTERNAL_ERROR;
    this.#reply({ id, code, message: errorName(code) });
  }

  #reply(reply: CoreReply): void {
    this.#port.postMessage(reply);
  }
}

function failure(reason: string): Error {
  return new Error(`The HTTP worker failed: ${reason}`);
}

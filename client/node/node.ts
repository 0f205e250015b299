import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { StoreOptions } from "../setup.ts";
import { formatSize } from "../size.ts";
import { describeSurvey } from "./memory.ts";
import { StoreClient } from "../store_client.ts";
import { type Clock, pause, systemClock } from "../transfer/clock.ts";

/** First and longest wait between two attempts to reach a master. */
const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5000;
/** How often a waiting node says so. */
const PROGRESS_MS = 5000;

/**
 * What {@linkcode StoreNode.start} can be told, besides the options of a client.
 *
 * @example
 * ```ts ignore
 * const options: StoreNodeOptions = { globalSegmentSize: "64gb", log: console.log };
 * ```
 */
export interface StoreNodeOptions extends StoreOptions {
  /** Milliseconds that an absent master is waited for; default 60000. */
  maxWaitMs?: number;
  /** Receives lines for the operator. */
  log: (line: string) => void;
  /** Ends the waiting: the start rejects with the reason. */
  signal?: AbortSignal;
}

/**
 * Lends memory of this machine to a pool: mounts it, keeps it mounted through restarts of the
 * master, serves it to clients, and copies and moves objects when the master orders it.
 *
 * @example
 * ```ts ignore
 * await using node = await StoreNode.start({
 *   masterServerAddress: "10.0.0.1:50051",
 *   localHostname: "10.0.0.7",
 *   globalSegmentSize: "64gb",
 *   log: console.log,
 * });
 * console.log(node.describe());
 * ```
 */
export class StoreNode implements AsyncDisposable {
  /** The client that lends the memory. */
  readonly client: StoreClient;
  readonly #master: string;

  private constructor(client: StoreClient, master: string) {
    this.client = client;
    this.#master = master;
  }

  /**
   * Waits for the master and mounts the memory. Rejects as `StoreClient.connect` does; with
   * `RPC_FAIL` or `RPC_TIMEOUT` when master or metadata server did not answer in the time given.
   */
  static async start(options: StoreNodeOptions): Promise<StoreNode> {
    const { maxWaitMs = 60_000, signal, ...storeOptions } = options;
    const clock = options.clock ?? systemClock;
    const master = options.masterServerAddress ?? "127.0.0.1:50051";
    const begun = clock.now();
    let wait = FIRST_RETRY_MS;
    let told = -Infinity;
    for (;;) {
      try {
        return new StoreNode(
          await StoreClient.connect({ populate: true, ...storeOptions }),
          master,
        );
      } catch (error) {
        signal?.throwIfAborted();
        const waited = clock.now() - begun;
        if (!isAbsence(error) || waited + wait > maxWaitMs) throw error;
        if (clock.now() - told >= PROGRESS_MS) {
          told = clock.now();
          options.log(progressLine(error, waited, maxWaitMs));
        }
      }
      await nextAttempt(clock, wait, signal);
      wait = Math.min(wait * 2, MAX_RETRY_MS);
    }
  }

  /** Whether the node lends memory to a master that answers. */
  get ready(): boolean {
    return this.client.connected && this.client.segments.length > 0;
  }

  /** One line that says what is lent to whom. */
  describe(): string {
    const { client } = this;
    const bytes = client.segments.reduce((sum, { size }) => sum + size, 0);
    const engine = client.engine.replace("tcp-", "");
    return `segment ${client.hostname}, ${formatSize(bytes)}${placeText(client)}, tcp (${engine})${
      pluginText(client)
    }, ` +
      `master ${this.#master}`;
  }

  /** One line that says where the memory lies once it has been provided, or `null`; never rejects. */
  async describeMemory(): Promise<string | null> {
    await this.client.populated;
    const survey = await this.client.surveyMemory().catch(() => null);
    return survey === null ? null : describeSurvey(survey);
  }

  /** Takes the memory back. Never rejects, and takes some seconds at most. */
  close(): Promise<void> {
    return this.client.close();
  }

  /** {@linkcode close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The transport that is a library of its own, and how far it can be trusted. */
function pluginText({ plugin }: StoreClient): string {
  return plugin === null ? "" : `, ${plugin.name} (${plugin.standing})`;
}

/** Where the memory lies, when that is a device or a file, and how far this can be trusted. */
function placeText({ device, memoryFile }: StoreClient): string {
  if (memoryFile !== null) return ` of ${memoryFile.path} (${memoryFile.kind})`;
  return device === null ? "" : ` of ${device.location} (${device.name}; ${device.standing})`;
}

/** Waiting can help when somebody did not answer; any other failure would only repeat itself. */
function isAbsence(error: unknown): error is StoreError {
  return error instanceof StoreError &&
    (error.code === ErrorCode.RPC_FAIL || error.code === ErrorCode.RPC_TIMEOUT);
}

function progressLine(error: StoreError, waitedMs: number, maxWaitMs: number): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(0);
  return `waiting (${seconds(waitedMs)} s of ${seconds(maxWaitMs)} s): ${error.message}`;
}

async function nextAttempt(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  await pause(clock, ms, signal);
  signal?.throwIfAborted();
}

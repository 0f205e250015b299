import { randomBytes } from "node:crypto";
import { receiveMessageOnPort } from "node:worker_threads";
import type { CoreConfig } from "../core/api.ts";
import type { MasterCore } from "../core/core.ts";
import type { DataDirectory } from "../journal/data_directory.ts";
import { listFiles } from "../journal/files.ts";
import { recover } from "../journal/recovery.ts";
import { CoreSeat, type SeatOutcome } from "./core_seat.ts";
import type { LogGroup } from "./fact_log.ts";
import type { HaConfig } from "./ha_config.ts";
import type { CopyStart } from "./local_copy.ts";
import type { MemberStatus } from "./member_status.ts";
import type { ReplicatedCore } from "./replicated_core.ts";
import type { FromMember, MemberOrder, ToMember } from "./worker_protocol.ts";

/** How often a standby looks for groups and admin calls. */
const STANDBY_POLL_MS = 5;
/** Time that a member gets to leave the cluster. */
const STOP_TIMEOUT_MS = 3000;

export interface SeatOptions {
  directory: DataDirectory;
  core: MasterCore;
  config: CoreConfig;
  ha: HaConfig;
  clusterId: string;
  /** Milliseconds, monotonic; the clock of the core. */
  clock: () => number;
  log: MemberOrder["log"];
  info: (line: string) => void;
  warn: (line: string) => void;
}

/**
 * A master's seat in its cluster, in the thread that owns the core: recovers the core from this
 * master's files, starts the Worker that is the member and carries messages between it and a
 * {@linkcode CoreSeat}.
 */
export class HaSeat {
  readonly #options: SeatOptions;
  readonly #copy: CopyStart;
  readonly #seat: CoreSeat;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #groups: MessagePort;
  readonly #workerPorts: MessagePort[];
  /** What opens this master's checkpoint to whoever can read the engine. */
  readonly checkpointToken: string = randomBytes(32).toString("base64url");

  /** Recovers the core. Throws what `recover` throws. */
  constructor(options: SeatOptions) {
    this.#options = options;
    const { directory, core, config, clock, info, warn } = options;
    const startedMs = clock();
    removePartial(directory.journalPath);
    const { sequence, tailBytes, checkpointBytes, losses } = recover(
      ...[directory.journalPath, core, { repair: true }] as const,
    );
    for (const loss of losses) warn(loss);
    if (sequence > 0) {
      const seconds = ((clock() - startedMs) / 1000).toFixed(2);
      info(`recovered ${core.keyCount} keys up to group ${sequence} in ${seconds} s`);
    }
    this.#copy = {
      ...{ directory: directory.journalPath, config, sequence, tailBytes, checkpointBytes },
      checkpointSequence: listFiles(directory.journalPath).checkpoints.at(-1)?.sequence ?? 0,
    };
    const control = new MessageChannel();
    const groups = new MessageChannel();
    this.#port = control.port1;
    this.#groups = groups.port1;
    this.#workerPorts = [control.port2, groups.port2];
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
    this.#worker.onerror = (event) => {
      event.preventDefault();
      warn(`the cluster's Worker failed: ${event.message}`);
      this.#seat.memberFailed();
    };
    const send = (message: ToMember, transfer: Transferable[] = []) =>
      this.#worker.postMessage(message, transfer);
    this.#seat = new CoreSeat({ core, sequence, clock, send, warn });
    // Taking long messages without the event loop costs a hundred times as much.
    this.#groups.onmessage = ({ data }: MessageEvent<LogGroup[]>) => this.#seat.apply(data);
  }

  /** Joins the cluster under the addresses at which others reach this master's servers. */
  start(rpc: string, admin: string): void {
    const { ha, clusterId, directory, log } = this.#options;
    const { checkpointToken } = this;
    const order: MemberOrder = {
      ...{ ha, clusterId, dataPath: directory.path, copy: this.#copy, rpc, admin, log },
      checkpointToken,
    };
    const message: ToMember = { type: "start", order };
    this.#worker.postMessage(message, this.#workerPorts);
  }

  /**
   * Follows the log, calling `serve` every few milliseconds, until this master is elected, must begin
   * anew, or is stopped. Throws an `Error` with one line when it must not go on at all.
   */
  async standBy(serve: () => void): Promise<SeatOutcome> {
    for (;;) {
      this.drain();
      serve();
      const { standing } = this.#seat;
      if (standing !== null) return standing;
      await new Promise((resolve) => setTimeout(resolve, STANDBY_POLL_MS));
    }
  }

  /** Called when this master is not the leader any more, or must stop. */
  set onEnd(onEnd: () => void) {
    this.#seat.onEnd = onEnd;
  }

  /** What has become of this master, `null` before {@linkcode onEnd} is called. */
  get outcome(): SeatOutcome | null {
    return this.#seat.outcome;
  }

  /** This master's part in the cluster, as it knows it. */
  get status(): MemberStatus {
    return this.#seat.status;
  }

  get directory(): DataDirectory {
    return this.#options.directory;
  }

  /** Lets the core decide from now on; what it tells goes to the log through `leading`. */
  lead(leading: ReplicatedCore): void {
    this.#groups.close();
    this.#seat.lead(leading);
  }

  /** Takes a group of the core's facts to the log. */
  append(group: LogGroup): void {
    this.#seat.append(group);
  }

  /** From now on messages are there when this descriptor wakes the thread. */
  wakeBy(fd: number): void {
    const message: ToMember = { type: "wake", fd };
    this.#worker.postMessage(message);
  }

  /** From now on messages are taken in the event loop as they arrive; then `taken` is called. */
  takeInEventLoop(taken: () => void): void {
    this.#port.onmessage = ({ data }: MessageEvent<FromMember>) => {
      this.#seat.take(data);
      taken();
    };
  }

  /** Takes the messages that have arrived. */
  drain(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port as never);
      if (received === undefined) return;
      this.#seat.take(received.message as FromMember);
    }
  }

  stop(): void {
    this.#seat.stop();
  }

  /** Leaves the cluster: a leader's epoch ends at once, so that another can begin. */
  async close(): Promise<void> {
    this.#seat.leave();
    const deadline = this.#options.clock() + STOP_TIMEOUT_MS;
    while (!this.#seat.left && this.#options.clock() < deadline) {
      this.drain();
      await new Promise((resolve) => setTimeout(resolve, STANDBY_POLL_MS));
    }
    this.#worker.terminate();
    this.#port.close();
    this.#groups.close();
    this.#options.directory[Symbol.dispose]();
  }
}

/** Removes checkpoints that were not finished. */
function removePartial(directory: string): void {
  for (const { name } of Deno.readDirSync(directory)) {
    if (name.endsWith(".partial")) Deno.removeSync(`${directory}/${name}`);
  }
}

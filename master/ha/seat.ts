import { randomBytes } from "node:crypto";
import { receiveMessageOnPort } from "node:worker_threads";
import { FramedReplay } from "../core/replay.ts";
import type { CoreConfig } from "../core/api.ts";
import type { MasterCore } from "../core/core.ts";
import type { DataDirectory } from "../journal/data_directory.ts";
import { listFiles } from "../journal/files.ts";
import { GROUP_HEADER_BYTES } from "../journal/group_format.ts";
import { recover } from "../journal/recovery.ts";
import type { LogGroup } from "./fact_log.ts";
import type { HaConfig } from "./ha_config.ts";
import type { CopyStart } from "./local_copy.ts";
import { type MemberStatus, startingStatus } from "./member_status.ts";
import type { ReplicatedCore } from "./replicated_core.ts";
import type { FromMember, MemberOrder, ToMember } from "./worker_protocol.ts";

/** How often a standby looks for groups and admin calls. */
const STANDBY_POLL_MS = 5;
/** Time that a member gets to leave the cluster. */
const STOP_TIMEOUT_MS = 3000;
/** Groups that did not fit, told one by one. */
const TOLD_REFUSALS = 5;

/** Why a master stopped being what it was. */
export type SeatOutcome = "promoted" | "stopped" | "over";

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
 * master's files, starts the Worker that is the member, applies what the log brings and, once it is
 * promoted, takes the core's facts there.
 */
export class HaSeat {
  readonly #options: SeatOptions;
  readonly #copy: CopyStart;
  readonly #replay: FramedReplay;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #groups: MessagePort;
  readonly #workerPorts: MessagePort[];
  /** What opens this master's checkpoint to whoever can read the engine. */
  readonly checkpointToken: string = randomBytes(32).toString("base64url");
  #leading: ReplicatedCore | null = null;
  #promotion: { epoch: number; sequence: number; validUntilMs: number } | null = null;
  #validUntilMs = -Infinity;
  #outcome: SeatOutcome | null = null;
  #fatal: string | null = null;
  #stopped = false;
  #refusedFacts = 0;
  /** Called when this master is not the leader any more, or must stop. */
  onEnd: () => void = () => {};
  /** Last group that the core has, or that it has told and the log holds. */
  #applied: number;
  #status = startingStatus;

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
    this.#applied = sequence;
    this.#replay = new FramedReplay(core.state);
    const control = new MessageChannel();
    const groups = new MessageChannel();
    this.#port = control.port1;
    this.#groups = groups.port1;
    this.#workerPorts = [control.port2, groups.port2];
    // Taking long messages without the event loop costs a hundred times as much.
    this.#groups.onmessage = ({ data }: MessageEvent<LogGroup[]>) => this.#apply(data);
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
    this.#worker.onerror = (event) => {
      event.preventDefault();
      warn(`the cluster's Worker failed: ${event.message}`);
      this.#stopped = true;
      this.#end("over");
    };
  }

  /** Joins the cluster under the addresses at which others reach this master's servers. */
  start(rpc: string, admin: string): void {
    const { ha, clusterId, directory, log } = this.#options;
    const { checkpointToken } = this;
    const order: MemberOrder = {
      ...{ ha, clusterId, dataPath: directory.path, copy: this.#copy, rpc, admin, log },
      checkpointToken,
    };
    this.#send({ type: "start", order }, this.#workerPorts);
  }

  /**
   * Follows the log, calling `serve` every few milliseconds, until this master is elected, must begin
   * anew, or is stopped. Throws an `Error` with one line when it must not go on at all.
   */
  async standBy(serve: () => void): Promise<SeatOutcome> {
    for (;;) {
      this.drain();
      serve();
      if (this.#fatal !== null) throw new Error(this.#fatal);
      if (this.#outcome !== null) return this.#outcome;
      if ((this.#promotion?.sequence ?? Infinity) <= this.#applied) return "promoted";
      await new Promise((resolve) => setTimeout(resolve, STANDBY_POLL_MS));
    }
  }

  /** What has become of this master, `null` before {@linkcode onEnd} is called. */
  get outcome(): SeatOutcome | null {
    return this.#outcome;
  }

  /** This master's part in the cluster, as it knows it. */
  get status(): MemberStatus {
    const logSequence = Math.max(this.#status.logSequence, this.#applied);
    const status = { ...this.#status, sequence: this.#applied, logSequence };
    // Elected, but not there yet: what the core changed now would be told to nobody.
    const notYet = this.#leading === null && status.role === "leader";
    return notYet ? { ...status, role: "standby", state: "standby" } : status;
  }

  get directory(): DataDirectory {
    return this.#options.directory;
  }

  /** Lets the core decide from now on; what it tells goes to the log through `leading`. */
  lead(leading: ReplicatedCore): void {
    const { core, clock } = this.#options;
    const { sequence, validUntilMs } = this.#promotion!;
    this.#groups.close();
    core.finishReplay(clock());
    this.#leading = leading;
    leading.begin(sequence, Math.max(validUntilMs, this.#validUntilMs));
  }

  /** Takes a group of the core's facts to the log. */
  append(group: LogGroup): void {
    this.#send({ type: "append", group }, [group.bytes.buffer as ArrayBuffer]);
  }

  /** From now on messages are there when this descriptor wakes the thread. */
  wakeBy(fd: number): void {
    this.#send({ type: "wake", fd });
  }

  /** From now on messages are taken in the event loop as they arrive; then `taken` is called. */
  takeInEventLoop(taken: () => void): void {
    this.#port.onmessage = ({ data }: MessageEvent<FromMember>) => {
      this.#take(data);
      taken();
    };
  }

  /** Takes the messages that have arrived. */
  drain(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port as never);
      if (received === undefined) return;
      this.#take(received.message as FromMember);
    }
  }

  stop(): void {
    this.#end("stopped");
  }

  /** Leaves the cluster: a leader's epoch ends at once, so that another can begin. */
  async close(): Promise<void> {
    this.#leading?.end();
    if (!this.#stopped) {
      this.#send({ type: "stop" });
      const deadline = this.#options.clock() + STOP_TIMEOUT_MS;
      while (!this.#stopped && this.#options.clock() < deadline) {
        this.drain();
        await new Promise((resolve) => setTimeout(resolve, STANDBY_POLL_MS));
      }
    }
    this.#worker.terminate();
    this.#port.close();
    this.#groups.close();
    this.#options.directory[Symbol.dispose]();
  }

  #send(message: ToMember, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #take(message: FromMember): void {
    switch (message.type) {
      case "up":
        return this.#send({ type: "clock", nowMs: this.#options.clock() });
      case "promoted":
        this.#promotion = message;
        return;
      case "valid":
        this.#validUntilMs = message.untilMs;
        return this.#leading?.extend(message.untilMs);
      case "acknowledged":
        this.#applied = message.sequence;
        return this.#leading?.acknowledge(message.sequence);
      case "refused":
        return this.#leading?.refuse(message.why);
      case "over":
        this.#options.warn(`this master begins anew: ${message.why}`);
        return this.#end("over");
      case "fatal":
        this.#fatal = message.why;
        return this.#end("over");
      case "status":
        this.#status = message.status;
        return;
      case "stopped":
        this.#stopped = true;
    }
  }

  #apply(groups: LogGroup[]): void {
    if (this.#leading !== null || this.#outcome !== null) return;
    for (const { sequence, bytes } of groups) {
      this.#applied = sequence;
      this.#replay.apply(bytes, GROUP_HEADER_BYTES, bytes.length, (why) => {
        if (this.#refusedFacts++ < TOLD_REFUSALS) {
          this.#options.warn(`passed over a change of group ${sequence}: ${why}`);
        }
      });
    }
  }

  #end(outcome: SeatOutcome): void {
    if (this.#outcome !== null) return;
    this.#outcome = outcome;
    if (outcome === "over") this.#leading?.end();
    this.onEnd();
  }
}

/** Removes checkpoints that were not finished. */
function removePartial(directory: string): void {
  for (const { name } of Deno.readDirSync(directory)) {
    if (name.endsWith(".partial")) Deno.removeSync(`${directory}/${name}`);
  }
}

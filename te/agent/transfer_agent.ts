import { systemClock } from "../../client/transfer/clock.ts";
import type { MetadataKv } from "../../client/transfer/kv_metadata.ts";
import type { Notification } from "../../proto/handshake.ts";
import type { TransferRequest } from "../batch.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import { openServiceOf } from "../metadata_service.ts";
import { TransferEngine } from "../transfer_engine.ts";
import { type AgentMessage, decodeMessage, encodeMessage, messageBytes } from "./agent_messages.ts";
import { decodeAgentMetadata, encodeAgentMetadata } from "./agent_metadata.ts";
import { type AgentOptions, checkAgentOptions } from "./agent_options.ts";
import { AgentTransfer, type AgentTransferState } from "./agent_transfer.ts";
import { type DescriptorList, type MemoryType } from "./descriptors.ts";
import { type AgentMemory, LocalMemory, type RegisteredDescriptors } from "./local_memory.ts";
import { MetadataExchange } from "./metadata_exchange.ts";
import { NotificationBox } from "./notification_box.ts";
import { type MakeOptions, piecesOf, PreparedDescriptors } from "./prepared_descriptors.ts";
import { RemoteAgent, RemoteAgents } from "./remote_agents.ts";

const MAX_NOTIFICATIONS = 1024;

/**
 * A transfer engine with the verbs of NVIDIA's NIXL agents: memory is registered and described by
 * (address, length, device id), metadata are handed to other agents by any channel, transfers are
 * prepared, posted and checked, and end with a notification at the other agent. The bytes of metadata
 * and notifications are ours: both ends have to be of this kind.
 *
 * @example One agent writes into the memory of another
 * ```ts ignore
 * await using target = await TransferAgent.open("target");
 * const lent = await target.registerMemory([new Uint8Array(4096)]);
 *
 * await using initiator = await TransferAgent.open("initiator");
 * const mine = await initiator.registerMemory([new Uint8Array(4096).fill(1)]);
 * const peer = initiator.addRemoteAgent(target.getMetadata());
 * const transfer = initiator.initializeTransfer("write", mine, lent, peer, { notification: "done" });
 * initiator.post(transfer);
 * while (initiator.check(transfer) === "running") await somethingElse();
 * console.log(target.takeNotifications().get("initiator"));
 * ```
 */
export class TransferAgent implements AsyncDisposable {
  /** Under which others know it. */
  readonly name: string;
  /** What moves the bytes. */
  readonly engine: TransferEngine;
  readonly #instance: string;
  readonly #local: LocalMemory;
  readonly #remotes: RemoteAgents;
  /** How it reaches itself. */
  readonly #self: RemoteAgent;
  readonly #exchange: MetadataExchange;
  readonly #box: NotificationBox;

  private constructor(
    name: string,
    options: ReturnType<typeof checkAgentOptions>,
    engine: TransferEngine,
    service: MetadataKv | null,
    box: NotificationBox,
  ) {
    this.name = name;
    this.engine = engine;
    this.#instance = crypto.randomUUID().replaceAll("-", "");
    this.#local = new LocalMemory(engine);
    this.#remotes = new RemoteAgents(engine);
    this.#self = new RemoteAgent(name, this.#instance, engine, engine.localName);
    this.#box = box;
    this.#exchange = new MetadataExchange({
      ...{ name, engine, service, listen: options.listen },
      clusterId: options.engine.metadataClusterId ?? "",
      clock: options.engine.clock ?? systemClock,
      timeoutMs: options.engine.handshakeTimeoutMs ?? 5000,
      metadata: () => this.getMetadata(),
      load: (metadata) => this.addRemoteAgent(metadata),
      forget: (agent) => this.removeRemoteAgent(agent),
    });
  }

  /**
   * Opens an agent and its engine. `EngineError` as `TransferEngine.initialize`, and
   * `INVALID_ARGUMENT` for a name that is none: 1 to 256 characters without control characters.
   */
  static async open(name: string, options: AgentOptions = {}): Promise<TransferAgent> {
    const checked = checkAgentOptions(name, options);
    const { maxNotifications = MAX_NOTIFICATIONS } = options;
    const box = new NotificationBox(maxNotifications, checked.onNotification);
    let take = (_from: string, _message: AgentMessage): void => {
      throw new Error("the agent is not open yet");
    };
    const onNotify = ({ name, message }: Notification) => take(name, decodeMessage(message));
    const engine = await TransferEngine.initialize({ ...checked.engine, onNotify });
    const agent = new TransferAgent(name, checked, engine, openServiceOf(checked.engine), box);
    take = (from, message) => {
      if (message.kind === "message") box.put(from, message.body);
      else agent.#exchange.take(from, message);
    };
    return agent;
  }

  /** Where other agents reach this one's engine, for `fetchMetadata` and `sendMetadata`. */
  get address(): string {
    return this.engine.localName;
  }

  /**
   * Registers memory, all of it or none: a length to allocate (`DRAM` only), an array, or
   * `{ address, length, deviceId }` of memory outside of JavaScript, with `VRAM` that of a CUDA device.
   * The descriptors have the address that was given; those of lengths and arrays one that the engine
   * draws. `EngineError`: `INVALID_ARGUMENT`, `ADDRESS_OVERLAPPED`, and as
   * `TransferEngine.registerMemory`.
   */
  registerMemory(
    memories: readonly AgentMemory[],
    type: MemoryType = "DRAM",
  ): Promise<RegisteredDescriptors> {
    return this.#local.register(memories, type);
  }

  /** Takes registered memory back. `ADDRESS_NOT_REGISTERED` for a descriptor that is not. */
  deregisterMemory(list: DescriptorList): Promise<void> {
    return this.#local.deregister(list);
  }

  /** All that others need to know, as bytes: the name, how it is reached, its memory. */
  getMetadata(): Uint8Array {
    return this.#encode({ whole: true, connection: true });
  }

  /**
   * Metadata of some registered memory, maybe none. Without `connection` (default false) they are of
   * use to those who have had that before. `ADDRESS_NOT_REGISTERED` for a descriptor that is not.
   */
  getPartialMetadata(list: DescriptorList, options: { connection?: boolean } = {}): Uint8Array {
    return this.#encode({ whole: false, connection: options.connection ?? false, list });
  }

  /**
   * Takes the metadata of another agent in and returns its name. Newer ones of a process take the
   * place of older ones, partial ones are added; an agent that another process opened under the name
   * takes the place of the former. `INVALID_ARGUMENT` for bytes that are none or were changed.
   */
  addRemoteAgent(metadata: Uint8Array): string {
    const decoded = decodeAgentMetadata(metadata);
    if (decoded.name === this.name) {
      const message = `Metadata of agent ${JSON.stringify(this.name)} are this agent's own name`;
      throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
    }
    this.#remotes.load(decoded);
    return decoded.name;
  }

  /** Forgets another agent and ends the connections with it: what is under way fails. */
  removeRemoteAgent(name: string): void {
    this.#remotes.remove(name);
  }

  /** Whether the metadata of another agent are here, and name all memory of a list. */
  hasRemoteAgent(name: string, list?: DescriptorList): boolean {
    return this.#remotes.has(name, list);
  }

  /** The memory of another agent, as its metadata tell it, by device and address. */
  remoteMemory(name: string, type: MemoryType = "DRAM"): DescriptorList {
    const all = this.#remotes.get(name).memory.all.filter((range) => range.type === type);
    return { type, descriptors: all.map(({ descriptor }) => descriptor) };
  }

  /** Finds the way to another agent now rather than with the first transfer. `METADATA`. */
  async makeConnection(name: string): Promise<void> {
    await this.#remotes.get(name).open();
  }

  /**
   * Checks descriptors once, for any number of transfers: of this agent's memory (`"local"`), or of
   * that of an agent by its name, which may be this one's. `ADDRESS_NOT_REGISTERED` for the first that
   * does not lie inside of registered memory, as the metadata tell it.
   */
  prepareDescriptors(side: "local" | { agent: string }, list: DescriptorList): PreparedDescriptors {
    if (side === "local") return PreparedDescriptors.local(this.#local, list);
    if (side.agent === this.name) {
      return PreparedDescriptors.loopback(this.#self, this.#local, list);
    }
    return PreparedDescriptors.remote(this.#remotes.get(side.agent), list);
  }

  /**
   * Makes a transfer of prepared descriptors: the i-th local index with the i-th remote one, which have
   * to be of the same length. `INVALID_ARGUMENT` with the pair that is wrong.
   */
  makeTransfer(
    operation: "read" | "write",
    local: PreparedDescriptors,
    localIndices: readonly number[],
    remote: PreparedDescriptors,
    remoteIndices: readonly number[],
    options: MakeOptions = {},
  ): AgentTransfer {
    const pieces = piecesOf(operation, local, localIndices, remote, remoteIndices, options);
    const { notification } = options;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const bytes = notification === undefined ? null : messageBytes(notification);
    const remoteAgent = remote.agent;
    return new AgentTransfer(operation, remoteAgent, length, bytes, async (message, signal) => {
      const text = message && encodeMessage("message", message);
      const segment = await remote.open();
      const requests = pieces.map(({ remoteBase: _, ...piece }): TransferRequest => ({
        ...{ opcode: operation, segment },
        ...piece,
      }));
      const { timeoutMs, priority } = options;
      const codes = await this.engine.transferSync(requests, {
        signal,
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(priority !== undefined && { priority }),
      });
      const failed = codes.findIndex((code) => code !== EngineCode.OK);
      if (failed >= 0) {
        const why = this.engine.explain(requests[failed], codes[failed]);
        throw new EngineError(codes[failed], `${operation} with agent "${remoteAgent}": ${why}`);
      }
      if (text !== null) await this.engine.notify(segment.name, text, this.name);
    });
  }

  /** Makes a transfer of two lists, pair by pair, at once: prepares both, then makes it of all. */
  initializeTransfer(
    operation: "read" | "write",
    local: DescriptorList,
    remote: DescriptorList,
    remoteAgent: string,
    options: MakeOptions = {},
  ): AgentTransfer {
    const mine = this.prepareDescriptors("local", local);
    const theirs = this.prepareDescriptors({ agent: remoteAgent }, remote);
    const all = (prepared: PreparedDescriptors) =>
      Array.from({ length: prepared.count }, (_, i) => i);
    return this.makeTransfer(operation, mine, all(mine), theirs, all(theirs), options);
  }

  /**
   * Begins a transfer, and returns its state at once. It may be posted again when it is over, with
   * another notification. `INVALID_ARGUMENT` while it runs and after its release.
   */
  post(transfer: AgentTransfer, notification?: Uint8Array | string): AgentTransferState {
    return transfer.post(notification === undefined ? undefined : messageBytes(notification));
  }

  /**
   * How far a transfer is. `done`: every byte is in place, and the other agent has the notification.
   * `failed`: `transfer.error` says why.
   */
  check(transfer: AgentTransfer): AgentTransferState {
    return transfer.state;
  }

  /**
   * Gives a transfer up. What has not begun of it is cancelled; resolves when nothing of its memory is
   * used any more.
   */
  release(transfer: AgentTransfer): Promise<void> {
    return transfer.release();
  }

  /**
   * Leaves a message with another agent, beside any transfer; text becomes UTF-8. `METADATA` when it
   * is not found, `REJECT_HANDSHAKE` when it does not take the message, `INVALID_ARGUMENT` for more
   * than 512 KiB.
   */
  async sendNotification(agent: string, message: Uint8Array | string): Promise<void> {
    const text = encodeMessage("message", messageBytes(message));
    const to = agent === this.name ? this.address : this.#remotes.get(agent).segmentName;
    await this.engine.notify(to, text, this.name);
  }

  /** Takes the notifications that have come, by agent, in the order of their arrival. */
  takeNotifications(): Map<string, Uint8Array[]> {
    return this.#box.takeAll();
  }

  /**
   * Takes the first notification of an agent that begins with a tag, or with `anywhere` has it in it,
   * and says whether there was one; others stay.
   */
  takeNotification(agent: string, tag: Uint8Array | string, anywhere = false): boolean {
    return this.#box.takeOne(agent, messageBytes(tag), anywhere);
  }

  /**
   * Hands metadata (default all) to the agent whose engine is at `to`, which has to listen, or keeps
   * them under this agent's name in the metadata service. `METADATA`, `REJECT_HANDSHAKE`.
   */
  async sendMetadata(options: { to?: string; metadata?: Uint8Array } = {}): Promise<void> {
    await this.#exchange.send(options.metadata ?? this.getMetadata(), options.to);
  }

  /**
   * Brings the metadata of an agent in, from its engine at `from`, which has to listen, or from the
   * metadata service. `METADATA`, `REJECT_HANDSHAKE`, `TIMEOUT` when no answer comes.
   */
  async fetchMetadata(agent: string, options: { from?: string } = {}): Promise<void> {
    await this.#exchange.fetch(agent, options.from);
  }

  /** Takes this agent's metadata back from the engine at `to`, or from the metadata service. */
  async invalidateMetadata(options: { to?: string } = {}): Promise<void> {
    await this.#exchange.invalidate(options.to);
  }

  /** Takes the metadata and the memory back and closes the engine. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exchange.close();
    await this.engine[Symbol.asyncDispose]();
  }

  #encode(what: { whole: boolean; connection: boolean; list?: DescriptorList }): Uint8Array {
    return encodeAgentMetadata({
      ...{ name: this.name, instance: this.#instance, whole: what.whole },
      revision: this.#local.revision,
      segment: what.connection ? this.address : null,
      memory: this.#local.published(what.list),
    });
  }
}

import { EngineCode, EngineError } from "../engine_code.ts";
import type { Segment } from "../segment.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { AgentMetadata } from "./agent_metadata.ts";
import type { DescriptorList } from "./descriptors.ts";
import { RangeTable } from "./range_table.ts";

/** Another agent, as its metadata describe it. */
export class RemoteAgent {
  readonly #engine: TransferEngine;
  #memory = new RangeTable<bigint>();
  #opening: Promise<Segment> | null = null;
  #segmentName: string | null;
  #revision = 0;
  #removed = false;

  constructor(
    readonly name: string,
    /** Of the process that the metadata came from. */
    readonly instance: string,
    engine: TransferEngine,
    segmentName: string | null = null,
  ) {
    this.#engine = engine;
    this.#segmentName = segmentName;
  }

  /** Addresses that requests name, by memory. */
  get memory(): RangeTable<bigint> {
    return this.#memory;
  }

  /** Whether it was taken out, or another process has its name. */
  get isRemoved(): boolean {
    return this.#removed;
  }

  /** Under which name its engine is reached. `METADATA` when its metadata have not told. */
  get segmentName(): string {
    if (this.#segmentName !== null) return this.#segmentName;
    const message = `The metadata of agent ${JSON.stringify(this.name)} do not tell how it is ` +
      "reached: they are partial ones without the connection";
    throw new EngineError(EngineCode.METADATA, message);
  }

  /** Takes metadata of the same process in; older ones than those known change nothing. */
  load({ revision, segment, whole, memory }: AgentMetadata): void {
    if (revision < this.#revision) return;
    const table = new RangeTable<bigint>();
    if (!whole) { for (const range of this.#memory.all) table.add(range); }
    for (const { type, descriptor, remoteAddress } of memory) {
      table.remove(type, descriptor);
      table.add({ type, descriptor, value: remoteAddress });
    }
    this.#memory = table;
    if (whole) this.#revision = revision;
    if (segment !== null) this.#segmentName = segment;
  }

  /** Its memory, opened when that is first asked for. Rejects as `TransferEngine.openSegment`. */
  open(): Promise<Segment> {
    const opening = this.#opening ??= this.#engine.openSegment(this.segmentName);
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = null;
    });
    return opening;
  }

  /** Ends the connections: what is under way fails. */
  remove(): void {
    this.#removed = true;
    this.#opening?.then((segment) => this.#engine.closeSegment(segment)).catch(() => {});
  }
}

/** The agents whose metadata one agent has. */
export class RemoteAgents {
  readonly #engine: TransferEngine;
  readonly #agents = new Map<string, RemoteAgent>();

  constructor(engine: TransferEngine) {
    this.#engine = engine;
  }

  /** Takes metadata in; those of another process take the place of those that are there. */
  load(metadata: AgentMetadata): void {
    const { name, instance } = metadata;
    let agent = this.#agents.get(name);
    if (agent?.instance !== instance) {
      const fresh = new RemoteAgent(name, instance, this.#engine);
      fresh.load(metadata);
      agent?.remove();
      this.#agents.set(name, agent = fresh);
    } else agent.load(metadata);
  }

  /** An agent by its name. `INVALID_ARGUMENT` when its metadata are not there. */
  get(name: string): RemoteAgent {
    const agent = this.#agents.get(name);
    if (agent !== undefined) return agent;
    const known = [...this.#agents.keys()].map((one) => JSON.stringify(one)).join(", ");
    throw new EngineError(
      EngineCode.INVALID_ARGUMENT,
      `Agent ${JSON.stringify(name)} is not known: addRemoteAgent takes its metadata; known: ${
        known || "none"
      }`,
    );
  }

  /** Whether an agent is known, with all of a list. */
  has(name: string, list?: DescriptorList): boolean {
    const agent = this.#agents.get(name);
    if (agent === undefined) return false;
    const { type, descriptors } = list ?? { type: "DRAM", descriptors: [] };
    return descriptors.every((one) => agent.memory.find(type, one) !== undefined);
  }

  /** Takes an agent out; errors as {@linkcode get}. */
  remove(name: string): void {
    this.get(name).remove();
    this.#agents.delete(name);
  }
}

import { EngineCode, EngineError } from "../engine_code.ts";
import type { ExternalMemory, RegisteredMemory } from "../memory.ts";
import { refuse } from "../options.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { RemoteMemory } from "./agent_metadata.ts";
import {
  checkDescriptors,
  checkDevice,
  checkType,
  type Descriptor,
  type DescriptorList,
  descriptorText,
  type MemoryType,
} from "./descriptors.ts";
import { RangeTable } from "./range_table.ts";

/**
 * Memory to register: bytes to allocate, an array, or the address of memory outside of JavaScript; both
 * as for `TransferEngine.registerMemory`. `deviceId` (default 0) is the number of a CUDA device; of
 * memory of the host it only has to be the same in all descriptors.
 */
export type AgentMemory = number | Uint8Array | {
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  readonly deviceId?: number;
};

/** Descriptors of registered memory, and the memory behind them, in the same order. */
export interface RegisteredDescriptors extends DescriptorList {
  readonly memory: readonly RegisteredMemory[];
}

/** The memory of one agent. */
export class LocalMemory {
  readonly #engine: TransferEngine;
  readonly #table = new RangeTable<RegisteredMemory>();
  #revision = 1;

  constructor(engine: TransferEngine) {
    this.#engine = engine;
  }

  /** Grows with each change. */
  get revision(): number {
    return this.#revision;
  }

  /** Memory by its descriptors. */
  get table(): RangeTable<RegisteredMemory> {
    return this.#table;
  }

  /** Errors as `TransferAgent.registerMemory`. */
  async register(
    memories: readonly AgentMemory[],
    type: MemoryType,
  ): Promise<RegisteredDescriptors> {
    checkType(type);
    if (memories.length === 0) refuse("memories", "none", "at least one");
    const external = memories.map((memory, i) => externalOf(memory, type, `memories[${i}]`));
    const registered = await this.#engine.registerMemoryBatch(external);
    const descriptors: Descriptor[] = [];
    try {
      registered.forEach((value, i) => {
        const descriptor = descriptorOf(memories[i], value);
        this.#table.add({ type, descriptor, value });
        descriptors.push(descriptor);
      });
    } catch (error) {
      for (const descriptor of descriptors) this.#table.remove(type, descriptor);
      await this.#engine.unregisterMemoryBatch(registered);
      throw error;
    }
    this.#revision++;
    return { type, descriptors, memory: registered };
  }

  /** Errors as `TransferAgent.deregisterMemory`. */
  async deregister(list: DescriptorList): Promise<void> {
    const { type, descriptors } = checkDescriptors(list, "list");
    for (const descriptor of descriptors) this.#exactly(type, descriptor);
    const memory = descriptors.map((one) => this.#table.remove(type, one));
    this.#revision++;
    await this.#engine.unregisterMemoryBatch(memory.filter((one) => one !== undefined));
  }

  /** What metadata tell of all memory, or of that of a list. */
  published(list?: DescriptorList): RemoteMemory[] {
    const ranges = list === undefined
      ? this.#table.all
      : checkDescriptors(list, "list").descriptors.map((one) => this.#exactly(list.type, one));
    return ranges.map(({ type, descriptor, value }) => ({
      ...{ type, descriptor, remoteAddress: value.address },
    }));
  }

  #exactly(type: MemoryType, descriptor: Descriptor) {
    const range = this.#table.get(type, descriptor);
    if (range !== undefined) return range;
    throw new EngineError(
      EngineCode.ADDRESS_NOT_REGISTERED,
      `[${descriptorText(type, descriptor)}] is not registered as such with this agent: ` +
        this.#table.describe(type),
    );
  }
}

function externalOf(memory: AgentMemory, type: MemoryType, name: string): number | ExternalMemory {
  if (typeof memory === "number" || memory instanceof Uint8Array) {
    if (type === "DRAM") return memory;
    return refuse(name, typeof memory, `with ${type}, { address, length, deviceId }`);
  }
  const { address, length, deviceId = 0 } = memory;
  checkDescriptors({ type, descriptors: [{ address, length, deviceId }] }, name);
  checkDevice(deviceId, name);
  return { address, length, ...(type === "VRAM" && { location: `cuda:${deviceId}` }) };
}

/** Memory without an address of its own has that which the engine drew. */
function descriptorOf(memory: AgentMemory, registered: RegisteredMemory): Descriptor {
  if (typeof memory === "object" && "address" in memory) {
    return { address: memory.address, length: memory.length, deviceId: memory.deviceId ?? 0 };
  }
  return { address: registered.address, length: registered.length, deviceId: 0 };
}

import type { Priority } from "../../client/transfer/door.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import type { RegisteredMemory } from "../memory.ts";
import { refuse } from "../options.ts";
import type { Segment } from "../segment.ts";
import { mergePieces, type TransferPiece } from "./agent_transfer.ts";
import { checkDescriptors, type DescriptorList, descriptorText } from "./descriptors.ts";
import type { LocalMemory } from "./local_memory.ts";
import type { RangeTable } from "./range_table.ts";
import type { RemoteAgent } from "./remote_agents.ts";

/** How a transfer is made. */
export interface MakeOptions {
  /** What the other agent is told when the last byte is in place; text becomes UTF-8. */
  notification?: Uint8Array | string;
  /** Milliseconds until what is not over fails with `TIMEOUT`; default that of the engine. */
  timeoutMs?: number;
  /** High ones are not held up by the others, low ones give way; default `normal`. */
  priority?: Priority;
  /** Leaves descriptors that lie side by side at both ends apart; default false: they are joined. */
  skipMerge?: boolean;
}

interface LocalPlace {
  readonly memory: RegisteredMemory;
  readonly offset: number;
}

interface RemotePlace {
  /** Of the memory that it lies in. */
  readonly base: bigint;
  readonly offset: number;
}

/** Descriptors that were checked against the memory of one agent. */
export class PreparedDescriptors {
  readonly #remote: RemoteAgent | null;

  private constructor(
    /** Whose memory it is, by name; of the near end, empty. */
    readonly agent: string,
    /** Bytes of each. */
    readonly lengths: readonly number[],
    /** Set for the near end. */
    readonly places: readonly LocalPlace[] | null,
    /** Set for the far end. */
    readonly remotePlaces: readonly RemotePlace[] | null,
    remote: RemoteAgent | null,
  ) {
    this.#remote = remote;
  }

  /** Of memory of this agent, to be the near end. */
  static local(local: LocalMemory, list: DescriptorList): PreparedDescriptors {
    const places = resolve(local.table, list, "local").map(({ value, offset }) => ({
      ...{ memory: value, offset },
    }));
    return new PreparedDescriptors("", lengthsOf(list), places, null, null);
  }

  /** Of memory of this agent, to be the far end; `self` is how it reaches itself. */
  static loopback(
    self: RemoteAgent,
    local: LocalMemory,
    list: DescriptorList,
  ): PreparedDescriptors {
    const places = resolve(local.table, list, "remote").map(({ value, offset }) => ({
      ...{ base: value.address, offset },
    }));
    return new PreparedDescriptors(self.name, lengthsOf(list), null, places, self);
  }

  /** Of memory of another agent. */
  static remote(agent: RemoteAgent, list: DescriptorList): PreparedDescriptors {
    const what = `remote agent ${JSON.stringify(agent.name)}`;
    const places = resolve(agent.memory, list, what).map(({ value, offset }) => ({
      ...{ base: value, offset },
    }));
    return new PreparedDescriptors(agent.name, lengthsOf(list), null, places, agent);
  }

  /** Descriptors. */
  get count(): number {
    return this.lengths.length;
  }

  /** The segment of the far end. `INVALID_ARGUMENT` when its agent was removed meanwhile. */
  open(): Promise<Segment> {
    if (this.#remote !== null && !this.#remote.isRemoved) return this.#remote.open();
    const message = `Agent ${JSON.stringify(this.agent)} was removed, or opened anew by another ` +
      "process, after the descriptors were prepared";
    return Promise.reject(new EngineError(EngineCode.INVALID_ARGUMENT, message));
  }
}

/** The moves of a transfer. `INVALID_ARGUMENT` with the pair that is wrong. */
export function piecesOf(
  operation: string,
  local: PreparedDescriptors,
  localIndices: readonly number[],
  remote: PreparedDescriptors,
  remoteIndices: readonly number[],
  { skipMerge = false }: MakeOptions,
): TransferPiece[] {
  if (operation !== "read" && operation !== "write") refuse("operation", operation, "read, write");
  const { places } = local;
  const { remotePlaces } = remote;
  if (places === null) refuse("local", `of ${local.agent}`, 'prepared with "local"');
  if (remotePlaces === null) refuse("remote", "local", "prepared with the name of an agent");
  const count = localIndices.length;
  if (count === 0 || count !== remoteIndices.length) {
    refuse("remoteIndices", `${remoteIndices.length} of them`, `as many as local ones, ${count}`);
  }
  const pieces = localIndices.map((mine, i): TransferPiece => {
    const theirs = remoteIndices[i];
    checkIndex(`localIndices[${i}]`, mine, local.count);
    checkIndex(`remoteIndices[${i}]`, theirs, remote.count);
    const [length, other] = [local.lengths[mine], remote.lengths[theirs]];
    if (length !== other) {
      refuse(
        `remoteIndices[${i}]`,
        theirs,
        `one of ${length} bytes as local ${mine}, not ${other}`,
      );
    }
    const { memory, offset } = places[mine];
    return { local: memory, localOffset: offset, length, ...remotePlace(remotePlaces[theirs]) };
  });
  return skipMerge ? pieces : mergePieces(pieces);
}

function remotePlace({ base, offset }: RemotePlace) {
  return { remoteBase: base, remoteAddress: base + BigInt(offset) };
}

function checkIndex(name: string, index: number, count: number): void {
  if (Number.isInteger(index) && index >= 0 && index < count) return;
  refuse(name, index, `an integer from 0 to ${count - 1}`);
}

function lengthsOf({ descriptors }: DescriptorList): number[] {
  return descriptors.map(({ length }) => length);
}

function resolve<T>(table: RangeTable<T>, list: DescriptorList, what: string) {
  const { type, descriptors } = checkDescriptors(list, what);
  return descriptors.map((descriptor, i) => {
    const part = table.find(type, descriptor);
    if (part !== undefined) return part;
    throw new EngineError(
      EngineCode.ADDRESS_NOT_REGISTERED,
      `Descriptor ${i} of ${what} [${
        descriptorText(type, descriptor)
      }] does not lie in one piece ` +
        `of registered memory: ${table.describe(type)}`,
    );
  });
}

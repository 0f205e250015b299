/**
 * What an agent tells others of itself: how it is reached and which memory it has. Bytes of a form of
 * our own, the same in every version 1: little endian, sizes in four bytes.
 *
 *     u32 magic, u8 version, u8 flags, 16 bytes instance, u32 revision, text name, text segment,
 *     u32 count, count x (u8 type, u64 address, u64 length, u16 device, u64 remote address),
 *     u32 CRC-32C of all before
 */
import { Buffer } from "node:buffer";
import { ProtocolError } from "../../proto/error.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import {
  type Descriptor,
  type MemoryType,
  openSealed,
  readDescriptor,
  sealed,
  startSealed,
  typeNumber,
  typeOf,
  writeDescriptor,
} from "./descriptors.ts";

/** Memory of an agent as others reach it. */
export interface RemoteMemory {
  readonly type: MemoryType;
  readonly descriptor: Descriptor;
  /** Address of the first byte as requests name it. */
  readonly remoteAddress: bigint;
}

/** What the bytes say. */
export interface AgentMetadata {
  readonly name: string;
  /** Drawn when the agent is opened, as 32 hexadecimal digits. */
  readonly instance: string;
  /** Grows with each registration, so that old metadata are told from new. */
  readonly revision: number;
  /** The name under which its engine's memory is opened; `null` = not told. */
  readonly segment: string | null;
  /** Whether this is all of its memory. */
  readonly whole: boolean;
  readonly memory: readonly RemoteMemory[];
}

const MAGIC = 0x47415353; // "SSAG"
const VERSION = 1;
const HAS_SEGMENT = 1;
const IS_WHOLE = 2;
const INSTANCE_BYTES = 16;
const MEMORY_BYTES = 27;
const MAX_NAME = 256;

/** Whether an agent can be called so. */
export function isAgentName(name: unknown): name is string {
  // deno-lint-ignore no-control-regex -- these are what is refused
  return typeof name === "string" && /^[^\x00-\x1f\x7f]+$/.test(name) && name.isWellFormed() &&
    name.length <= MAX_NAME;
}

/** What names may be, for a message. */
export const AGENT_NAMES = `1 to ${MAX_NAME} characters, no control characters`;

/** The bytes. */
export function encodeAgentMetadata(metadata: AgentMetadata): Uint8Array {
  const { name, instance, revision, segment, whole, memory } = metadata;
  const writer = startSealed(MAGIC, VERSION);
  writer.u8((segment === null ? 0 : HAS_SEGMENT) | (whole ? IS_WHOLE : 0));
  writer.raw(Buffer.from(instance, "hex"));
  writer.u32(revision);
  writer.text(name);
  writer.text(segment ?? "");
  writer.size(memory.length);
  for (const { type, descriptor, remoteAddress } of memory) {
    writer.u8(typeNumber(type));
    writeDescriptor(writer, descriptor);
    writer.u64(remoteAddress);
  }
  return sealed(writer);
}

/** Reads the bytes. `EngineError` `INVALID_ARGUMENT` with one line when they are none. */
export function decodeAgentMetadata(bytes: Uint8Array): AgentMetadata {
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    const message = `${bytes.length} bytes are no metadata of an agent: ${cause.message}`;
    throw new EngineError(EngineCode.INVALID_ARGUMENT, message, { cause });
  }
}

function decode(bytes: Uint8Array): AgentMetadata {
  const reader = openSealed(bytes, MAGIC, VERSION, "metadata");
  const flags = reader.u8();
  const instanceAt = reader.skip(INSTANCE_BYTES);
  const instance = Buffer.from(bytes.subarray(instanceAt, instanceAt + INSTANCE_BYTES)).toString(
    "hex",
  );
  const [revision, name, segment] = [reader.u32(), reader.text(), reader.text()];
  if (!isAgentName(name)) throw new ProtocolError("the agent has no name");
  const count = reader.size(MEMORY_BYTES);
  const memory = Array.from({ length: count }, () => {
    const type = typeOf(reader.u8());
    const descriptor = readDescriptor(reader);
    return { type, descriptor, remoteAddress: reader.u64() };
  });
  reader.expectEnd();
  const hasSegment = (flags & HAS_SEGMENT) !== 0;
  if (hasSegment && segment === "") throw new ProtocolError("the agent's engine has no name");
  return {
    ...{ name, instance, revision, memory },
    segment: hasSegment ? segment : null,
    whole: (flags & IS_WHOLE) !== 0,
  };
}

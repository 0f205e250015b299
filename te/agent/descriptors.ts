import { crc32c } from "../../proto/crc32c.ts";
import { ProtocolError } from "../../proto/error.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import { refuse } from "../options.ts";

/** `DRAM` is memory of the host, `VRAM` that of a CUDA device. */
export type MemoryType = "DRAM" | "VRAM";

/** In the order of their numbers in documents. */
const TYPES: readonly MemoryType[] = ["DRAM", "VRAM"];
const ADDRESS_LIMIT = 1n << 64n;
const MAX_DEVICE = 0xffff;
const MAGIC = 0x4c445353; // "SSDL"
const VERSION = 1;
/** Address, length and device of one descriptor. */
const DESCRIPTOR_BYTES = 18;
const SUM_BYTES = 4;

/** One piece of memory of an agent. */
export interface Descriptor {
  /** As the agent that has the memory names it; see `TransferAgent.registerMemory`. */
  readonly address: bigint;
  /** Bytes, above 0. */
  readonly length: number;
  /** Number of the device; 0 for memory of the host. */
  readonly deviceId: number;
}

/**
 * Pieces of memory of one type.
 *
 * @example
 * ```ts ignore
 * const list: DescriptorList = { type: "DRAM", descriptors: [{ address, length: 4096, deviceId: 0 }] };
 * ```
 */
export interface DescriptorList {
  readonly type: MemoryType;
  readonly descriptors: readonly Descriptor[];
}

/**
 * A list of `[address, length, device id]`, as other agents write descriptors. `EngineError`
 * `INVALID_ARGUMENT` for one that is none.
 *
 * @example
 * ```ts ignore
 * const halves = descriptorList("DRAM", [[address, 2048, 0], [address + 2048n, 2048, 0]]);
 * ```
 */
export function descriptorList(
  type: MemoryType,
  items: readonly (readonly [address: bigint, length: number, deviceId: number])[],
): DescriptorList {
  const descriptors = items.map(([address, length, deviceId]) => ({ address, length, deviceId }));
  return checkDescriptors({ type, descriptors }, "descriptors");
}

/** Refuses a list that is none with `INVALID_ARGUMENT`; `name` is what the caller calls it. */
export function checkDescriptors(list: DescriptorList, name: string): DescriptorList {
  checkType(list?.type);
  if (!Array.isArray(list.descriptors)) refuse(name, typeof list.descriptors, "a descriptor list");
  list.descriptors.forEach((one: Descriptor, i) => checkDescriptor(one, `${name}[${i}]`));
  return list;
}

/** Refuses a type of memory that there is none of. */
export function checkType(type: MemoryType): void {
  if (!TYPES.includes(type)) {
    refuse("type", type ?? null, `${TYPES.join(", ")}, not files or objects`);
  }
}

/** Refuses a device that there is none of. */
export function checkDevice(deviceId: number, name: string): void {
  if (Number.isInteger(deviceId) && deviceId >= 0 && deviceId <= MAX_DEVICE) return;
  refuse(`${name}.deviceId`, deviceId ?? null, `an integer from 0 to ${MAX_DEVICE}`);
}

function checkDescriptor({ address, length, deviceId }: Descriptor, name: string): void {
  if (typeof address !== "bigint" || address <= 0n || address >= ADDRESS_LIMIT) {
    refuse(`${name}.address`, String(address), "a bigint above 0 and below 2^64");
  }
  if (!Number.isSafeInteger(length) || length <= 0 || address + BigInt(length) > ADDRESS_LIMIT) {
    refuse(`${name}.length`, length ?? null, "a positive integer that ends below 2^64");
  }
  checkDevice(deviceId, name);
}

/** How a descriptor is named in messages. */
export function descriptorText(
  type: MemoryType,
  { address, length, deviceId }: Descriptor,
): string {
  return `0x${address.toString(16)}, ${length} bytes, ${type} device ${deviceId}`;
}

/** Number of a type in documents. */
export function typeNumber(type: MemoryType): number {
  return TYPES.indexOf(type);
}

/** The type of a number. `ProtocolError` for another. */
export function typeOf(number: number): MemoryType {
  const type = TYPES[number];
  if (type === undefined) throw new ProtocolError(`there is no memory type ${number}`);
  return type;
}

/** Writes a descriptor: `u64` address, `u64` length, `u16` device. */
export function writeDescriptor(writer: Writer, { address, length, deviceId }: Descriptor): void {
  writer.u64(address);
  writer.u64Number(length);
  writer.u16(deviceId);
}

/** Reads what {@linkcode writeDescriptor} wrote. `ProtocolError` for what is no descriptor. */
export function readDescriptor(reader: Reader): Descriptor {
  const [address, length, deviceId] = [reader.u64(), reader.u64Number(), reader.u16()];
  if (address === 0n || length === 0 || address + BigInt(length) > ADDRESS_LIMIT) {
    throw new ProtocolError(`a descriptor of ${length} bytes at address ${address}`);
  }
  return { address, length, deviceId };
}

/** Bytes as they travel: CRC-32C of all that was written, little endian, behind it. */
export function sealed(writer: Writer): Uint8Array {
  writer.u32(crc32c(writer.bytes, 0, writer.length));
  return writer.bytes.slice();
}

/** A reader of what was sealed. `ProtocolError` when bytes are missing or changed. */
export function openSealed(
  bytes: Uint8Array,
  magic: number,
  version: number,
  what: string,
): Reader {
  const end = bytes.length - SUM_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (end < 5 || view.getUint32(0, true) !== magic) throw new ProtocolError(`it is no ${what}`);
  if (view.getUint32(end, true) !== crc32c(bytes, 0, end)) {
    throw new ProtocolError(`its checksum is wrong: bytes of the ${what} are missing or changed`);
  }
  if (bytes[4] !== version) {
    throw new ProtocolError(`its version is ${bytes[4]}; known: ${version}`);
  }
  const reader = new Reader(bytes, 5, end);
  reader.width = 4;
  return reader;
}

/** Begins what {@linkcode openSealed} opens. */
export function startSealed(magic: number, version: number): Writer {
  const writer = new Writer();
  writer.startSizes(4);
  writer.u32(magic);
  writer.u8(version);
  return writer;
}

/**
 * A list as bytes, to hand to a peer by any channel: magic, version, type, descriptors, checksum.
 * Errors as {@linkcode descriptorList}.
 *
 * @example
 * ```ts ignore
 * socket.write(serializeDescriptors(agent.descriptorsOf(lent)));
 * ```
 */
export function serializeDescriptors(list: DescriptorList): Uint8Array {
  const { type, descriptors } = checkDescriptors(list, "list");
  const writer = startSealed(MAGIC, VERSION);
  writer.u8(typeNumber(type));
  writer.size(descriptors.length);
  for (const descriptor of descriptors) writeDescriptor(writer, descriptor);
  return sealed(writer);
}

/**
 * Reads a list that {@linkcode serializeDescriptors} wrote. `EngineError` `INVALID_ARGUMENT` with one
 * line for bytes that are none, or were changed on their way.
 *
 * @example
 * ```ts ignore
 * const theirs = deserializeDescriptors(await receive());
 * ```
 */
export function deserializeDescriptors(bytes: Uint8Array): DescriptorList {
  try {
    const reader = openSealed(bytes, MAGIC, VERSION, "descriptor list");
    const type = typeOf(reader.u8());
    const count = reader.size(DESCRIPTOR_BYTES);
    const descriptors = Array.from({ length: count }, () => readDescriptor(reader));
    reader.expectEnd();
    return { type, descriptors };
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    const message = `${bytes.length} bytes are no descriptor list: ${cause.message}`;
    throw new EngineError(EngineCode.INVALID_ARGUMENT, message, { cause });
  }
}

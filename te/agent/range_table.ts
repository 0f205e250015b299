import { EngineCode, EngineError } from "../engine_code.ts";
import { type Descriptor, descriptorText, type MemoryType } from "./descriptors.ts";

/** Memory and what is known of it. */
export interface Range<T> {
  readonly type: MemoryType;
  readonly descriptor: Descriptor;
  readonly value: T;
}

/** A part of a range. */
export interface RangePart<T> {
  readonly value: T;
  /** Bytes from the start of the range. */
  readonly offset: number;
}

/** Ranges shown in a message. */
const SHOWN = 3;

/** Memory by its type, device and address; ranges of one device do not overlap. */
export class RangeTable<T> {
  /** By type and device, in the order of their addresses. */
  readonly #byPlace = new Map<string, Range<T>[]>();

  /** Every range, by type and device, in the order of their addresses. */
  get all(): readonly Range<T>[] {
    return [...this.#byPlace.values()].flat();
  }

  /** Adds memory. `ADDRESS_OVERLAPPED` when some of it is there. */
  add(range: Range<T>): void {
    const { type, descriptor } = range;
    const place = placeOf(type, descriptor);
    const ranges = this.#byPlace.get(place) ?? [];
    const at = firstBehind(ranges, descriptor.address);
    const end = descriptor.address + BigInt(descriptor.length);
    if (endOf(ranges[at - 1]) > descriptor.address || ranges[at]?.descriptor.address < end) {
      throw new EngineError(
        EngineCode.ADDRESS_OVERLAPPED,
        `${descriptorText(type, descriptor)}: registered already, in whole or in part`,
      );
    }
    ranges.splice(at, 0, range);
    this.#byPlace.set(place, ranges);
  }

  /** Takes exactly that memory out; `undefined` when it is not there as a whole. */
  remove(type: MemoryType, descriptor: Descriptor): T | undefined {
    const range = this.get(type, descriptor);
    if (range === undefined) return undefined;
    const ranges = this.#byPlace.get(placeOf(type, descriptor))!;
    ranges.splice(ranges.indexOf(range), 1);
    return range.value;
  }

  /** Exactly that memory; `undefined` when it is not there as a whole. */
  get(type: MemoryType, descriptor: Descriptor): Range<T> | undefined {
    const range = this.#around(type, descriptor.address, descriptor.deviceId);
    const { address, length } = range?.descriptor ?? {};
    return address === descriptor.address && length === descriptor.length ? range : undefined;
  }

  /** The range that holds a descriptor, and where; `undefined` when none does. */
  find(type: MemoryType, { address, length, deviceId }: Descriptor): RangePart<T> | undefined {
    const range = this.#around(type, address, deviceId);
    if (range === undefined || endOf(range) < address + BigInt(length)) return undefined;
    return { value: range.value, offset: Number(address - range.descriptor.address) };
  }

  /** What there is of a type, for a message. */
  describe(type: MemoryType): string {
    const ranges = this.all.filter((range) => range.type === type);
    if (ranges.length === 0) return `it has no ${type} memory`;
    const shown = ranges.slice(0, SHOWN).map(({ descriptor }) => descriptorText(type, descriptor));
    const more = ranges.length > SHOWN ? ` and ${ranges.length - SHOWN} more` : "";
    return `it has ${shown.map((text) => `[${text}]`).join(", ")}${more}`;
  }

  #around(type: MemoryType, address: bigint, deviceId: number): Range<T> | undefined {
    const ranges = this.#byPlace.get(`${type}:${deviceId}`) ?? [];
    return ranges[firstBehind(ranges, address) - 1];
  }
}

function placeOf(type: MemoryType, { deviceId }: Descriptor): string {
  return `${type}:${deviceId}`;
}

function endOf(range: Range<unknown> | undefined): bigint {
  return range === undefined ? 0n : range.descriptor.address + BigInt(range.descriptor.length);
}

/** Index of the first range whose address is above another. */
function firstBehind(ranges: readonly Range<unknown>[], address: bigint): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle].descriptor.address > address) high = middle;
    else low = middle + 1;
  }
  return low;
}

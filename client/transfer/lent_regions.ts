import type { Crc32c } from "../../proto/crc32c.ts";
import { withoutWindow } from "../../proto/address_window.ts";
import { Opcode, type Region, TransferCode, type TransferOperation } from "./engine.ts";
import { Fences } from "./fences.ts";
import { copySummed } from "./sums.ts";

/** Part of the memory that this process lends. */
export interface OwnMemory {
  readonly local: Region;
  readonly localOffset: number;
  readonly length: number;
}

/** Where memory lies, as documents name it, such as `cuda:0`; `undefined` = not known. */
export function locationOf({ device, host }: Region): string | undefined {
  return device?.location ?? host?.location;
}

/** The published memory of this process, and copies in it that pass no engine. */
export class LentRegions {
  readonly #regions: Region[] = [];
  /** For writers of this process, whose bytes do not pass the engine. */
  readonly #fences: Fences;
  readonly #crc32c: Crc32c | undefined;

  /** `now` tells milliseconds; copies sum with `crc32c`. */
  constructor(now: () => number, crc32c: Crc32c | undefined) {
    this.#fences = new Fences(now);
    this.#crc32c = crc32c;
  }

  /** In the order in which they were lent. */
  get all(): readonly Region[] {
    return this.#regions;
  }

  has(region: Region): boolean {
    return this.#regions.includes(region);
  }

  add(regions: readonly Region[]): void {
    this.#regions.push(...regions);
  }

  /** Forgets and disposes regions. */
  dispose(regions: readonly Region[]): void {
    for (const region of [...regions]) {
      const at = this.#regions.indexOf(region);
      if (at >= 0) this.#regions.splice(at, 1);
      region[Symbol.dispose]();
    }
  }

  /** What lies at an address that peers use; `null` when it is not within one region. */
  find(address: bigint, length: number): OwnMemory | null {
    const base = withoutWindow(address);
    for (const region of this.#regions) {
      const offset = base - (region.remoteBase ?? 0n);
      if (offset >= 0n && offset + BigInt(length) <= BigInt(region.length)) {
        return { local: region, localOffset: Number(offset), length };
      }
    }
    return null;
  }

  /** Keeps writers of this process out of a range; `false` when it is not lent. */
  fence(address: bigint, length: number, keepMs: number): boolean {
    if (this.find(address, length) === null) return false;
    this.#fences.add(Number(address), length, keepMs);
    return true;
  }

  /** Carries out an operation between this memory and other memory of this process. */
  copy(op: TransferOperation): TransferCode {
    const own = this.find(op.remoteAddress, op.length);
    if (own === null || this.#fences.meet(Number(op.remoteAddress), op.length)) {
      return TransferCode.ADDRESS_NOT_REGISTERED;
    }
    const local = op.local instanceof Uint8Array ? op.local : op.local.bytes;
    const mine = local.subarray(op.localOffset, op.localOffset + op.length);
    const lent = own.local.bytes.subarray(own.localOffset, own.localOffset + op.length);
    const [from, to] = op.opcode === Opcode.WRITE ? [mine, lent] : [lent, mine];
    if (op.sums === true) op.crc32c = copySummed(from, to, this.#crc32c);
    else to.set(from);
    return TransferCode.OK;
  }
}

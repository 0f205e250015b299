import type { Uuid } from "./api.ts";

/** A write that was ended by others; its writer does not know and will end or revoke it. */
export interface OwedEnd {
  readonly client: Uuid;
  readonly tenant: number;
  readonly key: Uint8Array;
  /** When the end is not expected any more. */
  readonly untilMs: number;
}

/**
 * Ends that are still to come for writes that are over: replaced by another client's, or gone with
 * their object. Until such an end has come, a second write of the same key by the same client could
 * not be told from the first, so the client gets none. Writes with a number of their own are never
 * entered.
 */
export class OwedEnds {
  readonly #owed = new Map<string, OwedEnd>();

  get size(): number {
    return this.#owed.size;
  }

  /** In the order in which they were entered. */
  all(): Iterable<OwedEnd> {
    return this.#owed.values();
  }

  /** Enters an end. Of two of one client and key only the one expected for longer counts. */
  add(owed: OwedEnd): void {
    const name = nameOf(owed.client, owed.tenant, owed.key, 0, owed.key.length);
    const known = this.#owed.get(name);
    if (known !== undefined && known.untilMs >= owed.untilMs) return;
    this.#owed.delete(name);
    this.#owed.set(name, owed);
  }

  /** The end that a client owes for the key `bytes[start, end)`, or `undefined`. */
  find(
    client: Uuid,
    tenant: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): OwedEnd | undefined {
    return this.#owed.get(nameOf(client, tenant, bytes, start, end));
  }

  delete({ client, tenant, key }: OwedEnd): void {
    this.#owed.delete(nameOf(client, tenant, key, 0, key.length));
  }
}

function nameOf(
  client: Uuid,
  tenant: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): string {
  return `${client} ${tenant} ${new TextDecoder("latin1").decode(bytes.subarray(start, end))}`;
}

import type { ReplicaDescriptor } from "../proto/types.ts";
import { describe } from "./key.ts";

/**
 * What a caller wants to know and to have of the replicas of what it stores.
 *
 * @example
 * ```ts ignore
 * const placing: PlacingOptions = { requireReplicas: true, onPlaced: (count) => console.log(count) };
 * await client.put("system-prompt", value, { replicaNum: 2, ...placing });
 * ```
 */
export interface PlacingOptions {
  /**
   * Whether fewer replicas than `replicaNum` are a failure: the object is not stored then, with
   * `NO_AVAILABLE_HANDLE`. Default false.
   */
  requireReplicas?: boolean;
  /**
   * Told for each object that was stored how many replicas in memory it got, with its position in a
   * batch (0 for one object). What it throws is the caller's to see.
   */
  onPlaced?: (replicas: number, index: number) => void;
}

/** The replicas of what one call stores. */
export class Placing {
  readonly #wanted: number;
  readonly #onPlaced: (replicas: number, index: number) => void;
  readonly #placed = new Map<number, number>();

  /** `wanted` replicas are required; 0 = any number will do. */
  constructor(wanted: number, onPlaced: (replicas: number, index: number) => void) {
    this.#wanted = wanted;
    this.#onPlaced = onPlaced;
  }

  /** Takes what the master has allocated for an object; why it is too little, or `null`. */
  take(index: number, replicas: readonly ReplicaDescriptor[]): string | null {
    const count = replicas.filter(({ location }) => location.kind === "memory").length;
    this.#placed.set(index, count);
    if (count >= this.#wanted) return null;
    return `${count} of ${this.#wanted} replicas could be placed, and requireReplicas is set`;
  }

  /** An object is stored. */
  stored(index: number): void {
    this.#onPlaced(this.#placed.get(index) ?? 0, index);
  }
}

/** Takes what is said about placing out of options: `TypeError` for values of another type. */
export function splitPlacing<T extends PlacingOptions & { replicaNum?: number }>(
  options: T | undefined,
): { placing: Placing | undefined; rest: Omit<T, keyof PlacingOptions> | undefined } {
  if (options === undefined) return { placing: undefined, rest: undefined };
  const { requireReplicas = false, onPlaced, ...rest } = options;
  if (typeof requireReplicas !== "boolean") {
    throw new TypeError(`requireReplicas is ${describe(requireReplicas)}, no boolean`);
  }
  if (onPlaced !== undefined && typeof onPlaced !== "function") {
    throw new TypeError(`onPlaced is ${describe(onPlaced)}, no function`);
  }
  if (!requireReplicas && onPlaced === undefined) return { placing: undefined, rest };
  const wanted = requireReplicas ? options.replicaNum ?? 1 : 0;
  return { placing: new Placing(wanted, onPlaced ?? (() => {})), rest };
}

/** The store for a call that places. */
export function placed<S extends object>(store: S, placing: Placing | undefined): S {
  if (placing === undefined) return store;
  // The time left of a call is a getter, which a copy of its values would stop.
  return Object.create(store, { placing: { value: placing, enumerable: true } });
}

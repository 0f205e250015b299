import { ObjectDataType, type ReplicateConfig, SoftPinAction } from "../proto/types.ts";
import { describe, type Key, keyBytes } from "./key.ts";
import type { PlacingOptions } from "./placing.ts";
import type { Traffic } from "./transfer/door.ts";

/**
 * How an object is placed and kept; what is left out has the default of the reference.
 *
 * @example
 * ```ts ignore
 * const options: PutOptions = { replicaNum: 2, softPinAction: SoftPinAction.ENABLE };
 * await client.put("system-prompt", value, options);
 * ```
 */
export interface PutOptions extends Traffic, PlacingOptions {
  /** Memory replicas wanted; default 1. The master may make fewer when it has fewer segments. */
  replicaNum?: number;
  /** Replicas on NVMe over fabrics; default 0. */
  nofReplicaNum?: number;
  /** Replicas in a distributed file system; default 0. */
  dfsReplicaNum?: number;
  /** One of `SoftPinAction`; default `PRESERVE`. */
  softPinAction?: number;
  /** Milliseconds, only with `SoftPinAction.ENABLE`; `null` = the master's default. */
  softPinTtlMs?: number | null;
  /** Never evict the object; default false. */
  withHardPin?: boolean;
  /** Names of segments to place replicas in, most wanted first. */
  preferredSegments?: readonly string[];
  /** Name of the segment to place the first replica in. */
  preferredSegment?: string;
  /** Names of NVMe segments to place replicas in. */
  preferredNofSegments?: readonly string[];
  /** Place all replicas of a batch on one node when that is possible; default false. */
  preferAllocInSameNode?: boolean;
  /** One of `ObjectDataType`; default `UNKNOWN`. */
  dataType?: number;
  /** Host to place replicas on when the master places by host; default this one. */
  hostId?: string;
  /** Groups whose members share their leases: one per key. */
  groupIds?: readonly Key[] | null;
}

/** What of the options goes to the master. */
type Placement = Omit<PutOptions, keyof Traffic | keyof PlacingOptions>;

type Check = (name: string, value: unknown) => void;

const count: Check = (name, value) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new RangeError(`${name} is ${describe(value)}; allowed: integers from 0`);
  }
};
const truth: Check = (name, value) => {
  if (typeof value !== "boolean") throw new TypeError(`${name} is ${describe(value)}, no boolean`);
};
const text: Check = (name, value) => {
  if (typeof value !== "string") throw new TypeError(`${name} is ${describe(value)}, no string`);
};
const texts: Check = (name, value) => {
  if (!Array.isArray(value)) throw new TypeError(`${name} is ${describe(value)}, no array`);
  for (const item of value) text(`An item of ${name}`, item);
};
const oneOf = (values: Readonly<Record<string, number>>): Check => (name, value) => {
  if (!Object.values(values).includes(value as number)) {
    const allowed = Object.entries(values).map(([key, number]) => `${number} (${key})`).join(", ");
    throw new RangeError(`${name} is ${describe(value)}; allowed: ${allowed}`);
  }
};

const checks: { readonly [K in keyof Required<Placement>]: Check } = {
  replicaNum: count,
  nofReplicaNum: count,
  dfsReplicaNum: count,
  softPinAction: oneOf(SoftPinAction),
  softPinTtlMs: (name, value) => value === null ? undefined : count(name, value),
  withHardPin: truth,
  preferredSegments: texts,
  preferredSegment: text,
  preferredNofSegments: texts,
  preferAllocInSameNode: truth,
  dataType: oneOf(ObjectDataType),
  hostId: text,
  groupIds: (name, value) => {
    if (value !== null && !Array.isArray(value)) {
      throw new TypeError(`${name} is ${describe(value)}, no array`);
    }
  },
};

/** What an object without options gets, on a client of the given host. */
export function defaultConfig(hostId: string): ReplicateConfig {
  return {
    replicaNum: 1,
    nofReplicaNum: 0,
    dfsReplicaNum: 0,
    softPinAction: SoftPinAction.PRESERVE,
    softPinTtlMs: null,
    withHardPin: false,
    preferredSegments: [],
    preferredSegment: "",
    preferredNofSegments: [],
    preferAllocInSameNode: false,
    dataType: ObjectDataType.UNKNOWN,
    hostId,
    groupIds: null,
  };
}

/**
 * The wire form of options for `keys` keys. `TypeError` or `RangeError` for an unknown option, a
 * value of the wrong type or range, and for another number of groups than of keys.
 */
export function replicateConfig(
  options: Placement | undefined,
  defaults: ReplicateConfig,
  keys: number,
): ReplicateConfig {
  if (options === undefined) return defaults;
  const config: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(checks, name)) throw new TypeError(`There is no put option ${name}`);
    checks[name as keyof Placement](name, value);
    config[name] = value;
  }
  const { groupIds } = options;
  if (groupIds !== undefined && groupIds !== null) {
    if (groupIds.length !== keys) {
      throw new RangeError(`groupIds has ${groupIds.length} groups for ${keys} keys`);
    }
    config.groupIds = groupIds.map(keyBytes);
  }
  return config as unknown as ReplicateConfig;
}

/** Messages between the thread that owns the core and the Worker that is in the cluster for it. */
import type { LogGroup } from "./fact_log.ts";
import type { HaConfig } from "./ha_config.ts";
import type { CopyStart } from "./local_copy.ts";
import type { MemberStatus } from "./member_status.ts";

/** What the Worker needs to know. Structured-cloneable. */
export interface MemberOrder {
  readonly ha: HaConfig;
  readonly clusterId: string;
  /** This master's data directory. */
  readonly dataPath: string;
  readonly copy: CopyStart;
  /** `host:port` of its servers, as others reach them. */
  readonly rpc: string;
  readonly admin: string;
  /** See `MemberRecord.checkpointToken`. */
  readonly checkpointToken: string;
  /** Descriptor that ends the core thread's wait in C, once it has one. */
  readonly log: { json: boolean; minLevel: number; prefix: boolean };
}

/** From the core's thread. */
export type ToMember =
  | { type: "start"; order: MemberOrder }
  /** The time of the core's clock, for {@linkcode FromMember} times; sent when the Worker is up. */
  | { type: "clock"; nowMs: number }
  /** Write to this descriptor after every message from now on. */
  | { type: "wake"; fd: number }
  | { type: "append"; group: LogGroup }
  | { type: "stop" };

/**
 * From the Worker, on the first of two ports; groups to apply come as they are on the second. Times are on
 * the core's clock, and never later than they are.
 */
export type FromMember =
  | { type: "up" }
  | { type: "promoted"; epoch: number; sequence: number; validUntilMs: number }
  | { type: "valid"; untilMs: number }
  | { type: "acknowledged"; sequence: number }
  | { type: "refused"; why: string | null }
  | { type: "over"; why: string }
  | { type: "fatal"; why: string }
  | { type: "status"; status: MemberStatus }
  | { type: "stopped" };

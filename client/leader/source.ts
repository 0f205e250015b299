import type { ServiceAccess } from "../transfer/service_access.ts";

/** Where the leading master of a cluster is found. */
export interface LeaderSource {
  /**
   * Whether asking is so cheap that it is done every second: then a leader that only fell silent is
   * left as soon as another one leads.
   */
  readonly cheap: boolean;
  /** Loads what `find` needs; nothing is asked yet. Rejects when that cannot be had. */
  open(): Promise<void>;
  /** `host:port` of the leader, `null` when there is none. Rejects when nobody can be asked. */
  find(): Promise<string | null>;
  /** What the last `find` saw that answered `null`, for people. */
  readonly nobody: string;
  close(): Promise<void>;
}

/** How the engine that elects is reached. PEM files by path; "" = none. */
export interface LeaderAccess extends ServiceAccess {
  readonly clusterId: string;
}

/** Messages between the thread that owns the core and the Worker that serves HTTP. */
import type { KeyRecord } from "../auth/api_key.ts";
import type { SnapshotPlace } from "../backup/places.ts";
import type { TableChange } from "../core/small_tables.ts";
import type { LoadedPolicies } from "../tenants/load_policies.ts";
import type { AdminMethod } from "./backend.ts";

/** A place to listen; port 0 = the system chooses. */
export interface HttpAddress {
  host: string;
  port: number;
}

/** What the Worker needs to know. Structured-cloneable. */
export interface HttpWorkerConfig {
  admin: HttpAddress & { insecure: boolean };
  /** `null` = no metadata server. */
  metadata: HttpAddress | null;
  /**
   * Database in which metadata documents, settings and keys outlive the master, `null` = they do not,
   * or this is a master of a cluster, which shares them with the others.
   */
  tablesPath: string | null;
  /** Where snapshots lie, `null` = there are none. */
  snapshots: { places: readonly SnapshotPlace[]; timeoutMs: number } | null;
  /** Data directory of a master of a cluster, which hands its checkpoints out; `null` = it is alone. */
  haPath: string | null;
  /** Where the audit log is, `null` = no keys are asked for. */
  auth: { auditPath: string } | null;
  /** What opens this master's checkpoint to the others of its cluster, whatever keys they have. */
  checkpointToken: string | null;
  /** The file of the quotas and what is in it, `null` = multi-tenancy is off. */
  policies: LoadedPolicies | null;
  log: {
    format: "text" | "kep" | "json";
    minLevel: number;
    prefix: boolean;
    /** `null` = no summary lines. */
    summaryIntervalMs: number | null;
  };
  clusterId: string;
  /** Unix time at which the process started. */
  startedAtMs: number;
  /** How long the core's thread may take to answer before a request gets 503. */
  coreTimeoutMs: number;
  /** An eventfd or other descriptor that ends the core thread's wait, or `null` when it needs none. */
  wakeFd: number | null;
  /**
   * Signals that end the master. The Worker listens for them because the core's thread, which waits
   * in C, would see them late.
   */
  signals: Deno.Signal[];
}

/** Where the servers listen. */
export interface HttpListening {
  admin: HttpAddress;
  metadata: HttpAddress | null;
  /** Changes of settings that were kept before. */
  settings: Record<string, string>;
}

/** Why a server could not listen. */
export interface ListenFailure {
  server: "admin" | "metadata";
  host: string;
  port: number;
  /** Whether the address is taken, as opposed to not being one of this machine. */
  inUse: boolean;
  message: string;
}

/** From the core's thread, on the Worker's own channel. */
export type ControlMessage =
  | { type: "start"; config: HttpWorkerConfig }
  | { type: "forget_segment"; name: string }
  /** The descriptor that ends the core thread's wait from now on. */
  | { type: "wake_by"; fd: number }
  | { type: "stop" };

/** From the Worker, on its own channel. */
export type WorkerMessage =
  /** `keys`: those of a lone master; `null` = they come from the core. */
  | { type: "listening"; listening: HttpListening; keys: KeyRecord[] | null }
  | { type: "listen_failed"; failure: ListenFailure }
  | { type: "failed"; message: string }
  | { type: "stopped" };

/** From the Worker, on the port that comes with `start`. */
export interface CoreRequest {
  id: number;
  method: AdminMethod;
  args: unknown[];
}

/** The answer to the request of the same id, on the same port. */
export type CoreReply =
  | { id: number; value: unknown }
  | { id: number; code: number; message: string };

/** Changes of the small tables of a cluster, before the answer to who asked for them, on that port. */
export interface TableNews {
  tables: TableChange[];
}

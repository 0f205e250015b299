/** What a world knows of its master, or of its masters. */
import type { Clock } from "../../client/transfer/clock.ts";
import type { RpcCaller } from "../../client/master_client.ts";
import type { MasterCore } from "../../master/core/core.ts";
import type { Fault } from "./profile.ts";
import type { Host } from "./scheduler.ts";

/** A client's way to the master that decides. */
export interface MasterLink {
  readonly rpc: RpcCaller;
  /** Called when another master leads than before; the client sets it. */
  onChange: () => void;
}

/** Whoever decides about objects and memory: a lone master, or a cluster of them. */
export interface ControlPlane {
  /** The core that decides, or the last one that did. */
  readonly core: MasterCore;
  /** The time of that core. */
  readonly nowMs: number;
  /** Whether it does now. */
  readonly isUp: boolean;
  /** Lives of masters that have ended. */
  readonly restarts: number;
  /** Keys evicted in all lives. */
  readonly evicted: number;
  connect(client: Host, clock: Clock, log: (line: string) => void): MasterLink;
  /** Has a fault befall a master; nothing for other faults. A freeze lasts `freezeMs`. */
  strike(fault: Fault, freezeMs: number): void;
  /** Ends all trouble of the masters. */
  heal(): void;
  /** Looks at everything inside; throws when something is wrong. */
  inspect(): void;
}

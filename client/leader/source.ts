import type { Clock } from "../transfer/clock.ts";
import type { ServiceAccess } from "../transfer/service_access.ts";
import type { MasterAddress } from "./address.ts";
import { EtcdLeaderSource } from "./etcd_source.ts";
import { K8sLeaderSource } from "./k8s_source.ts";
import { ListLeaderSource } from "./list_source.ts";
import { RedisLeaderSource } from "./redis_source.ts";

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

/** Opens the source that a master address names. */
export function openLeaderSource(
  address: Exclude<MasterAddress, { kind: "one" }>,
  access: LeaderAccess,
  clock: Clock,
): LeaderSource {
  switch (address.kind) {
    case "list":
      return new ListLeaderSource(address.addresses, clock);
    case "etcd":
      return new EtcdLeaderSource(address.endpoints, access);
    case "redis":
      return new RedisLeaderSource(address.url, access);
    case "k8s":
      return new K8sLeaderSource(address.namespace, access);
  }
}

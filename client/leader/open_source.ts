import type { Clock } from "../transfer/clock.ts";
import type { MasterAddress } from "./address.ts";
import { EtcdLeaderSource } from "./etcd_source.ts";
import { K8sLeaderSource } from "./k8s_source.ts";
import { ListLeaderSource } from "./list_source.ts";
import { RedisLeaderSource } from "./redis_source.ts";
import type { LeaderAccess, LeaderSource } from "./source.ts";

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

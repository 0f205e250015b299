/** From the address of a flag to one that a socket can be bound to. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { MasterConfig } from "./config.ts";
import { FlagError } from "./flag_layers.ts";

/** What is asked of the system. */
export interface AddressSystem {
  /** The addresses of a name; rejects when there are none. */
  lookup(name: string): Promise<string[]>;
  /** Whether sockets of IPv6 can be had. */
  hasIPv6(): boolean;
}

export const hostSystem: AddressSystem = {
  lookup: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  hasIPv6() {
    try {
      Deno.listen({ hostname: "::", port: 0 }).close();
      return true;
    } catch {
      return false;
    }
  },
};

/**
 * The address to bind for `host`: a name becomes its first address, and `::`, which means all of both
 * families, becomes `0.0.0.0` where there is no IPv6. `FlagError` for a name that has no address.
 */
export async function addressToBind(
  flag: string,
  host: string,
  system: AddressSystem,
): Promise<string> {
  if (host === "::") return system.hasIPv6() ? host : "0.0.0.0";
  if (isIP(host) !== 0) return host;
  try {
    return (await system.lookup(host))[0];
  } catch {
    throw new FlagError(
      `--${flag}=${host}: the name has no address; allowed: an address or a name of this machine`,
    );
  }
}

/** The settings with addresses to bind in place of names; `rpcHost` is that of the RPC server. */
export async function withBoundAddresses(
  config: MasterConfig,
  rpcHost: string,
  system: AddressSystem = hostSystem,
): Promise<MasterConfig> {
  const { rpc, admin, metadata } = config;
  const host = await addressToBind("rpc_address", rpcHost, system);
  const adminHost = await addressToBind("metrics_host", admin.host, system);
  const metadataHost = metadata === null
    ? ""
    : await addressToBind("http_metadata_server_host", metadata.host, system);
  return {
    ...config,
    rpc: { ...rpc, host },
    admin: { ...admin, host: adminHost },
    metadata: metadata && { ...metadata, host: metadataHost },
  };
}

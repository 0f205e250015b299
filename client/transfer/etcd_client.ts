import { readFileSync } from "node:fs";
import type { Etcd3, IOptions } from "etcd3";
import { loadOptional } from "./optional_package.ts";
import type { ServiceAccess } from "./service_access.ts";

const ETCD_VERSION = "1.1.2";

/**
 * A client of the etcd servers at `endpoints` (`host:port`, or with `http://` or `https://` in
 * front). Rejects when the package is not there; nothing is connected yet.
 */
export async function openEtcd(
  endpoints: readonly string[],
  access: ServiceAccess,
  timeoutMs: number,
): Promise<Etcd3> {
  const { Etcd3 } = await loadOptional<typeof import("etcd3")>("etcd3", ETCD_VERSION);
  const { user, password, tlsCa, tlsCert, tlsKey } = access;
  const scheme = tlsCa === "" ? "http://" : "https://";
  const options: IOptions = {
    hosts: endpoints.map((host) => host.includes("://") ? host : scheme + host),
    ...(tlsCa !== "" && {
      credentials: {
        rootCertificate: readFileSync(tlsCa),
        ...(tlsCert !== "" && {
          certChain: readFileSync(tlsCert),
          privateKey: readFileSync(tlsKey),
        }),
      },
    }),
    ...(user !== "" && { auth: { username: user, password } }),
    defaultCallOptions: () => ({ deadline: Date.now() + timeoutMs }),
    grpcOptions: {
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
    },
  };
  return new Etcd3(options);
}

/** Flags and variables of the engine behind a command. */
import type { TransferEngineOptions } from "../options.ts";
import { type Arguments, loginOf } from "./command_line.ts";

/** Names of the flags that {@linkcode engineFlags} reads. */
export const ENGINE_FLAGS: readonly string[] = [
  ...["metadata_server", "local_server_name", "device_name", "fabric_provider"],
  ...["tls_cert_file", "tls_key_file", "tls_ca_file"],
];

/** Options of an engine, from flags and the environment; `protocol` was looked at by the caller. */
export function engineFlags(
  flags: Arguments["flags"],
  env: (name: string) => string | undefined,
  protocol: string,
): TransferEngineOptions {
  const metadata = flags.metadata_server ?? "P2PHANDSHAKE";
  return {
    localServerName: flags.local_server_name ?? "127.0.0.1",
    metadata,
    metadataLogin: loginOf(env, metadata),
    metadataClusterId: env("MC_METADATA_CLUSTER_ID") ?? "",
    fabricProvider: flags.fabric_provider ?? "",
    ...tlsFlags(flags, env),
    ...{ protocol, deviceName: flags.device_name ?? "", forceTcp: isOn(env("MC_FORCE_TCP")) },
    advertisedHost: env("MC_TCP_BIND_ADDRESS") ?? "",
    topologyFile: env("MC_CUSTOM_TOPO_JSON") ?? "",
  };
}

/** All three files, or none. */
function tlsFlags(
  flags: Arguments["flags"],
  env: (name: string) => string | undefined,
): Pick<TransferEngineOptions, "tls"> {
  const [certFile, keyFile, caFile] = ["tls_cert_file", "tls_key_file", "tls_ca_file"].map((name) =>
    flags[name] ?? env(`SNOWSKIN_${name.toUpperCase()}`) ?? ""
  );
  if (certFile === "" && keyFile === "" && caFile === "") return {};
  return { tls: { certFile, keyFile, caFile } };
}

function isOn(text: string | undefined): boolean {
  return ["1", "true", "yes", "on", "enable"].includes(text?.trim().toLowerCase() ?? "");
}

/** The flags of high availability as plain data, checked against each other. */
import { isIP } from "node:net";
import { FlagError } from "../flag_layers.ts";
import type { FlagName, FlagValues } from "../flags.ts";

/** Files with PEM texts. */
export interface TlsFiles {
  ca: string;
  cert: string;
  key: string;
}

/** One engine and how it is reached. Structured-cloneable. */
export interface EngineConfig {
  readonly kind: "etcd" | "redis" | "k8s";
  /** `host:port`, or a URL; for `k8s` at most one, none = as a pod finds its API server. */
  readonly endpoints: readonly string[];
  /** `null` = without certificates of ours. */
  readonly tls: TlsFiles | null;
  readonly user: string;
  /** File with the password, or with the bearer token of a Kubernetes account; "" = none. */
  readonly passwordFile: string;
}

/** High availability as it was asked for. Structured-cloneable. */
export interface HaConfig {
  /** What elects. */
  readonly elector: EngineConfig;
  /** What keeps the log; the same as what elects, but with `k8s`. */
  readonly log: EngineConfig;
  readonly leaseMs: number;
  readonly logBytes: number;
  /** Have etcd forget old versions of keys. */
  readonly compact: boolean;
  /** Kubernetes namespace of the Lease. */
  readonly namespace: string;
  /** Name of this master in the Lease, "" = one is made up. */
  readonly identity: string;
}

const HA_FLAGS = [
  ...["ha_backend_connstring", "etcd_endpoints", "ha_log_connstring", "ha_user"],
  ...["ha_log_user", "ha_log_password_file"],
  ...["ha_password_file", "ha_tls_ca", "ha_tls_cert", "ha_tls_key", "pod_name", "pod_namespace"],
] as const;

/** `null` = one master alone. Throws {@linkcode FlagError}. */
export function haConfig(
  values: FlagValues,
  given: (name: FlagName) => boolean,
  notes: string[],
): HaConfig | null {
  if (!values.enable_ha) {
    const idle = HA_FLAGS.find((name) => values[name] !== "");
    if (idle !== undefined) notes.push(`--${idle} has no effect without --enable_ha=true`);
    if (values.enable_oplog) {
      throw new FlagError("--enable_oplog=true: needs --enable_ha=true; allowed: false");
    }
    return null;
  }
  if (values.durability !== "batch") {
    throw new FlagError(
      `--durability=${values.durability}: with --enable_ha=true every reply waits for the shared ` +
        "log, and what that survives is up to its engine; allowed: batch",
    );
  }
  if (given("enable_oplog") && !values.enable_oplog) {
    notes.push("--enable_oplog=false has no effect: with --enable_ha=true the log is always kept");
  }
  if (values.enable_http_metadata_server) {
    notes.push(
      "documents of the HTTP metadata server stay with this master; see docs/operations.md",
    );
  }
  for (const name of ["enable_snapshot", "enable_snapshot_restore"] as const) {
    if (!values[name]) continue;
    throw new FlagError(
      `--${name}=true: masters of a cluster keep checkpoints and take them from each other; a ` +
        "snapshot is restored by a lone master; allowed: false",
    );
  }
  if (values.rpc_port === 0 && values.port === 0) {
    throw new FlagError(
      "--port=0: with --enable_ha=true clients must know it; allowed: 1 to 65535",
    );
  }
  const kind = values.ha_backend_type;
  checkUnused(values, kind);
  const shared = { user: values.ha_user, passwordFile: values.ha_password_file };
  if (kind === "k8s" && shared.user !== "") {
    throw new FlagError(`--ha_user=${shared.user}: a Kubernetes account is its token; allowed: ""`);
  }
  if (shared.user !== "" && shared.passwordFile === "") {
    throw new FlagError(`--ha_user=${shared.user}: needs --ha_password_file`);
  }
  const engine = { tls: tlsFiles(values), ...shared };
  const elector: EngineConfig = { kind, endpoints: endpointsOf(values), ...engine };
  const log = kind === "k8s" ? logOfK8s(values) : elector;
  return {
    ...{ elector, log, leaseMs: values.ha_lease_sec * 1000, logBytes: values.ha_log_bytes },
    ...{ compact: values.etcd_compact, namespace: values.pod_namespace || "default" },
    identity: values.pod_name,
  };
}

function checkUnused(values: FlagValues, kind: EngineConfig["kind"]): void {
  const refuse = (name: FlagName, why: string) => {
    throw new FlagError(`--${name}=${values[name]}: ${why}; allowed: ""`);
  };
  if (kind !== "etcd" && values.etcd_endpoints !== "") {
    refuse("etcd_endpoints", `is for --ha_backend_type=etcd, not ${kind}`);
  }
  if (kind !== "k8s") {
    for (const name of ["ha_log_connstring", "ha_log_user", "ha_log_password_file"] as const) {
      if (values[name] !== "") {
        refuse(name, `with --ha_backend_type=${kind} the log lies in ${kind}`);
      }
    }
    for (const name of ["pod_name", "pod_namespace"] as const) {
      if (values[name] !== "") refuse(name, "is for --ha_backend_type=k8s");
    }
  }
}

function endpointsOf(values: FlagValues): string[] {
  const { ha_backend_type: kind, etcd_endpoints, ha_backend_connstring } = values;
  const both = etcd_endpoints !== "" && ha_backend_connstring !== "";
  if (both && etcd_endpoints !== ha_backend_connstring) {
    throw new FlagError(
      `--ha_backend_connstring=${ha_backend_connstring}: differs from ` +
        `--etcd_endpoints=${etcd_endpoints}; allowed: one of them`,
    );
  }
  const name = etcd_endpoints !== "" ? "etcd_endpoints" : "ha_backend_connstring";
  const text = etcd_endpoints || ha_backend_connstring;
  if (kind === "k8s") {
    return text === "" ? [] : [checkedUrl(name, text, /^https?:$/, "https://host:port")];
  }
  if (text === "") {
    const flag = kind === "etcd" ? "etcd_endpoints" : "ha_backend_connstring";
    throw new FlagError(`--enable_ha=true: needs --${flag} with --ha_backend_type=${kind}`);
  }
  if (kind === "redis") return [redisUrl(name, text)];
  const endpoints = parseEtcdEndpoints(text) ?? refuseEndpoints(name, text);
  const secure = (one: string) => values.ha_tls_ca !== "" || one.startsWith("https://");
  const unnamed = endpoints.find((one) => secure(one) && isIP(hostOf(one)) !== 0);
  if (unnamed !== undefined) {
    throw new FlagError(
      `--${name}=${unnamed}: certificates are checked against names; allowed: a host name`,
    );
  }
  return endpoints;
}

function hostOf(endpoint: string): string {
  return endpoint.replace(/^https?:\/\//, "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}

function refuseEndpoints(name: string, text: string): never {
  throw new FlagError(`--${name}=${text}: malformed; allowed: host:port;host:port, or with commas`);
}

/** Endpoints separated by `;` or `,`, an `etcd://` in front left out; `null` = malformed. */
export function parseEtcdEndpoints(text: string): string[] | null {
  const list = text.replace(/^etcd:\/\//, "").split(/[;,]/).map((one) => one.trim());
  const valid = /^(https?:\/\/)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/;
  return list.every((one) => valid.test(one)) ? list : null;
}

function redisUrl(name: FlagName, text: string): string {
  const url = text.includes("://") ? text : `redis://${text}`;
  return checkedUrl(name, url, /^rediss?:$/, "redis://host:port/db or rediss://host:port/db");
}

function checkedUrl(name: FlagName, text: string, scheme: RegExp, allowed: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !scheme.test(url.protocol) || url.hostname === "") {
    throw new FlagError(`--${name}=${text}: malformed; allowed: ${allowed}`);
  }
  if (url.password !== "" || url.username !== "") {
    throw new FlagError(
      `--${name}: holds a password, which everybody could read; allowed: --ha_user and ` +
        "--ha_password_file",
    );
  }
  return text;
}

function logOfK8s(values: FlagValues): EngineConfig {
  const text = values.ha_log_connstring;
  if (text === "") {
    throw new FlagError(
      "--ha_backend_type=k8s: a Lease keeps no log; --ha_log_connstring must name a Redis for it; " +
        "allowed: redis://host:port/db",
    );
  }
  const endpoints = [redisUrl("ha_log_connstring", text)];
  const { ha_log_user: user, ha_log_password_file: passwordFile } = values;
  return { kind: "redis", endpoints, tls: null, user, passwordFile };
}

function tlsFiles(values: FlagValues): TlsFiles | null {
  const { ha_tls_ca: ca, ha_tls_cert: cert, ha_tls_key: key } = values;
  if ((cert === "") !== (key === "")) {
    const [one, other] = cert === "" ? ["key", "cert"] : ["cert", "key"];
    throw new FlagError(`--ha_tls_${one}: needs --ha_tls_${other}`);
  }
  if (cert !== "" && ca === "") throw new FlagError(`--ha_tls_cert=${cert}: needs --ha_tls_ca`);
  return ca === "" ? null : { ca, cert, key };
}

/** `host:port` under which others reach a server, or `null` when its address is of no use to them. */
export function reachable(host: string, port: number, advertised: string): string | null {
  const shown = advertised || host;
  if (shown === "0.0.0.0" || shown === "::") return null;
  return shown.includes(":") ? `[${shown}]:${port}` : `${shown}:${port}`;
}

/** Opens the engine that the flags name. Each is loaded only when it is used. */
import type { Elector } from "./elector.ts";
import type { FactLog } from "./fact_log.ts";
import type { EngineConfig, HaConfig } from "./ha_config.ts";
import type { EtcdClient } from "./etcd_client.ts";
import type { RedisClient } from "./redis_client.ts";

/** For one call about the log. */
const LOG_TIMEOUT_MS = 5000;

/** Both halves of an engine. */
export interface Engines {
  readonly elector: Elector;
  readonly log: FactLog;
}

/** A file that a flag names, as text. Throws an `Error` that names the flag. */
function textOf(flag: string, path: string): string {
  if (path === "") return "";
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`--${flag}=${path}: cannot be read: ${reason}`);
  }
}

/** What the files of an engine's flags hold. */
export interface EngineSecrets {
  readonly tls: { ca: string; cert: string; key: string } | null;
  /** "" = none. */
  readonly password: string;
}

/** Reads the files that an engine's flags name. Throws an `Error` with one line. */
export function readSecrets({ tls, passwordFile }: EngineConfig): EngineSecrets {
  return {
    tls: tls === null ? null : {
      ca: textOf("ha_tls_ca", tls.ca),
      cert: textOf("ha_tls_cert", tls.cert),
      key: textOf("ha_tls_key", tls.key),
    },
    password: textOf("ha_password_file", passwordFile).trim(),
  };
}

/** Opens what elects and what keeps the log; nothing is asked of them yet. */
export async function openEngines(
  config: HaConfig,
  clusterId: string,
  warn: (line: string) => void,
): Promise<Engines> {
  const clock = () => performance.now();
  const { leaseMs, compact } = config;
  switch (config.elector.kind) {
    case "etcd": {
      const { EtcdElector } = await import("./etcd_elector.ts");
      // The election has a connection of its own, so that a renewal never waits behind an append.
      const elector = new EtcdElector({
        ...{ client: await openEtcd(config.elector, leaseMs / 2), clusterId, leaseMs, clock },
      });
      return { elector, log: await openEtcdLog(config.log, clusterId, compact) };
    }
    case "redis": {
      const { RedisElector } = await import("./redis_elector.ts");
      const client = await openRedis(config.elector, leaseMs / 2);
      const elector = new RedisElector({ client, clusterId, leaseMs, clock });
      return { elector, log: await openRedisLog(config.log, clusterId, warn) };
    }
    case "k8s": {
      const { K8sClient } = await import("./k8s_client.ts");
      const { K8sElector } = await import("./k8s_elector.ts");
      const { namespace, identity } = config;
      const { endpoints, passwordFile } = config.elector;
      const { tls } = readSecrets(config.elector);
      const client = new K8sClient({
        ...{ server: endpoints[0] ?? "", namespace, tls, tokenFile: passwordFile },
        ...{ timeoutMs: leaseMs / 2, env: Deno.env.toObject() },
      });
      const elector = new K8sElector({
        ...{ client, namespace, clusterId, leaseMs, clock, wallClock: Date.now },
        identity: `${identity || Deno.hostname()}_${crypto.randomUUID()}`,
      });
      return { elector, log: await openRedisLog(config.log, clusterId, warn) };
    }
  }
}

/** Opens what keeps the log, to read it; nothing is asked of it yet. */
export async function openLog({ log }: HaConfig, clusterId: string): Promise<FactLog> {
  return log.kind === "etcd"
    ? await openEtcdLog(log, clusterId, false)
    : await openRedisLog(log, clusterId, null);
}

async function openEtcd(config: EngineConfig, timeoutMs: number): Promise<EtcdClient> {
  const { EtcdClient } = await import("./etcd_client.ts");
  const { endpoints, user } = config;
  const { tls, password } = readSecrets(config);
  const auth = user === "" ? null : { user, password };
  return await EtcdClient.open({ endpoints, tls, auth, timeoutMs });
}

async function openEtcdLog(
  config: EngineConfig,
  clusterId: string,
  compact: boolean,
): Promise<FactLog> {
  const { EtcdLog } = await import("./etcd_log.ts");
  const client = await openEtcd(config, LOG_TIMEOUT_MS);
  return new EtcdLog({ client, clusterId, compact, clock: () => performance.now() });
}

async function openRedis(config: EngineConfig, timeoutMs: number): Promise<RedisClient> {
  const { RedisClient } = await import("./redis_client.ts");
  const { tls, password } = readSecrets(config);
  const url = config.endpoints[0];
  return await RedisClient.open({ url, tls, user: config.user, password, timeoutMs });
}

/** With `warn` the server's settings are looked at. */
async function openRedisLog(
  config: EngineConfig,
  clusterId: string,
  warn: ((line: string) => void) | null,
): Promise<FactLog> {
  const { RedisLog } = await import("./redis_log.ts");
  const openWaiting = (timeoutMs: number) => openRedis(config, timeoutMs);
  const log = new RedisLog({
    ...{ client: await openRedis(config, LOG_TIMEOUT_MS), openWaiting, clusterId },
    warn: warn ?? (() => {}),
  });
  if (warn !== null) void log.examine().catch(() => {});
  return log;
}

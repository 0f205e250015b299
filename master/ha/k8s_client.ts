/** The part of the Kubernetes API that an election uses: one Lease (`coordination.k8s.io/v1`). */
import { EngineError, LogRefusal } from "./fact_log.ts";

/** Where a pod finds its account. */
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** How the API server is reached. */
export interface K8sOptions {
  /** `https://host:port`; "" = the one of this pod. */
  server: string;
  namespace: string;
  /** PEM texts; `null` = the authority that a pod finds. */
  tls: { ca: string; cert: string; key: string } | null;
  /** Path of the token, read for every call because it is renewed; "" = the one a pod finds. */
  tokenFile: string;
  /** For one call. */
  timeoutMs: number;
  /** Variables of the environment. */
  env: Readonly<Record<string, string | undefined>>;
}

/** A Lease as the API has it, as far as it is used. */
export interface Lease {
  apiVersion: "coordination.k8s.io/v1";
  kind: "Lease";
  metadata: {
    name: string;
    namespace: string;
    /** Names the version that an update replaces; another one is refused. */
    resourceVersion?: string;
    annotations?: Record<string, string>;
  };
  spec: {
    holderIdentity?: string | null;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

/** Calls one API server. They reject with `EngineError`, or `LogRefusal` where it refuses. */
export class K8sClient {
  readonly #options: K8sOptions;
  readonly #server: string;
  readonly #http: Deno.HttpClient | null;

  /** Throws an `Error` with one line when there is no API server. */
  constructor(options: K8sOptions) {
    const { server, env, tls } = options;
    this.#options = options;
    this.#server = server || podServer(env);
    const ca = tls?.ca ?? readOptional(`${ACCOUNT}/ca.crt`);
    const secure = this.#server.startsWith("https:") && ca !== "";
    this.#http = !secure ? null : Deno.createHttpClient({
      caCerts: [ca],
      ...(tls !== null && tls.cert !== "" && { cert: tls.cert, key: tls.key }),
    });
  }

  /** The Lease of that name, `null` = there is none. */
  async read(name: string): Promise<Lease | null> {
    const { status, lease } = await this.#ask("GET", `/${name}`);
    return status === 404 ? null : lease;
  }

  /** Makes or replaces a Lease; `null` = somebody else has made or replaced it meanwhile. */
  async write(lease: Lease): Promise<Lease | null> {
    const isNew = lease.metadata.resourceVersion === undefined;
    const { status, lease: written } = isNew
      ? await this.#ask("POST", "", lease)
      : await this.#ask("PUT", `/${lease.metadata.name}`, lease);
    return status === 409 || status === 404 ? null : written;
  }

  close(): void {
    this.#http?.close();
  }

  async #ask(
    method: string,
    path: string,
    body?: Lease,
  ): Promise<{ status: number; lease: Lease | null }> {
    const { namespace, tokenFile, timeoutMs } = this.#options;
    const token = readOptional(tokenFile || `${ACCOUNT}/token`).trim();
    const url = `${this.#server}/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases${path}`;
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        ...{ method, signal: AbortSignal.timeout(timeoutMs) },
        headers: {
          ...{ "accept": "application/json", "content-type": "application/json" },
          ...(token !== "" && { authorization: `Bearer ${token}` }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(this.#http !== null && { client: this.#http }),
      });
      text = await response.text();
    } catch (error) {
      throw new EngineError(`kubernetes: ${error instanceof Error ? error.message : error}`);
    }
    const { status } = response;
    if (response.ok) return { status, lease: JSON.parse(text) as Lease };
    if (status === 404 || status === 409) return { status, lease: null };
    const why = `${status} ${messageOf(text)}`;
    if (status === 401 || status === 403 || status === 422) {
      throw new LogRefusal(`kubernetes refuses: ${why}`);
    }
    throw new EngineError(`kubernetes: ${why}`);
  }
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: string }).message ?? "");
  } catch {
    return text.slice(0, 200);
  }
}

function podServer(env: K8sOptions["env"]): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host) {
    throw new Error(
      "--ha_backend_type=k8s: this is no pod of a cluster; --ha_backend_connstring must name the " +
        "API server; allowed: https://host:port",
    );
  }
  return `https://${host.includes(":") ? `[${host}]` : host}:${port ?? "443"}`;
}

function readOptional(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

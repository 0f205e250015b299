import { readFileSync } from "node:fs";
import { request } from "node:https";
import { request as plainRequest } from "node:http";
import process from "node:process";
import type { LeaderAccess, LeaderSource } from "./source.ts";

/** Where a pod finds its account, and who signed the API server's certificate. */
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const TIMEOUT_MS = 1000;

/**
 * Finds the leader in the Lease with which our masters elect it in Kubernetes: the name of the Lease is
 * that of the cluster, and its annotation `snowskin.dev/leader` says `host:port`.
 *
 * The API server is that of the pod, or the one in `SNOWSKIN_K8S_API` (`https://host:port`).
 */
export class K8sLeaderSource implements LeaderSource {
  readonly cheap = true;
  readonly #namespace: string;
  readonly #access: LeaderAccess;

  constructor(namespace: string, access: LeaderAccess) {
    this.#namespace = namespace;
    this.#access = access;
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  get nobody(): string {
    return `nobody holds the Lease ${leaseName(this.#access.clusterId)} in ${this.#namespace}`;
  }

  async find(): Promise<string | null> {
    const name = leaseName(this.#access.clusterId);
    const path = `/apis/coordination.k8s.io/v1/namespaces/${this.#namespace}/leases/${name}`;
    const { status, body } = await this.#get(path);
    if (status === 404) return null;
    if (status !== 200) throw new Error(`the Kubernetes API answers ${status}`);
    return leaderOf(JSON.parse(body));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #get(path: string): Promise<{ status: number; body: string }> {
    const { password, tlsCa, tlsCert, tlsKey } = this.#access;
    const url = new URL(path, apiServer());
    const token = password || readOptional(`${ACCOUNT}/token`).trim();
    const ca = tlsCa === "" ? readOptional(`${ACCOUNT}/ca.crt`) : readFileSync(tlsCa, "utf8");
    const secure = url.protocol === "https:";
    const options = {
      headers: token === "" ? {} : { authorization: `Bearer ${token}` },
      timeout: TIMEOUT_MS,
      ...(secure && ca !== "" && { ca }),
      ...(secure && tlsCert !== "" && { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) }),
    };
    return new Promise((resolve, reject) => {
      const asked = (secure ? request : plainRequest)(url, options, (answer) => {
        let body = "";
        answer.setEncoding("utf8");
        answer.on("data", (text: string) => body += text);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
        answer.on("error", reject);
      });
      asked.on("timeout", () => asked.destroy(new Error("the Kubernetes API does not answer")));
      asked.on("error", reject);
      asked.end();
    });
  }
}

/** Name of the Lease of a cluster: Kubernetes takes no `_` and no capitals. */
export function leaseName(clusterId: string): string {
  return clusterId.toLowerCase().replaceAll("_", "-");
}

/** The parts of a Lease that are looked at. */
export interface LeaseDocument {
  metadata: { annotations?: Record<string, string> };
  spec: { holderIdentity?: string | null };
}

/** `host:port` of the leader that a Lease names, `null` when nobody holds it. */
export function leaderOf({ metadata, spec }: LeaseDocument): string | null {
  if (!spec.holderIdentity) return null;
  return metadata.annotations?.["snowskin.dev/leader"] ?? null;
}

function apiServer(): string {
  const { SNOWSKIN_K8S_API, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT } = process.env;
  if (SNOWSKIN_K8S_API) return SNOWSKIN_K8S_API;
  if (KUBERNETES_SERVICE_HOST) {
    const host = KUBERNETES_SERVICE_HOST.includes(":")
      ? `[${KUBERNETES_SERVICE_HOST}]`
      : KUBERNETES_SERVICE_HOST;
    return `https://${host}:${KUBERNETES_SERVICE_PORT ?? "443"}`;
  }
  throw new Error("there is no Kubernetes API here; SNOWSKIN_K8S_API may name one");
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** What is said when no master answers: what was tried, and what can be done about it. */
import { ErrorCode } from "../../proto/error_code.ts";
import { CallError } from "../rpc_client.ts";
import { errorText } from "../transfer/error_text.ts";
import { isLoopback } from "../transfer/address.ts";
import type { MasterAddress } from "./address.ts";

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "its name cannot be looked up",
  EHOSTUNREACH: "no way leads there",
  ENETUNREACH: "no way leads there",
  ECONNRESET: "it hung up",
  ETIMEDOUT: "no connection in time",
};

/** Who was asked for the leader knows of none. */
export class NobodyLeadsError extends Error {
  override readonly name = "NobodyLeadsError";
}

/** Why there was no connection, in few words and without the address. */
export function connectionFailure(error: unknown): string {
  const { code = "" } = error as { code?: unknown };
  const text = errorText(error);
  const found = [String(code), ...text.match(/\bE[A-Z_]{4,}\b/g) ?? []]
    .find((name) => Object.hasOwn(reasons, name));
  return found === undefined ? text : reasons[found];
}

/** Why a call to one master was not answered. */
export function callFailure(error: unknown): string {
  if (!(error instanceof CallError)) return connectionFailure(error);
  if (error.code === ErrorCode.RPC_TIMEOUT) return "it takes connections, and answers nothing";
  const reason = connectionFailure(error.cause ?? error);
  return error.fate === "unsent" ? reason : `${reason} (is that the RPC port of a master?)`;
}

/** Where a master was looked for. */
export interface SoughtMaster {
  /** As it was given. */
  readonly given: string;
  readonly address: MasterAddress;
  readonly clusterId: string;
  /** `host:port` of the leader that was found, `null` if none was. */
  readonly leader: string | null;
}

/** One line about the first call to a master, which was not answered. */
export function absenceText(sought: SoughtMaster, error: CallError): string {
  const { given, address, leader } = sought;
  const other = "name another with --master (masterServerAddress)";
  switch (address.kind) {
    case "one": {
      const there = isLoopback(address.host) ? "" : " there";
      return `No master answers at ${given}: ${callFailure(error)}; start one${there} with ` +
        `"deno run -A master/main.ts --rpc_port=${address.port}", or ${other}`;
    }
    case "list":
      return `No master answers at ${given}: ${notLed(leader, error)}; start them with ` +
        `"deno run -A master/main.ts", or ${other}`;
    default:
      return `No master leads by ${given}: ${notLed(leader, error)}; ` +
        (leader === null && !(error.cause instanceof NobodyLeadsError)
          ? `see that it runs and lets you in, or ${other}`
          : `start one with "deno run -A master/main.ts --enable_ha=true ${
            electionFlags(sought)
          }", ` +
            `or ${other}; MC_STORE_CLUSTER_ID (clusterId) names the cluster`);
  }
}

function notLed(leader: string | null, error: CallError): string {
  if (leader === null) return error.cause === undefined ? error.message : errorText(error.cause);
  return `the leader is ${leader}: ${callFailure(error)}`;
}

/** Flags of a master that is found by such an address. */
function electionFlags({ given, address, clusterId }: SoughtMaster): string {
  const cluster = `--cluster_id=${clusterId}`;
  if (address.kind === "etcd") return `--etcd_endpoints=${address.endpoints.join(";")} ${cluster}`;
  if (address.kind === "redis") {
    return `--ha_backend_type=redis --ha_backend_connstring=${given} ${cluster}`;
  }
  const namespace = address.kind === "k8s" ? address.namespace : "";
  return `--ha_backend_type=k8s --pod_namespace=${namespace} ` +
    `--ha_log_connstring=redis://HOST:PORT ${cluster}`;
}

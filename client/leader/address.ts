/** Master addresses that name several masters, or a place where the leading one is found. */
import { parseHostPort } from "../transfer/address.ts";
import { isRedisUrl, parseEtcdEndpoints } from "../transfer/service_address.ts";

/** A checked master address. */
export type MasterAddress =
  | { readonly kind: "one"; readonly host: string; readonly port: number }
  | { readonly kind: "list"; readonly addresses: readonly string[] }
  | { readonly kind: "etcd"; readonly endpoints: readonly string[] }
  | { readonly kind: "redis"; readonly url: string }
  | { readonly kind: "k8s"; readonly namespace: string };

/** What a master address may be, for messages. */
export const MASTER_ADDRESS_FORMS =
  "host:port, a list of host:port with commas, etcd://host:port,host:port, " +
  "redis://host:port/db or k8s://namespace";

/** Reads a master address; `null` when it is none. Passwords do not belong into it. */
export function parseMasterAddress(text: string): MasterAddress | null {
  const [, scheme, rest] = /^([a-z0-9]+):\/\/(.*)$/s.exec(text) ?? [null, null, text];
  switch (scheme) {
    case null:
      return parsePlain(rest);
    case "etcd": {
      const endpoints = parseEtcdEndpoints(rest);
      return endpoints === null ? null : { kind: "etcd", endpoints };
    }
    case "redis":
    case "rediss":
      return isRedisUrl(text) ? { kind: "redis", url: text } : null;
    case "k8s": {
      const valid = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(rest);
      return valid ? { kind: "k8s", namespace: rest } : null;
    }
    default:
      return null;
  }
}

function parsePlain(text: string): MasterAddress | null {
  const addresses = text.split(",").map((one) => one.trim());
  const parsed = addresses.map(parseHostPort);
  if (parsed.some((one) => one === null || one.port === null)) return null;
  if (addresses.length > 1) return { kind: "list", addresses };
  const { host, port } = parsed[0]!;
  return { kind: "one", host, port: port! };
}

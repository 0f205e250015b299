/** The document under `mooncake/rpc_meta/<name>`: where a node's handshakes are answered. */
import { type JsonValue, parseJsonExact, stringifyJsonExact } from "../json_exact.ts";
import { asObject, integerField, nameField } from "./fields.ts";

export interface RpcMeta {
  host: string;
  port: number;
}

/** Parses an `rpc_meta` document. `ProtocolError` without a host or a port from 1 to 65535. */
export function parseRpcMeta(input: string | Uint8Array | JsonValue): RpcMeta {
  const json = typeof input === "string" || input instanceof Uint8Array
    ? parseJsonExact(input)
    : input;
  const document = asObject(json, "an rpc_meta document");
  return {
    host: nameField(document, "ip_or_host_name", "an rpc_meta document"),
    port: integerField(document, "rpc_port", "an rpc_meta document", { low: 1, high: 0xffff }),
  };
}

/** The document as text, names sorted and without spaces. */
export function formatRpcMeta(meta: RpcMeta): string {
  return stringifyJsonExact({ ip_or_host_name: meta.host, rpc_port: meta.port });
}

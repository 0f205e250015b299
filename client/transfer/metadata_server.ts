import type { Clock } from "./clock.ts";
import { EtcdKv } from "./etcd_kv.ts";
import { type HandshakeOptions, probe } from "./handshake_client.ts";
import { HttpKv } from "./http_kv.ts";
import { KvMetadata, type MetadataKv } from "./kv_metadata.ts";
import { type MetadataStore, P2pMetadata } from "./metadata_store.ts";
import { RedisKv } from "./redis_kv.ts";
import type { ServiceAccess } from "./service_access.ts";
import { isRedisUrl, parseEtcdEndpoints } from "./service_address.ts";

/** A service that keeps the metadata of a cluster's transfer endpoints. */
export type MetadataService =
  /** The URL is used as given, with `?key=...` appended. */
  | { kind: "http"; url: string }
  | { kind: "etcd"; endpoints: readonly string[] }
  | { kind: "redis"; url: string };

/** That, or the peers themselves. */
export type MetadataServer = { kind: "p2p" } | MetadataService;

const ALLOWED = "P2PHANDSHAKE, http://host:port/metadata, https://host:port/metadata, " +
  "etcd://host:port,host:port, redis://host:port/db, rediss://host:port/db";

/**
 * Reads a metadata connection string of the reference, to which one without a scheme is that of etcd.
 * `RangeError` that names `name` for what is none.
 */
export function parseMetadataServer(name: string, text: string): MetadataServer {
  if (text === "P2PHANDSHAKE") return { kind: "p2p" };
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? [null, "etcd", text];
  switch (scheme.toLowerCase()) {
    case "http":
    case "https":
      if (URL.canParse(text) && !/[?#]/.test(text)) return { kind: "http", url: text };
      break;
    case "etcd": {
      const endpoints = parseEtcdEndpoints(rest);
      if (endpoints !== null) return { kind: "etcd", endpoints };
      break;
    }
    case "redis":
    case "rediss":
      if (isRedisUrl(text)) return { kind: "redis", url: text };
  }
  throw new RangeError(`${name}=${JSON.stringify(text)} is refused; allowed: ${ALLOWED}`);
}

/** How a service is entered, and which database of a Redis whose URL names none; default 0. */
export interface MetadataAccess extends ServiceAccess {
  readonly database?: number;
}

/** Opens a service; nothing is asked yet. */
export function openMetadataKv(
  service: MetadataService,
  access: MetadataAccess,
  clock: Clock,
): MetadataKv {
  switch (service.kind) {
    case "http":
      return new HttpKv({ url: service.url, clock });
    case "etcd":
      return new EtcdKv(service.endpoints, access);
    case "redis":
      return new RedisKv(withDatabase(service.url, access.database ?? 0), access);
  }
}

/** Opens the place where documents are published and looked up. */
export function openMetadata(
  server: MetadataServer,
  options: { access: MetadataAccess; clusterId: string; handshake: HandshakeOptions },
): MetadataStore {
  const { access, clusterId, handshake } = options;
  if (server.kind === "p2p") return new P2pMetadata(handshake);
  return new KvMetadata({
    kv: openMetadataKv(server, access, handshake.clock),
    clusterId,
    probe: (host, port) => probe(host, port, handshake),
  });
}

function withDatabase(url: string, database: number): string {
  return /^\w+:\/\/[^/]+\/\d+$/.test(url) ? url : `${url.replace(/\/$/, "")}/${database}`;
}

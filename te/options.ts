import { isDeviceMap, parseDeviceMap } from "../client/transfer/device_map.ts";
import { isIP } from "node:net";
import { parseHostPort } from "../client/transfer/address.ts";
import type { Clock } from "../client/transfer/clock.ts";
import { errorText } from "../client/transfer/error_text.ts";
import { type MetadataServer, parseMetadataServer } from "../client/transfer/metadata_server.ts";
import type { Notification } from "../proto/handshake.ts";
import { EngineCode, EngineError } from "./engine_code.ts";

/** How an etcd or Redis that keeps the metadata is entered. PEM files by path. */
export interface MetadataLogin {
  /** Name of the user. */
  user?: string;
  /** Password of the user. */
  password?: string;
  /** Authorities whose certificates are trusted; turns TLS on for etcd. */
  tlsCa?: string;
  /** Certificate that is shown. */
  tlsCert?: string;
  /** Key of that certificate. */
  tlsKey?: string;
  /** Database of a Redis whose URL names none; 0. */
  database?: number;
}

/** Tunables of RDMA; what is absent gets the default in brackets. */
export interface RdmaTunables {
  /** Port of each device [1]. */
  port?: number;
  /** Index of the GID; -1 = one is chosen [-1]. */
  gidIndex?: number;
  /** Bytes of a packet, at most what the port has [4096]. */
  mtu?: number;
  /** Service level [0]. */
  serviceLevel?: number;
  /** Traffic class [0]. */
  trafficClass?: number;
  /** Queue pairs between two devices [4, and 2 to engines of the reference]. */
  qpsPerLink?: number;
}

/** PEM files by path; all three are needed. */
export interface TlsOptions {
  /** The certificate that peers are shown, then those between it and an authority. */
  certFile: string;
  /** Its key, without a pass phrase. */
  keyFile: string;
  /** The authorities whose certificates are accepted. */
  caFile: string;
}

/** What `TransferEngine.initialize` can be told; every member has a default. */
export interface TransferEngineOptions {
  /**
   * Host that peers reach this process at; with a port behind it, it is the name of the segment where
   * metadata outlive the process. Default `127.0.0.1`.
   */
  localServerName?: string;
  /**
   * Where peers find each other: `P2PHANDSHAKE` (the default: the name of a segment is the address of
   * its process), `http://host:port/path`, `etcd://host:port,host:port`, `redis://host:port/db`.
   */
  metadata?: string;
  /** For an etcd or Redis that asks for it. */
  metadataLogin?: MetadataLogin;
  /** Inserted into metadata keys; default none. */
  metadataClusterId?: string;
  /**
   * The first transport: `tcp` (the default), `rdma`, `nvmeof`, `libfabric`, `efa`, `cxi`, or the name of one
   * with a `transportLibrary`; see `installTransport`.
   */
  protocol?: string;
  /** Library with the transport that is installed, see `mc/transport_plugin.h`. */
  transportLibrary?: string;
  /** Handed to that library. */
  transportOptions?: string;
  /** Provider of `libfabric`, as `fi_info` prints it; default `tcp`. */
  fabricProvider?: string;
  /**
   * With `nvmeof`: where this host has the files of segments, by the path that a segment's document
   * names, such as `{ "/dev/nvme0n1": "/dev/nvme3n1" }`. No other files are used then. Default: where
   * documents say that they are, so that who can write those chooses files of this host.
   */
  localPaths?: Readonly<Record<string, string>>;
  /** RDMA devices joined by commas; default all that are up. TCP uses none. */
  deviceName?: string;
  /** JSON file with the devices of each location of memory, instead of what the system tells. */
  topologyFile?: string;
  /** For RDMA. */
  rdma?: RdmaTunables;
  /** Use TCP for peers on this host, too, instead of mapping their memory; default false. */
  forceTcp?: boolean;
  /** Handshakes and data over TLS 1.3, with peers that do so, too; not with `rdma`. Default none. */
  tls?: TlsOptions;
  /**
   * First and last of the ports of which a free one is taken, for handshakes and data; default 15000
   * to 17000.
   */
  ports?: { first: number; last: number };
  /** Address to bind; default that of a loopback `localServerName`, else all of both families. */
  bindAddress?: string;
  /** Host that is published instead of that of `localServerName`; default that one. */
  advertisedHost?: string;
  /** Milliseconds for a batch of transfers that sets no other limit; default 30000. */
  transferTimeoutMs?: number;
  /** Milliseconds for one handshake; default 5000. */
  handshakeTimeoutMs?: number;
  /**
   * Which implementation moves the bytes: `auto` (the C shim where it can be had), `native` or
   * `typescript`.
   */
  engine?: "auto" | "native" | "typescript";
  /** Messages of peers that wait for `receiveNotifications`; beyond that they are refused. 1024. */
  maxNotifications?: number;
  /** Called with each message instead, when it arrives; throwing refuses it. */
  onNotify?: (notification: Notification) => void;
  /** Receives lines about what an operator may want to know; default none. */
  log?: (line: string) => void;
  /** Time and timers; default those of the process. */
  clock?: Clock;
}

const KNOWN = [
  ...["localServerName", "metadata", "metadataLogin", "metadataClusterId", "protocol"],
  ...["transportLibrary", "transportOptions", "fabricProvider", "localPaths"],
  ...["deviceName", "topologyFile", "rdma", "forceTcp", "ports", "bindAddress", "advertisedHost"],
  ...[
    "transferTimeoutMs",
    "handshakeTimeoutMs",
    "engine",
    "maxNotifications",
    "onNotify",
    "log",
    "clock",
    "tls",
  ],
];

/** Throws that an option has a value that it cannot have. */
export function refuse(name: string, value: unknown, allowed: string): never {
  throw new EngineError(
    EngineCode.INVALID_ARGUMENT,
    `${name}=${JSON.stringify(value)} is refused; allowed: ${allowed}`,
  );
}

/** Refuses an option that is none, or whose value is none, with `INVALID_ARGUMENT`. */
export function checkOptions(options: TransferEngineOptions): MetadataServer {
  for (const name of Object.keys(options)) {
    if (!KNOWN.includes(name)) refuse(name, "...", KNOWN.join(", "));
  }
  const { localServerName = "127.0.0.1", advertisedHost, ports, engine = "auto" } = options;
  if (parseHostPort(localServerName) === null) {
    refuse("localServerName", localServerName, "host, host:port or [v6 address]:port");
  }
  if (advertisedHost && parseHostPort(advertisedHost)?.port !== null) {
    refuse("advertisedHost", advertisedHost, "a host or an address");
  }
  if (options.bindAddress && isIP(options.bindAddress) === 0) {
    refuse("bindAddress", options.bindAddress, "an IPv4 or IPv6 address");
  }
  if (!["auto", "native", "typescript"].includes(engine)) {
    refuse("engine", engine, "auto, native, typescript");
  }
  if (ports !== undefined) {
    whole("ports.first", ports.first, 1, 65535);
    whole("ports.last", ports.last, ports.first, 65535);
  }
  whole("transferTimeoutMs", options.transferTimeoutMs ?? 1, 1, 3_600_000);
  whole("handshakeTimeoutMs", options.handshakeTimeoutMs ?? 1, 1, 3_600_000);
  whole("maxNotifications", options.maxNotifications ?? 0, 0, 1 << 20);
  if (options.deviceName && isDeviceMap(options.deviceName)) parseDeviceMap(options.deviceName);
  else if (options.deviceName && !/^[\w.-]+(,[\w.-]+)*$/.test(options.deviceName)) {
    refuse("deviceName", options.deviceName, "names of devices joined by commas");
  }
  const { protocol = "tcp" } = options;
  if (options.deviceName && !["rdma", "none"].includes(protocol)) {
    refuse("deviceName", options.deviceName, `none with ${protocol}`);
  }
  checkTls(options);
  checkLocalPaths(options);
  const { tlsCert = "", tlsKey = "", database = 0 } = options.metadataLogin ?? {};
  if ((tlsCert === "") !== (tlsKey === "")) refuse("tlsCert", tlsCert, "together with tlsKey");
  whole("database", database, 0, 255);
  try {
    return parseMetadataServer("metadata", options.metadata ?? "P2PHANDSHAKE");
  } catch (error) {
    throw new EngineError(EngineCode.INVALID_ARGUMENT, errorText(error));
  }
}

function checkLocalPaths({ localPaths = {} }: TransferEngineOptions): void {
  for (const [file, path] of Object.entries(localPaths)) {
    if (typeof path !== "string" || path === "" || path.includes("\0")) {
      refuse(`localPaths[${JSON.stringify(file)}]`, path ?? null, "a path of this host");
    }
  }
}

function checkTls({ tls }: TransferEngineOptions): void {
  if (tls === undefined) return;
  for (const name of ["certFile", "keyFile", "caFile"] as const) {
    if (typeof tls[name] !== "string" || tls[name] === "") {
      refuse(`tls.${name}`, tls[name] ?? null, "the path of a PEM file");
    }
  }
}

function whole(name: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  refuse(name, value, `an integer from ${low} to ${high}`);
}

import type { Notification } from "../../proto/handshake.ts";
import type { Clock } from "./clock.ts";
import type { TransferLimits } from "./door.ts";
import type { TransferEngine } from "./engine.ts";
import type { LocalPaths } from "./file_segments.ts";
import type { MetadataStore } from "./metadata_store.ts";
import type { PortChoice } from "./port_choice.ts";
import type { TlsIdentity } from "./tls.ts";

/** What an endpoint is made of and told. */
export interface EndpointOptions extends PortChoice {
  engine: TransferEngine;
  /** Bytes a second of all transfers of a class; absent = no limit. */
  limits?: TransferLimits;
  metadata: MetadataStore;
  /** Whether the metadata outlive this process, so that the endpoint needs a name of its own. */
  named: boolean;
  clock: Clock;
  /** `host` or `host:port` of this process. */
  localHostname: string;
  /** Host that is published instead of that of `localHostname`; empty = that one. */
  advertisedHost: string;
  /** Where this host has the files of segments that are files; absent or `null` = not used. */
  localPaths?: () => LocalPaths | null;
  /** Present when the engine has TLS: who this process is in handshakes. */
  tls?: TlsIdentity;
  handshakeTimeoutMs: number;
  handshakeMaxLength: number;
  /** Newest framing to ask peers for. */
  maxProtocolVersion: 1 | 2;
  /** Use TCP for peers on this host, too, and have them do so. */
  forceTcp: boolean;
  /** Whether a transfer with this process itself is a copy in memory. */
  memcpy: boolean;
  onNotify?: (notification: Notification) => void;
  /** Receives lines about what an operator may want to know. */
  log: (line: string) => void;
}

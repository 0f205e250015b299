import { errorText } from "../client/transfer/error_text.ts";
import type { TransferEngine as ByteMover } from "../client/transfer/engine.ts";
import { openEngine } from "../client/transfer/open_engine.ts";
import { readTls, type TlsIdentity } from "../client/transfer/tls.ts";
import { findDevices } from "../client/transfer/rdma_devices.ts";
import { EngineCode, EngineError } from "./engine_code.ts";
import type { TransferEngineOptions } from "./options.ts";

const TRANSPORTS = ["tcp", "rdma", "shm"] as const;
/** A transport: sockets, RDMA devices, or the memory of the same host. */
export type TransportName = "tcp" | "rdma" | "shm";

/** What moves bytes, and by which ways. */
export interface Transports {
  readonly mover: ByteMover;
  readonly names: readonly TransportName[];
  /** Why memory of this host is not reached directly; `null` when it is. */
  readonly noShm: string | null;
}

/** The transport of that name. `NOT_IMPLEMENTED` for one that this build does not have. */
export function transportNamed(name: string): TransportName {
  const known = TRANSPORTS.find((transport) => transport === name);
  if (known !== undefined) return known;
  throw new EngineError(
    EngineCode.NOT_IMPLEMENTED,
    `Transport ${JSON.stringify(name)} is not in this build; allowed: ${TRANSPORTS.join(", ")}`,
  );
}

/**
 * Opens what a first transport needs; TCP and the memory of the host always come with it, where they
 * can. `DEVICE_NOT_FOUND` with one line when a library or a device is missing.
 */
export function openTransports(
  first: TransportName,
  options: TransferEngineOptions,
  tls?: TlsIdentity,
): Transports {
  if (first === "rdma" && tls) throw missing("rdma", "it is not encrypted, and tls is asked for");
  const opened = first === "rdma" ? openRdma(options) : openSockets(options, tls);
  const noShm = options.forceTcp ? "forceTcp is set" : opened.reason;
  if (first === "shm" && noShm !== null) {
    opened.engine[Symbol.asyncDispose]();
    throw missing(first, noShm);
  }
  const names: TransportName[] = [];
  if (opened.engine.rdma !== undefined) names.push("rdma");
  names.push("tcp");
  if (noShm === null) names.push("shm");
  return { mover: opened.engine, names, noShm };
}

/** Says why a transport is not there. */
export function missing(name: TransportName, why: string, cause?: unknown): EngineError {
  const message = `Transport ${JSON.stringify(name)} cannot be had: ${why}`;
  return new EngineError(EngineCode.DEVICE_NOT_FOUND, message, { cause });
}

/** Who an engine is in TLS; absent without. `INVALID_ARGUMENT` for files that cannot be read. */
export function tlsOf({ tls, handshakeTimeoutMs }: TransferEngineOptions): TlsIdentity | undefined {
  try {
    return tls && readTls({ ...tls, ...(handshakeTimeoutMs && { handshakeTimeoutMs }) });
  } catch (cause) {
    throw noTls(cause);
  }
}

function noTls(cause: unknown): EngineError {
  const message = `TLS cannot be had: ${errorText(cause)}`;
  return new EngineError(EngineCode.INVALID_ARGUMENT, message, { cause });
}

function openWith(
  engine: string,
  tls: TlsIdentity | undefined,
  log: TransferEngineOptions["log"],
) {
  const native = engine === "typescript" ? { native: "off" } : {};
  try {
    return openEngine({ ...native, ...(log && { log }), ...(tls && { tls }) });
  } catch (cause) {
    throw tls === undefined ? cause : noTls(cause);
  }
}

function openSockets({ engine = "auto", log }: TransferEngineOptions, tls?: TlsIdentity) {
  const opened = openWith(engine, tls, log);
  const { reason } = opened;
  if (reason === null || engine === "typescript") {
    return { engine: opened.engine, reason: reason && "the engine is in TypeScript" };
  }
  if (engine === "native") {
    opened.engine[Symbol.asyncDispose]();
    throw missing("tcp", reason);
  }
  log?.(`bytes are moved by the engine in TypeScript: ${reason}`);
  return opened;
}

function openRdma(options: TransferEngineOptions) {
  const { engine, deviceName = "", topologyFile = "", rdma = {}, log = () => {} } = options;
  if (engine === "typescript") throw missing("rdma", "the engine in TypeScript has no RDMA");
  const serverName = `engine-${crypto.randomUUID()}`;
  let opened: ReturnType<typeof openEngine>;
  try {
    opened = openEngine({
      rdma: { ...rdma, ...findDevices({ deviceName, topologyFile }), serverName, log },
      log,
    });
  } catch (cause) {
    throw missing("rdma", errorText(cause), cause);
  }
  if (opened.reason === null) return opened;
  opened.engine[Symbol.asyncDispose]();
  throw missing("rdma", opened.reason);
}

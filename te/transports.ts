import { errorText } from "../client/transfer/error_text.ts";
import type { TransferEngine as ByteMover } from "../client/transfer/engine.ts";
import { openEngine } from "../client/transfer/open_engine.ts";
import type { PluginOptions } from "../client/transfer/plugin_side.ts";
import { readTls, type TlsIdentity } from "../client/transfer/tls.ts";
import { findDevices } from "../client/transfer/rdma_devices.ts";
import {
  chooseTransport,
  type ChosenTransport,
  NO_CHOICE,
  TransportAbsentError,
} from "../client/transfer/transport_names.ts";
import { EngineCode, EngineError } from "./engine_code.ts";
import type { TransferEngineOptions } from "./options.ts";

/**
 * A transport: `tcp`, `rdma`, `shm` (the memory of the same host), `nvmeof` (files), or one of its own
 * library.
 */
export type TransportName = string;

/** What moves bytes, and by which ways. */
export interface Transports {
  readonly mover: ByteMover;
  readonly names: readonly TransportName[];
  /** Why memory of this host is not reached directly; `null` when it is. */
  readonly noShm: string | null;
}

/**
 * What stands behind a transport's name. `NOT_IMPLEMENTED` with one line that says what is missing
 * for one that this build does not have, `INVALID_ARGUMENT` for options that do not fit it.
 */
export function transportNamed(name: string, options: TransferEngineOptions): ChosenTransport {
  const { transportLibrary = "", transportOptions = "", fabricProvider = "" } = options;
  const isFree = ["tcp", "shm", "nvmeof"].includes(name);
  const choice = { transportLibrary, transportOptions, fabricProvider };
  try {
    const chosen = chooseTransport(name, isFree ? NO_CHOICE : choice, { named: (field) => field });
    if (chosen.kind !== "rpc_only") return chosen;
  } catch (error) {
    if (error instanceof TransportAbsentError) {
      const message = `Transport ${JSON.stringify(name)} cannot be had: ${error.message}`;
      throw new EngineError(EngineCode.NOT_IMPLEMENTED, message);
    }
    const unknown = errorText(error).startsWith("protocol=");
    const code = unknown ? EngineCode.NOT_IMPLEMENTED : EngineCode.INVALID_ARGUMENT;
    throw new EngineError(code, errorText(error));
  }
  const message = 'Transport "rpc_only" cannot be had: here it is tcp with the option forceTcp';
  throw new EngineError(EngineCode.NOT_IMPLEMENTED, message);
}

/**
 * Opens what a first transport needs; TCP and the memory of the host always come with it, where they
 * can. `DEVICE_NOT_FOUND` with one line when a library or a device is missing.
 */
export function openTransports(
  first: TransportName,
  chosen: ChosenTransport,
  options: TransferEngineOptions,
  tls?: TlsIdentity,
): Transports {
  const opened = openChosen(first, chosen, options, tls);
  const noShm = options.forceTcp ? "forceTcp is set" : opened.reason;
  if (first === "shm" && noShm !== null) {
    opened.engine[Symbol.asyncDispose]();
    throw missing(first, noShm);
  }
  const names: TransportName[] = [];
  if (opened.engine.rdma !== undefined || opened.engine.plugin !== undefined) names.push(first);
  names.push("tcp");
  if (noShm === null) names.push("shm");
  return { mover: opened.engine, names, noShm };
}

/** Says why a transport is not there. */
export function missing(name: TransportName, why: string, cause?: unknown): EngineError {
  const message = `Transport ${JSON.stringify(name)} cannot be had: ${why}`;
  return new EngineError(EngineCode.DEVICE_NOT_FOUND, message, { cause });
}

function openChosen(
  name: string,
  chosen: ChosenTransport,
  options: TransferEngineOptions,
  tls?: TlsIdentity,
) {
  const isDirect = chosen.kind === "rdma" || chosen.kind === "plugin";
  if (isDirect && tls) throw missing(name, "it is not encrypted, and tls is asked for");
  if (chosen.kind === "rdma") return openRdma(options);
  return chosen.kind === "plugin" ? openPlugin(name, chosen, options) : openSockets(options, tls);
}

function openPlugin(name: string, plugin: PluginOptions, { engine }: TransferEngineOptions) {
  if (engine === "typescript") throw missing(name, "the engine in TypeScript has none but tcp");
  return openOr(name, () => openEngine({ plugin }));
}

/** Opens an engine of the shim, or says in one line why there is none with that transport. */
function openOr(name: string, open: () => ReturnType<typeof openEngine>) {
  let opened: ReturnType<typeof openEngine>;
  try {
    opened = open();
  } catch (cause) {
    throw missing(name, errorText(cause), cause);
  }
  if (opened.reason === null) return opened;
  opened.engine[Symbol.asyncDispose]();
  throw missing(name, opened.reason);
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
  return openOr("rdma", () =>
    openEngine({
      rdma: { ...rdma, ...findDevices({ deviceName, topologyFile }), serverName, log },
      log,
    }));
}

import { LAYOUT } from "./layout.ts";
import { type NativeEngine, Struct } from "./native_engine.ts";
import { checked, NativeError } from "./native_error.ts";
import type { tlsSymbols } from "./tls_symbols.ts";

/** The TLS part of the loaded shim. */
export type TlsLibrary = Deno.DynamicLibrary<typeof tlsSymbols>["symbols"];

/** Arguments of `mc_tls_open`. */
export interface NativeTlsOptions {
  /** PEM files by path. */
  certFile: string;
  keyFile: string;
  caFile: string;
  /** Milliseconds that the handshake of a peer may take; absent = the default in `mc/tls.h`. */
  handshakeTimeoutMs?: number;
}

/** A connection that came to nothing because of TLS. */
export interface NativeTlsReport {
  /** Whether the peer had connected; else we had. */
  served: boolean;
  /** Its address and port. */
  peer: string;
  text: string;
}

const WHY_BYTES = 512;

function textIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** TLS of an engine, while that is open. */
export interface NativeTls {
  /** Takes the oldest report, or `null`. */
  takeReport(): NativeTlsReport | null;
  /** Takes other files for new connections. `Error` with one line, and nothing is changed then. */
  renew(files: NativeTlsOptions): void;
}

/**
 * Puts TLS on the connections of an engine that has none yet. `Error` with one line when OpenSSL or a
 * file cannot be had.
 */
export function openTls(
  library: TlsLibrary,
  engine: NativeEngine,
  options: NativeTlsOptions,
): NativeTls {
  const why = new Uint8Array(WHY_BYTES);
  const [cert, key, ca] = pathsOf(options);
  const timeoutMs = options.handshakeTimeoutMs ?? 0;
  const result = library.mc_tls_open(engine.pointer, cert, key, ca, timeoutMs, why, why.length);
  settle("mc_tls_open", result, why);
  return {
    takeReport: () => takeReport(library, engine),
    renew(files) {
      const [cert, key, ca] = pathsOf(files);
      const result = library.mc_tls_renew(engine.pointer, cert, key, ca, why, why.length);
      settle("mc_tls_renew", result, why);
    },
  };
}

function pathsOf({ certFile, keyFile, caFile }: NativeTlsOptions): Uint8Array<ArrayBuffer>[] {
  return [certFile, keyFile, caFile].map((path) => new TextEncoder().encode(`${path}\0`));
}

function settle(symbol: string, result: number, why: Uint8Array): void {
  if (result >= 0) return;
  const line = textIn(why);
  if (line === "") checked(symbol, result);
  throw new Error(line, { cause: new NativeError(symbol, -result) });
}

function takeReport(library: TlsLibrary, engine: NativeEngine): NativeTlsReport | null {
  const { bytes, view } = new Struct("mc_tls_report");
  if (library.mc_tls_take_report(engine.pointer, bytes) === 0) return null;
  const [peer, text] = [LAYOUT["mc_tls_report.peer"], LAYOUT["mc_tls_report.text"]];
  return {
    served: view.getUint32(LAYOUT["mc_tls_report.served"], true) !== 0,
    peer: textIn(bytes.subarray(peer, text)),
    text: textIn(bytes.subarray(text)),
  };
}

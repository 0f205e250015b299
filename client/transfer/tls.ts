/** TLS between nodes: the files that say who this process is, and what came of its connections. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { formatHostPort } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { TlsReport, TransferEngine } from "./engine.ts";
import { errorText } from "./error_text.ts";

/** PEM files by path. */
export interface TlsFiles {
  /** The certificate that is shown to peers, then those between it and an authority. */
  readonly certFile: string;
  /** Its key, without a pass phrase. */
  readonly keyFile: string;
  /** The authorities whose certificates are accepted. */
  readonly caFile: string;
}

/** What an engine needs of them. */
export interface EngineTls extends TlsFiles {
  /** Milliseconds that the handshake of a peer may take; 5000. */
  readonly handshakeTimeoutMs?: number;
}

/** With what the files hold. */
export interface TlsIdentity extends EngineTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Reads the files. `Error` with one line that names the one that cannot be read. */
export function readTls(tls: EngineTls): TlsIdentity {
  const { certFile, keyFile, caFile } = tls;
  const [cert, key, ca] = [certFile, keyFile, caFile].map((path) => {
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      throw new Error(`${JSON.stringify(path)} cannot be read: ${errorText(cause)}`, { cause });
    }
  });
  return { ...tls, cert, key, ca };
}

/** How often an engine is asked for reports. */
const ASK_MS = 1000;
/** How long the same line about a host is not repeated. */
const QUIET_MS = 60_000;
/** Lines and failures remembered. */
const REMEMBERED = 256;

/** Tells the operator which connections TLS refused, and callers why theirs did. */
export class TlsReports {
  #take: () => TlsReport | null;
  readonly #clock: Clock;
  readonly #log: (line: string) => void;
  /** When a line was last written, by the line without its port. */
  readonly #written = new Map<string, number>();
  /** Why connections of ours came to nothing, by the peer's address. */
  readonly #failures = new Map<string, string>();
  #cancel: () => void = () => {};

  constructor(engine: TransferEngine, clock: Clock, log: (line: string) => void) {
    this.#take = engine.takeTlsReport ?? (() => null);
    this.#clock = clock;
    this.#log = log;
    if (engine.takeTlsReport !== undefined) this.#watch();
  }

  /** The end of a message: why a connection to an address came to nothing; empty when none did. */
  about(address: { host: string; port: number } | undefined): string {
    if (address === undefined) return "";
    this.#collect();
    const { host, port } = address;
    const text = isIP(host) !== 0
      ? this.#failures.get(formatHostPort(host, port))
      : [...this.#failures].findLast(([peer]) => peer.endsWith(`:${port}`))?.[1];
    return text === undefined ? "" : `: TLS: ${text}`;
  }

  /** Writes what is left and asks no more. */
  stop(): void {
    this.#collect();
    this.#cancel();
    this.#take = () => null;
  }

  #watch(): void {
    this.#cancel = this.#clock.after(ASK_MS, () => {
      this.#collect();
      this.#watch();
    });
  }

  #collect(): void {
    for (let report = this.#take(); report !== null; report = this.#take()) {
      const { served, peer, text } = report;
      if (!served) remember(this.#failures, peer, text);
      const what = served ? `refused a connection of` : `cannot connect to`;
      const line = `${what} ${peer.replace(/:\d+$/, "")} ${text}`;
      const now = this.#clock.now();
      if (now - (this.#written.get(line) ?? -QUIET_MS) < QUIET_MS) continue;
      remember(this.#written, line, now);
      this.#log(`TLS: ${what} ${peer}: ${text}`);
    }
  }
}

/** Sets an entry anew, at the end, and lets the oldest go when there are too many. */
function remember<T>(entries: Map<string, T>, key: string, value: T): void {
  entries.delete(key);
  entries.set(key, value);
  if (entries.size > REMEMBERED) entries.delete(entries.keys().next().value!);
}

/** TLS between nodes: the files that say who this process is, and what came of its connections. */
import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { formatHostPort } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { TlsSide, TransferEngine } from "./engine.ts";
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

/** With what the files hold, which is replaced when they are. */
export interface TlsIdentity extends EngineTls {
  cert: string;
  key: string;
  ca: string;
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

/** How often an engine is asked for reports, and files are looked at. */
const ASK_MS = 1000;
/** How long the same line about a host is not repeated. */
const QUIET_MS = 60_000;
/** Lines and failures remembered. */
const REMEMBERED = 256;

/**
 * Tells the operator which connections TLS refused, and callers why theirs did; and has files that were
 * replaced count for new connections.
 */
export class TlsWatch {
  #side: TlsSide | undefined;
  readonly #identity: TlsIdentity | undefined;
  readonly #clock: Clock;
  readonly #log: (line: string) => void;
  /** When a line was last written, by the line without its port. */
  readonly #written = new Map<string, number>();
  /** Why connections of ours came to nothing, by the peer's address. */
  readonly #failures = new Map<string, string>();
  /** Of the files that are in use, and of those that were refused. */
  #stamp: string;
  #refused = "";
  #cancel: () => void = () => {};

  constructor(
    engine: TransferEngine,
    clock: Clock,
    log: (line: string) => void,
    identity: TlsIdentity | undefined,
  ) {
    this.#side = engine.tls;
    this.#identity = identity;
    this.#clock = clock;
    this.#log = log;
    this.#stamp = stampOf(identity);
    if (this.#side !== undefined) this.#watch();
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
    this.#side = undefined;
  }

  #watch(): void {
    this.#cancel = this.#clock.after(ASK_MS, () => {
      this.#collect();
      this.#renew();
      this.#watch();
    });
  }

  /** Takes files that were replaced; while they do not go together the old ones count. */
  #renew(): void {
    const identity = this.#identity;
    const stamp = stampOf(identity);
    if (identity === undefined || stamp === "" || stamp === this.#stamp) return;
    try {
      const read = readTls(identity);
      this.#side?.renew(identity);
      Object.assign(identity, read);
      this.#stamp = stamp;
      this.#log("TLS: new certificates are in use");
    } catch (error) {
      if (stamp !== this.#refused) this.#log(`TLS: the old files stay: ${errorText(error)}`);
      this.#refused = stamp;
    }
  }

  #collect(): void {
    const take = () => this.#side?.takeReport() ?? null;
    for (let report = take(); report !== null; report = take()) {
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

/** Changes when one of the files does; empty when one is not there. */
function stampOf(files: TlsFiles | undefined): string {
  if (files === undefined) return "";
  try {
    return [files.certFile, files.keyFile, files.caFile].map((path) => {
      const { mtimeMs, ino, size } = statSync(path);
      return [mtimeMs, ino, size].join(":");
    }).join(" ");
  } catch {
    return "";
  }
}

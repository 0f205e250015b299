/** Network addresses in their text form: `host:port`, `[::1]:port`. */
import { isIPv6 } from "node:net";

/** A host name or address, and a port; `port` is `null` when the text has none. */
export interface HostPort {
  /** Without brackets. */
  host: string;
  port: number | null;
}

/**
 * Splits `host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6 address; `null` when it is neither. An
 * address with a zone (`fe80::1%eth0`) is none: the zone means something on one machine only.
 */
export function parseHostPort(text: string): HostPort | null {
  if (isIPv6(text) && !text.includes("%")) return { host: text, port: null };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]%]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const [, bracketed, name, digits] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) return null;
  const port = digits === undefined ? null : Number(digits);
  if (port !== null && (port < 1 || port > 65535)) return null;
  return { host: bracketed ?? name, port };
}

/** Whether a text names an address together with a zone of this machine. */
export function hasZone(text: string): boolean {
  return /^\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*%/.test(text);
}

/** The text form of an address; v6 addresses get brackets. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether a host name or address can only mean this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Which service holds the metadata of a cluster's transfer endpoints. */
export type MetadataServer =
  | { kind: "p2p" }
  /** The URL is used as given, with `?key=...` appended. */
  | { kind: "http"; url: string };

const ALLOWED = "P2PHANDSHAKE, http://host:port/metadata, https://host:port/metadata";

/**
 * Reads a metadata connection string of the reference. `RangeError` that names `name` for another
 * scheme.
 */
export function parseMetadataServer(name: string, text: string): MetadataServer {
  if (text === "P2PHANDSHAKE") return { kind: "p2p" };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1].toLowerCase();
  if ((scheme === "http" || scheme === "https") && URL.canParse(text) && !/[?#]/.test(text)) {
    return { kind: "http", url: text };
  }
  const why = scheme === "etcd" || scheme === "redis"
    ? ` (${scheme} is not available in this version)`
    : "";
  throw new RangeError(`${name}=${JSON.stringify(text)} is refused; allowed: ${ALLOWED}${why}`);
}

/** Keys of the metadata store, and how the reference's clients escape them in a URL. */

/** What the variable `MC_METADATA_CLUSTER_ID` adds to every key. */
export interface MetadataKeyOptions {
  /** Empty or absent = the plain prefix. */
  clusterId?: string;
}

/**
 * The key of a segment document. A name with a `/` inside stands for itself instead of being put
 * under `ram/`; slashes in front are dropped. `RangeError` for an empty name.
 */
export function segmentKey(name: string, options: MetadataKeyOptions = {}): string {
  const bare = name.replace(/^\/+/, "");
  if (bare === "") throw new RangeError("A segment needs a name");
  return prefix(options) + (bare.includes("/") ? bare : `ram/${bare}`);
}

/** The key of an `rpc_meta` document. `RangeError` for an empty name. */
export function rpcMetaKey(name: string, options: MetadataKeyOptions = {}): string {
  if (name === "") throw new RangeError("A server needs a name");
  return `${prefix(options)}rpc_meta/${name}`;
}

/**
 * Escapes a key for `?key=`: everything but `A-Z a-z 0-9 - . _ ~`, in upper-case hexadecimal. The
 * reference's server does not decode what it is sent, so that the escape is part of the stored key
 * and must be exactly this one.
 */
export function escapeKey(key: string): string {
  return encodeURIComponent(key).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function prefix({ clusterId = "" }: MetadataKeyOptions): string {
  if (clusterId === "") return "mooncake/";
  return `mooncake/${clusterId}${clusterId.endsWith("/") ? "" : "/"}`;
}

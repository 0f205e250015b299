/** Places for snapshots: what they are called and how they are opened. */
import { resolve } from "node:path";
import { SnapshotCatalog } from "./catalog.ts";
import { DirectoryStore } from "./directory_store.ts";
import { openS3Store, type S3Place } from "./s3_store.ts";
import { readS3Settings } from "./s3_settings.ts";

/** Structured-cloneable. */
export type SnapshotPlace =
  | { readonly kind: "directory"; readonly path: string }
  | ({ readonly kind: "s3" } & S3Place);

const BUCKET = /^[a-z0-9][a-z0-9._-]{1,254}$/i;

/**
 * Reads `s3://bucket/prefix` or the path of a directory. Throws a `RangeError` that says what is
 * allowed; credentials come from `env`, see `s3_settings.ts`.
 */
export function parsePlace(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): SnapshotPlace {
  const scheme = /^([a-z0-9+]+):\/\/(.*)$/i.exec(text);
  if (scheme === null) {
    if (text === "") throw new RangeError("no place; allowed: a directory, s3://bucket/prefix");
    return { kind: "directory", path: resolve(text) };
  }
  if (scheme[1].toLowerCase() === "file") return { kind: "directory", path: resolve(scheme[2]) };
  if (scheme[1].toLowerCase() !== "s3") {
    throw new RangeError(`${scheme[1]}:// is unknown; allowed: a directory, s3://bucket/prefix`);
  }
  const [bucket, ...rest] = scheme[2].split("/");
  return s3Place(bucket, rest.filter((part) => part !== "").join("/"), env);
}

/** Throws a `RangeError` when the name or a variable is malformed. */
export function s3Place(
  bucket: string,
  prefix: string,
  env: Readonly<Record<string, string | undefined>>,
): SnapshotPlace {
  if (!BUCKET.test(bucket)) {
    throw new RangeError(`"${bucket}" is no bucket; allowed: 2 to 255 of A-Z a-z 0-9 . _ -`);
  }
  return { kind: "s3", bucket, prefix, settings: readS3Settings(env) };
}

/** Opens a place. Nothing is looked up yet. */
export async function openPlace(place: SnapshotPlace): Promise<SnapshotCatalog> {
  const store = place.kind === "s3" ? await openS3Store(place) : new DirectoryStore(place.path);
  return new SnapshotCatalog(store);
}

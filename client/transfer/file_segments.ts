import type { SegmentFile, SegmentFiles } from "../../proto/metadata/segment_files.ts";
import { NativeFiles } from "../../ffi/native_files.ts";
import { errorText } from "./error_text.ts";

/** A file of a segment at its path on this host. */
export interface LocalFile {
  readonly path: string;
  /** Bytes from its start that belong to the segment. */
  readonly length: number;
}

/** What a process knows of the paths at which it has the files of segments. */
export interface LocalPaths {
  /** Its server names, the first one that a document's map knows counts. */
  readonly names: readonly string[];
  /** By the path that a document names; `null` = documents say where its files are here. */
  readonly given: ReadonlyMap<string, string> | null;
}

/** The files of a segment as this process has them. `Error` with one line when it has not all. */
export function localFiles({ owner, all }: SegmentFiles, paths: LocalPaths): LocalFile[] {
  return all.map((file) => ({ path: localPathOf(file, owner, paths), length: file.length }));
}

function localPathOf(file: SegmentFile, owner: string, { names, given }: LocalPaths): string {
  const found = given === null
    ? names.map((name) => file.localPaths.get(name)).find((path) => path !== undefined)
    : given.get(file.path);
  if (found !== undefined) return found;
  const what = `host ${names[0]} is told no path for ${JSON.stringify(file.path)} of ` +
    (owner || "its owner");
  throw new Error(
    given === null
      ? `${what}; paths are known for: ${
        shown(file.localPaths)
      }; allowed: one for this host in the ` +
        "segment's local_path_map, or localPaths"
      : `${what}; localPaths names: ${shown(given)}`,
  );
}

function shown(paths: ReadonlyMap<string, string>): string {
  const names = [...paths.keys()];
  return (names.slice(0, 8).join(", ") || "nothing") + (names.length > 8 ? ", ..." : "");
}

/**
 * Bytes of a block device or file of this host. `Error` with one line when there is none, or this
 * machine cannot tell.
 */
export function measureFile(path: string): number {
  try {
    if (!("Deno" in globalThis)) throw new Error("this is not Deno");
    return NativeFiles.measure(path);
  } catch (cause) {
    throw new Error(`${JSON.stringify(path)} cannot be used: ${errorText(cause)}`, { cause });
  }
}

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
  /** Its server names, the first one that a map knows counts. */
  readonly names: readonly string[];
  /** By the path that a document names; before the maps of documents. */
  readonly given: ReadonlyMap<string, string>;
}

/** The files of a segment as this process has them. `Error` with one line when it has not all. */
export function localFiles({ owner, all }: SegmentFiles, paths: LocalPaths): LocalFile[] {
  return all.map((file) => ({ path: localPathOf(file, owner, paths), length: file.length }));
}

function localPathOf(file: SegmentFile, owner: string, { names, given }: LocalPaths): string {
  const found = given.get(file.path) ??
    names.map((name) => file.localPaths.get(name)).find((path) => path !== undefined);
  if (found !== undefined) return found;
  const hosts = [...file.localPaths.keys()];
  const shown = hosts.slice(0, 8).join(", ") + (hosts.length > 8 ? ", ..." : "");
  throw new Error(
    `host ${names[0]} is told no path for ${JSON.stringify(file.path)} of ` +
      `${owner || "its owner"}; paths are known for: ${shown || "no host"}; allowed: one for ` +
      "this host in the segment's local_path_map, or in localPaths",
  );
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

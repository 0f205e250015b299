/**
 * Segments that are files on NVMe over fabrics, in the form of the reference: `protocol` is `nvmeof`,
 * and each buffer names a file by its path on the owner's host and, by server name, the paths at which
 * other hosts have it. Addresses begin at 0 and go through the files, one after the other.
 */
import { type JsonObject, type JsonValue } from "../json_exact.ts";
import { ProtocolError } from "../error.ts";
import { asArray, asObject, integerField, nameField, textField } from "./fields.ts";

/** `protocol` of such a segment. */
export const FILES_PROTOCOL = "nvmeof";

/** A file or block device that several hosts have. */
export interface SegmentFile {
  /** On the owner's host. */
  path: string;
  /** Bytes from its start. */
  length: number;
  /** Path by the server name of a process that has it. */
  localPaths: Map<string, string>;
}

/** The files of a segment, and the server name of who registered them; empty = not known. */
export interface SegmentFiles {
  owner: string;
  all: SegmentFile[];
}

/** Whether a document's `protocol` is that of files; older scripts of the reference write `NVMeoF`. */
export function isFilesProtocol(protocol: JsonValue | undefined): boolean {
  return typeof protocol === "string" && protocol.toLowerCase() === FILES_PROTOCOL;
}

/** Whether segments of that name are files: `nvmeof/` and anything. */
export function isFilesName(name: string): boolean {
  return /^\/*nvmeof\/./.test(name);
}

/** The files of a document. `ProtocolError` when one is incomplete. */
export function readSegmentFiles(document: JsonObject, what: string): SegmentFiles {
  const all = asArray(document.buffers, `buffers of ${what}`).map((item, i) => {
    const where = `buffer ${i} of ${what}`;
    const buffer = asObject(item, where);
    const map = asObject(buffer.local_path_map ?? {}, `local_path_map of ${where}`);
    return {
      path: pathField(buffer, "file_path", where),
      length: integerField(buffer, "length", where, { low: 1, high: Number.MAX_SAFE_INTEGER }),
      localPaths: new Map(
        Object.keys(map).map((host) => [host, pathField(map, host, `local_path_map of ${where}`)]),
      ),
    };
  });
  if (all.reduce((sum, { length }) => sum + length, 0) > Number.MAX_SAFE_INTEGER) {
    throw new ProtocolError(`the files of ${what} have more than 2^53 bytes`);
  }
  return { owner: textField(document, "server_name", what), all };
}

/** The members of a document that say which files it has. */
export function segmentFilesJson({ owner, all }: SegmentFiles): JsonObject {
  return {
    server_name: owner,
    protocol: FILES_PROTOCOL,
    buffers: all.map(({ path, length, localPaths }) => ({
      file_path: path,
      length,
      local_path_map: Object.fromEntries(localPaths),
    })),
  };
}

function pathField(object: JsonObject, name: string, what: string): string {
  const path = nameField(object, name, what);
  if (path.includes("\0")) throw new ProtocolError(`${name} of ${what} has a zero byte`);
  return path;
}

import { listFiles } from "../journal/files.ts";
import { FileKind, GROUP_HEADER_BYTES } from "../journal/group_format.ts";
import { GroupReader } from "../journal/group_reader.ts";

/** A group as a directory's files have it; `null` = a checkpoint holds it, or it is not there. */
export function groupInFiles(directory: string, sequence: number): Uint8Array | null {
  const file = listFiles(directory).tails.findLast((tail) => tail.sequence <= sequence);
  if (file === undefined) return null;
  using reader = new GroupReader(file.path, FileKind.TAIL);
  for (let group = reader.next(); group !== null; group = reader.next()) {
    if (group.sequence !== sequence || group.damaged) continue;
    return group.bytes.slice(group.start - GROUP_HEADER_BYTES, group.end);
  }
  return null;
}

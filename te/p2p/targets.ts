import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../../client/transfer/error_text.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import { refuse } from "../options.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { Content } from "./content.ts";
import { FileContent, type LocalFile } from "./file_content.ts";
import type { Manifest } from "./manifest.ts";
import { MemoryContent } from "./memory_content.ts";
import type { GetTarget } from "./p2p_options.ts";

/** Behind the name of a file that is not whole. */
const PART = ".part";

/** A place for content, and whether what is there is to be looked at. */
export interface OpenTarget {
  readonly content: Content;
  /** Files that are there under their own names, which have to be right. */
  readonly present: readonly string[];
}

/** Opens the place that content is brought to. `INVALID_ARGUMENT` with one line. */
export async function openTarget(
  manifest: Manifest,
  target: GetTarget,
  engine: TransferEngine,
  options: { overwrite: boolean; log: (line: string) => void },
): Promise<OpenTarget> {
  const { files } = manifest;
  if ("arrays" in target) {
    const wanted = files.map(({ length }) => length).join(", ");
    const given = target.arrays.map(({ length }) => length).join(", ");
    if (wanted !== given) refuse("arrays", `[${given}] bytes`, `[${wanted}] bytes`);
    return { content: await MemoryContent.open(engine, target.arrays), present: [] };
  }
  const { directory } = target;
  if (typeof directory !== "string" || directory === "") refuse("directory", directory, "a folder");
  const local: LocalFile[] = [];
  const present: string[] = [];
  try {
    await mkdir(directory, { recursive: true });
    for (const { name, length } of files) {
      const path = join(directory, name);
      const there = options.overwrite ? null : await stat(path).catch(() => null);
      if (there !== null && there.size !== length) throw new Error(otherContent(path));
      if (there !== null) present.push(path);
      local.push({ path, length, ...(there === null && { partPath: path + PART }) });
    }
  } catch (cause) {
    const message = `Cannot write into ${directory}: ${errorText(cause)}`;
    throw new EngineError(EngineCode.INVALID_ARGUMENT, message, { cause });
  }
  return { content: await FileContent.open(engine, local, options.log), present };
}

/** What is said of a file that is in the way. */
export function otherContent(path: string): string {
  return `${path} is there with other content; "overwrite" replaces it`;
}

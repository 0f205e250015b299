import { stat } from "node:fs/promises";
import { errorText } from "../../client/transfer/error_text.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import type { SharedFile } from "./manifest.ts";
import { nameOf, type SeedSource } from "./p2p_options.ts";

/** Names and lengths of what is to be shared. `INVALID_ARGUMENT` for what is no file. */
export async function sourceFiles(sources: readonly SeedSource[]): Promise<SharedFile[]> {
  return await Promise.all(sources.map(async (source) => {
    const name = nameOf(source);
    return { name, length: "path" in source ? await lengthOf(source.path) : source.bytes.length };
  }));
}

async function lengthOf(path: string): Promise<number> {
  let why = "it is no file";
  try {
    const found = await stat(path);
    if (found.isFile()) return found.size;
  } catch (error) {
    why = errorText(error);
  }
  throw new EngineError(EngineCode.INVALID_ARGUMENT, `Cannot share ${path}: ${why}`);
}

import { FileMemory } from "../../ffi/file_memory.ts";
import { errorText } from "./error_text.ts";

export type { FileMemory };

/** Maps the start of a DAX device or file. `Error` with one line that names it. */
export function openFileMemory(path: string, length: number): FileMemory {
  try {
    if (!("Deno" in globalThis)) throw new Error("this is not Deno");
    return new FileMemory(path, length);
  } catch (cause) {
    const message = `${JSON.stringify(path)} cannot be lent as memory: ${errorText(cause)}`;
    throw new Error(message, { cause });
  }
}

import { Errno } from "../../ffi/errno.ts";
import { FileMemory } from "../../ffi/file_memory.ts";
import { NativeError } from "../../ffi/native_error.ts";
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

/**
 * Maps the start of a file to be read, by this process and by peers; what these store there does not
 * reach the file, and what is written to the file shows in it. The file must not become shorter.
 * `Error` with one line that names it.
 */
export function openFileView(path: string, length: number): FileMemory {
  try {
    if (!("Deno" in globalThis)) throw new Error("this is not Deno");
    return new FileMemory(path, length, true);
  } catch (cause) {
    throw new Error(`${JSON.stringify(path)} cannot be mapped: ${errorText(cause)}`, { cause });
  }
}

/**
 * One line when memory could not be lent because devices may not pin it: pages of a file system can
 * move, those of a DAX device and of tmpfs cannot. `null` for any other failure.
 */
export function whyNotPinned({ path, kind }: FileMemory, error: Error): string | null {
  const { cause } = error;
  const errnos: readonly number[] = [Errno.EOPNOTSUPP, Errno.EFAULT];
  const refused = cause instanceof NativeError && errnos.includes(cause.errno);
  if (kind === "DAX device" || !refused) return null;
  return `${path} (${kind}) cannot be lent over RDMA: its devices may not pin it; allowed: a DAX ` +
    "device, a file on tmpfs";
}

/** Programs in C for tests, from objects that are kept by what they are made of. */
import { createHash } from "node:crypto";
import { compilers, listFiles } from "../../ffi/build.ts";

/** Objects that were not used for so long are deleted. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

export interface NativeProgram {
  readonly output: string;
  readonly sources: readonly string[];
  /** For compiling and linking. */
  readonly flags: readonly string[];
  /** Folders whose headers the sources include: a change in any of them makes all objects anew. */
  readonly headers: readonly string[];
  /** Where objects are kept. */
  readonly kept: string;
}

interface Compiler {
  readonly name: string;
  /** What it says of itself. */
  readonly version: string;
}

async function runCompiler(name: string, args: readonly string[]): Promise<string> {
  const [program, ...prefix] = name.split(/\s+/);
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [...prefix, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${name} failed: ${decoder.decode(stderr).slice(0, 6000)}`);
  return decoder.decode(stdout);
}

async function findCompiler(): Promise<Compiler> {
  for (const name of compilers()) {
    try {
      return { name, version: await runCompiler(name, ["--version"]) };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`there is no C compiler: ${compilers().join(", ")}`);
}

function hashOf(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`\n${part.length}\n`).update(part);
  return hash.digest("hex").slice(0, 24);
}

function headerFiles(folders: readonly string[]): string[] {
  return folders.flatMap(listFiles).filter((path) => path.endsWith(".h"));
}

/**
 * Compiles what is new, as many files at a time as there are processors, and links. Several processes
 * may do so at once. `Error` with what the compiler said when that fails.
 */
export async function buildProgram(
  { output, sources, flags, headers, kept }: NativeProgram,
): Promise<void> {
  const compiler = await findCompiler();
  const included = headerFiles(headers);
  const all = hashOf([
    ...[compiler.version, JSON.stringify(flags)],
    ...included.flatMap((path) => [path, Deno.readFileSync(path)]),
  ]);
  Deno.mkdirSync(kept, { recursive: true });
  const objects = sources.map((path) => `${kept}${hashOf([all, path, Deno.readFileSync(path)])}.o`);
  const left = objects.flatMap((object, i) => isKept(object) ? [] : [{ object, i }]).toReversed();
  await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const unfinished = `${next.object}.${crypto.randomUUID().slice(0, 8)}`;
      await runCompiler(compiler.name, [...flags, "-c", "-o", unfinished, sources[next.i]]);
      Deno.renameSync(unfinished, next.object);
    }
  }));
  await runCompiler(compiler.name, [...flags, "-o", output, ...objects]);
  deleteOld(kept);
}

/** Whether there is such an object, which counts as a use of it. */
function isKept(object: string): boolean {
  try {
    Deno.utimeSync(object, new Date(), new Date());
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function deleteOld(kept: string): void {
  for (const { name } of Deno.readDirSync(kept)) {
    const path = `${kept}${name}`;
    try {
      const { mtime } = Deno.statSync(path);
      if (mtime !== null && Date.now() - mtime.getTime() > KEPT_MS) Deno.removeSync(path);
    } catch (error) {
      // Another process was faster.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

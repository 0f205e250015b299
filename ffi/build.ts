/**
 * Compiles the C shim: `deno task build`, or {@linkcode buildLibrary} from code. With
 * `--install=DIR` the library and its headers are put there for programs in other languages.
 *
 * Needs a C compiler and nothing else. The result is named after a hash of the sources and flags, so
 * an up-to-date build is found by its name alone and an old one is never loaded by mistake.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

export const COMPILE_FLAGS = [
  "-std=c11",
  "-O2",
  "-g1",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-fvisibility=hidden",
  "-fPIC",
  "-pthread",
];

/** The code stays mapped when the library is closed: an engine left open still has threads in it. */
const LINK_FLAGS = ["-shared", "-Wl,-z,nodelete", "-Wl,-soname,libsnowskin.so"];

/** A library on disk, or one line that says why there is none. */
export type BuildResult = { path: string } | { reason: string };

/** Where the sources are, or `null` when this code was not loaded from a local disk. */
export function nativeFolder(): string | null {
  const url = new URL("../native/", import.meta.url);
  return url.protocol === "file:" ? decodeURIComponent(url.pathname) : null;
}

/** All files below `folder` in a fixed order, as paths that begin with it. */
export function listFiles(folder: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory) found.push(...listFiles(`${folder}${entry.name}/`));
    else if (entry.isFile) found.push(folder + entry.name);
  }
  return found.sort();
}

/** C files of the library. */
export function librarySources(native: string): string[] {
  return listFiles(`${native}src/`).filter((path) => path.endsWith(".c"));
}

/** Path of the library that the present sources make, whether it exists or not. */
export function libraryPath(native: string): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([COMPILE_FLAGS, LINK_FLAGS, Deno.build.target]));
  const inputs = [
    ...listFiles(`${native}include/`),
    ...listFiles(`${native}src/`),
    `${native}mc.map`,
  ];
  for (const path of inputs) {
    const bytes = Deno.readFileSync(path);
    hash.update(`\n${path.slice(native.length)} ${bytes.length}\n`);
    hash.update(Buffer.from(bytes));
  }
  return `${native}build/libsnowskin-${hash.digest("hex").slice(0, 16)}.so`;
}

/** Whether a file of that name exists. */
export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

interface Attempt {
  /** False when there is no such program. */
  found: boolean;
  error: string | null;
}

function attempt(compiler: string, args: string[]): Attempt {
  const [program, ...prefix] = compiler.split(/\s+/);
  try {
    const { success, stderr } = new Deno.Command(program, {
      args: [...prefix, ...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).outputSync();
    if (success) return { found: true, error: null };
    const lines = new TextDecoder().decode(stderr).split("\n");
    const telling = lines.find((line) => /error|undefined reference/.test(line)) ?? lines[0];
    return { found: true, error: `${program} failed: ${telling.trim()}` };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { found: false, error: null };
    throw error;
  }
}

/** Command lines that may be a C compiler, of which the first that exists is meant. */
export function compilers(): string[] {
  const chosen = Deno.env.get("CC")?.trim();
  return chosen ? [chosen] : ["cc", "gcc", "clang"];
}

/** Runs the first C compiler that exists: `$CC`, cc, gcc, clang. `null` on success, or one line. */
export function compile(args: string[]): string | null {
  for (const compiler of compilers()) {
    const { found, error } = attempt(compiler, args);
    if (found) return error;
  }
  const chosen = Deno.env.get("CC")?.trim();
  return chosen
    ? `CC names "${chosen}", which does not exist`
    : "no C compiler found (cc, gcc, clang)";
}

/**
 * Compiles the shim unless an up-to-date build exists. Several processes may do so at once: each
 * writes a file of its own and renames it into place.
 */
export function buildLibrary(): BuildResult {
  const native = nativeFolder();
  if (native === null) return { reason: "the code was not loaded from a local disk" };
  try {
    const path = libraryPath(native);
    if (isFile(path)) return { path };
    Deno.mkdirSync(`${native}build`, { recursive: true });
    const unfinished = `${path}.${Deno.pid}.${crypto.randomUUID().slice(0, 8)}`;
    const failure = compile([
      ...COMPILE_FLAGS,
      ...LINK_FLAGS,
      `-I${native}include`,
      `-Wl,--version-script=${native}mc.map`,
      "-o",
      unfinished,
      ...librarySources(native),
    ]);
    if (failure !== null) return { reason: failure };
    Deno.renameSync(unfinished, path);
    return { path };
  } catch (error) {
    const text = error instanceof Error ? error.message.split("\n")[0] : String(error);
    return { reason: `cannot build it: ${text}` };
  }
}

/**
 * Puts the library, its headers, and the library with the names of the reference's C interface into
 * `folder`/lib and `folder`/include. `null` on success, or one line.
 */
export function installLibrary(folder: string): string | null {
  const built = buildLibrary();
  if ("reason" in built) return built.reason;
  const native = nativeFolder()!;
  const headers = `${native}include/`;
  Deno.mkdirSync(`${folder}/lib`, { recursive: true });
  Deno.mkdirSync(`${folder}/include/mc`, { recursive: true });
  Deno.copyFileSync(built.path, `${folder}/lib/libsnowskin.so`);
  for (const path of listFiles(headers)) {
    Deno.copyFileSync(path, `${folder}/include/${path.slice(headers.length)}`);
  }
  return compile([
    ...[...COMPILE_FLAGS, "-shared", "-Wl,-soname,libtransfer_engine.so", "-Wl,-rpath,$ORIGIN"],
    ...[`-I${headers}`, ...listFiles(`${native}te/`).filter((path) => path.endsWith(".c"))],
    ...[`-L${folder}/lib`, "-lsnowskin", "-o", `${folder}/lib/libtransfer_engine.so`],
  ]);
}

function main(args: string[]): number {
  const folder = /^--install=(.+)$/.exec(args[0] ?? "--install=.")?.[1];
  if (folder === undefined || args.length > 1) {
    console.error(`${args.join(" ")} is refused; allowed: nothing, or --install=DIR`);
    return 2;
  }
  const result = buildLibrary();
  const failure = "reason" in result
    ? result.reason
    : args.length > 0
    ? installLibrary(folder)
    : null;
  if (failure !== null) {
    console.error(`Cannot build the C shim: ${failure}`);
    return 1;
  }
  if (args.length > 0) {
    console.log(`${folder}/lib/libsnowskin.so\n${folder}/lib/libtransfer_engine.so`);
  } else if ("path" in result) console.log(result.path);
  return 0;
}

if (import.meta.main) Deno.exit(main(Deno.args));

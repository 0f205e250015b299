import { compile, nativeFolder } from "../../ffi/build.ts";

/** The library of a transport that is a FAKE: it copies inside of one process. */
export interface FakeTransport extends Disposable {
  /** Path of the library. */
  readonly path: string;
}

/** Compiles `native/tests/stand_in/fake_transport.c` into a new folder. `Error` when that fails. */
export function buildFakeTransport(flags: readonly string[] = []): FakeTransport {
  const native = nativeFolder();
  if (native === null) throw new Error("the sources are not on this machine");
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/libfake_transport.so`;
  const failure = compile([
    ...["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", `-I${native}include`],
    ...["-fvisibility=hidden", "-fPIC", "-shared", ...flags, "-o", path],
    `${native}tests/stand_in/fake_transport.c`,
  ]);
  if (failure !== null) throw new Error(failure);
  return { path, [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
}

/** A fake transport for the tests of a file; the reason instead where it cannot be compiled. */
export function fakeTransport(): FakeTransport | { missing: string } {
  try {
    const fake = buildFakeTransport();
    globalThis.addEventListener("unload", () => fake[Symbol.dispose]());
    return fake;
  } catch (error) {
    return { missing: (error as Error).message };
  }
}

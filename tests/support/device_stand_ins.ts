import { compile, nativeFolder } from "../../ffi/build.ts";

/** Libraries that take the place of drivers: memory of this machine, no device behind it. */
export interface DeviceStandIns extends Disposable {
  /** Variables that make the shim load them instead of the drivers. */
  readonly env: { SNOWSKIN_CUDA_LIBRARY: string; SNOWSKIN_ASCEND_LIBRARY: string };
}

/** Compiles the stand-ins of `native/tests/stand_in/` into a new folder. `Error` when that fails. */
export function buildDeviceStandIns(flags: readonly string[] = []): DeviceStandIns {
  const native = nativeFolder();
  if (native === null) throw new Error("the sources are not on this machine");
  const folder = Deno.makeTempDirSync();
  const build = (source: string, name: string): string => {
    const failure = compile([
      ...["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"],
      ...["-fvisibility=hidden", "-fPIC", "-shared", ...flags, "-o", `${folder}/${name}`],
      `${native}tests/stand_in/${source}`,
      `${native}tests/stand_in/gpu.c`,
    ]);
    if (failure !== null) throw new Error(failure);
    return `${folder}/${name}`;
  };
  return {
    env: {
      SNOWSKIN_CUDA_LIBRARY: build("fake_cuda.c", "libcuda.so.1"),
      SNOWSKIN_ASCEND_LIBRARY: build("fake_ascend.c", "libascendcl.so"),
    },
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

/**
 * What tests in the machine load in place of drivers, and what `measure.ts` loads. It is compiled
 * outside, since an interpreted machine takes minutes for that, and handed in by variables.
 */
import { compile, nativeFolder } from "../../ffi/build.ts";
import { buildDeviceStandIns } from "../support/device_stand_ins.ts";

const DMABUF_LIBRARY = "SNOWSKIN_RDMA_GUEST_DMABUF";
const CUDA_LIBRARY = "SNOWSKIN_RDMA_GUEST_CUDA";
const RATE_LIBRARY = "SNOWSKIN_RDMA_GUEST_VERBS_RATE";

/** Libraries on this machine's file system, and the variables that say where. */
export interface GuestStandIns extends Disposable {
  /** `NAME=value` for each. */
  readonly variables: readonly string[];
}

/** Compiles the stand-ins into a new folder. `Error` when that fails. */
export function buildGuestStandIns(): GuestStandIns {
  const devices = buildDeviceStandIns();
  const folder = Deno.makeTempDirSync();
  const library = `${folder}/libibverbs.so.1`, rate = `${folder}/verbs_rate.so`;
  const dispose = () => {
    devices[Symbol.dispose]();
    Deno.removeSync(folder, { recursive: true });
  };
  const flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
  const failure = compile([
    ...[...flags, "-o", library, `${nativeFolder()}tests/stand_in/fake_dmabuf.c`],
    "-l:libibverbs.so.1",
  ]) ?? compile([
    ...[...flags, "-O2", "-D_GNU_SOURCE", "-fvisibility=hidden", "-pthread", "-o", rate],
    new URL("./verbs_rate.c", import.meta.url).pathname,
    ...["rdma/verbs.c", "dynamic.c"].map((name) => `${nativeFolder()}src/${name}`),
  ]);
  if (failure !== null) {
    dispose();
    throw new Error(failure);
  }
  return {
    variables: [
      `${CUDA_LIBRARY}=${devices.env.SNOWSKIN_CUDA_LIBRARY}`,
      `${DMABUF_LIBRARY}=${library}`,
      `${RATE_LIBRARY}=${rate}`,
    ],
    [Symbol.dispose]: dispose,
  };
}

/** In the machine: variables that make the shim load the stand-in for CUDA. */
export function cudaStandIn(): Record<string, string> {
  return { SNOWSKIN_CUDA_LIBRARY: Deno.env.get(CUDA_LIBRARY)! };
}

/** In the machine: those that make it load the stand-in for the registration of dma-bufs, too. */
export function dmabufStandIns(): Record<string, string> {
  return { ...cudaStandIn(), SNOWSKIN_VERBS_LIBRARY: Deno.env.get(DMABUF_LIBRARY)! };
}

/** In the machine: the library of `verbs_rate.c`. */
export function verbsRateLibrary(): string {
  return Deno.env.get(RATE_LIBRARY)!;
}

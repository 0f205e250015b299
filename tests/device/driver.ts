/** Which driver the tests of this folder run on: CUDA's own where it is, else its stand-in. */
import { openLibrary } from "../../ffi/library.ts";
import { buildDeviceStandIns, type DeviceStandIns } from "../support/device_stand_ins.ts";

/** Why there is no GPU here, or `null`. */
function gpuAbsent(): string | null {
  try {
    const driver = Deno.dlopen("libcuda.so.1", {
      cuInit: { parameters: ["u32"], result: "i32" },
      cuDeviceGetCount: { parameters: ["buffer"], result: "i32" },
    });
    const count = new Int32Array(1);
    if (driver.symbols.cuInit(0) !== 0) return "libcuda.so.1 does not start";
    if (driver.symbols.cuDeviceGetCount(count) !== 0 || count[0] < 1) {
      return "the driver has no GPU";
    }
    return null;
  } catch {
    return "no libcuda.so.1";
  }
}

function shimAbsent(): string | null {
  const library = openLibrary();
  if ("unavailable" in library) return `the C shim: ${library.unavailable}`;
  library.close();
  return null;
}

const noGpu = gpuAbsent();
const noShim = shimAbsent();
let standIns: DeviceStandIns | null = null;

/** Variables for processes that a test starts. */
export let deviceEnv: Record<string, string> = {};

// A process loads one driver for good, so the choice is made before the first test.
if (noGpu !== null && noShim === null) {
  standIns = buildDeviceStandIns();
  deviceEnv = standIns.env;
  for (const [name, value] of Object.entries(deviceEnv)) Deno.env.set(name, value);
}

/** Whether there is a stand-in in the driver's place. */
export const isStandIn = noGpu !== null;

/**
 * Registers a test for the stand-in and one for a GPU. One of them is skipped, or both where what
 * they need is `missing`, and its name says why.
 */
export function deviceTest(
  name: string,
  fn: (location: string) => Promise<void>,
  missing: string | null = null,
): void {
  const standIn = noShim ?? missing ?? (isStandIn ? null : "this machine has a GPU");
  const gpu = noShim ?? missing ?? noGpu;
  for (
    const [where, why] of [
      ["stand-in for CUDA, no GPU", standIn],
      ["GPU", gpu],
    ] as const
  ) {
    const skipped = why === null ? "" : ` (skipped: ${why})`;
    Deno.test({
      name: `${where}: ${name}${skipped}`,
      ignore: why !== null,
      fn: () => fn("cuda:0"),
    });
  }
}

/** Removes the stand-in; its code stays loaded. */
export function endDevices(): void {
  standIns?.[Symbol.dispose]();
}

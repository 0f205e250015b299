/**
 * The published reference wheel in a virtual environment of the project's own.
 */
import { findVenv } from "./python_venv.ts";

/** The version that every statement about "the reference" in this project is about. */
export const WHEEL_VERSION = "0.3.13.post1";
const PACKAGE = "mooncake-transfer-engine-non-cuda";

/** Programs of the installed wheel, or why there are none. */
export type Wheel =
  | { python: string; master: string; bin: string; version: string }
  | { reason: string };

/** Finds the wheel; with `install` it is installed when it is absent. */
export async function findWheel(options: { install?: boolean } = {}): Promise<Wheel> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return { reason: "it is published for Linux on x86-64 only" };
  }
  const found = await findVenv({
    folder: "wheel-venv",
    requirement: `${PACKAGE}==${WHEEL_VERSION}`,
    probe:
      `import importlib.metadata as m; assert m.version("${PACKAGE}") == "${WHEEL_VERSION}"; ` +
      "import mooncake.store",
  }, options.install ?? false);
  if ("reason" in found) return found;
  const { python } = found;
  const bin = python.slice(0, python.lastIndexOf("/"));
  return { python, master: `${bin}/mooncake_master`, bin, version: WHEEL_VERSION };
}

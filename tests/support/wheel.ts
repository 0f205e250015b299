/**
 * The published reference wheel in a virtual environment of the project's own.
 */

/** The version that every statement about "the reference" in this project is about. */
export const WHEEL_VERSION = "0.3.13.post1";
const PACKAGE = "mooncake-transfer-engine-non-cuda";

const cache = new URL("../../.cache/", import.meta.url).pathname;
const venv = `${cache}wheel-venv`;

/** Programs of the installed wheel, or why there are none. */
export type Wheel =
  | { python: string; master: string; bin: string; version: string }
  | { reason: string };

async function run(command: string, args: string[]): Promise<{ ok: boolean; text: string }> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = new TextDecoder().decode(success ? stdout : stderr).trim();
    return { ok: success, text };
  } catch (error) {
    return { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
}

async function installed(): Promise<boolean> {
  const probe =
    `import importlib.metadata as m; print(m.version("${PACKAGE}")); import mooncake.store`;
  const { ok, text } = await run(`${venv}/bin/python`, ["-c", probe]);
  return ok && text === WHEEL_VERSION;
}

async function install(): Promise<string | null> {
  const python = await run("python3", ["--version"]);
  if (!python.ok) return "python3 is not installed";
  console.log(`Installing the reference wheel ${WHEEL_VERSION} into .cache/wheel-venv ...`);
  await Deno.mkdir(cache, { recursive: true });
  const created = await run("python3", ["-m", "venv", "--clear", venv]);
  if (!created.ok) return `python3 -m venv failed: ${created.text.split("\n").pop()}`;
  const pip = await run(`${venv}/bin/python`, [
    ...["-m", "pip", "install", "-q", "--disable-pip-version-check"],
    `${PACKAGE}==${WHEEL_VERSION}`,
  ]);
  return pip.ok ? null : `pip could not install it: ${pip.text.split("\n").pop()}`;
}

/** Finds the wheel; with `install` it is installed when it is absent. */
export async function findWheel(options: { install?: boolean } = {}): Promise<Wheel> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return { reason: "it is published for Linux on x86-64 only" };
  }
  if (!await installed()) {
    if (!options.install) return { reason: "it is not installed (deno task test installs it)" };
    const reason = await install();
    if (reason !== null) return { reason };
    if (!await installed()) return { reason: "it was installed but cannot be imported" };
  }
  const bin = `${venv}/bin`;
  return { python: `${bin}/python`, master: `${bin}/mooncake_master`, bin, version: WHEEL_VERSION };
}

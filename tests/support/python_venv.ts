/** Packages of PyPI in a virtual environment of the project's own, under `.cache`. */
const cache = new URL("../../.cache/", import.meta.url).pathname;

export interface VenvOptions {
  /** Folder under `.cache`. */
  folder: string;
  /** What pip installs, with exact versions. */
  requirement: string;
  /** Python that prints something and succeeds exactly when the right version is there. */
  probe: string;
}

async function run(command: string, args: string[]): Promise<{ ok: boolean; text: string }> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, {
      ...{ args, stdin: "null", stdout: "piped", stderr: "piped" },
    }).output();
    return { ok: success, text: new TextDecoder().decode(success ? stdout : stderr).trim() };
  } catch (error) {
    return { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
}

/** Finds the environment, or says why there is none; with `install` it is made when absent. */
export async function findVenv(
  options: VenvOptions,
  install: boolean,
): Promise<{ python: string } | { reason: string }> {
  const venv = `${cache}${options.folder}`;
  const python = `${venv}/bin/python`;
  const probe = () => run(python, ["-c", options.probe]);
  if ((await probe()).ok) return { python };
  if (!install) return { reason: "it is not installed (deno task test installs it)" };
  if (!(await run("python3", ["--version"])).ok) return { reason: "python3 is not installed" };
  console.log(`Installing ${options.requirement} into .cache/${options.folder} ...`);
  await Deno.mkdir(cache, { recursive: true });
  const created = await run("python3", ["-m", "venv", "--clear", venv]);
  if (!created.ok) return { reason: `python3 -m venv failed: ${lastLine(created.text)}` };
  const pip = await run(python, [
    ...["-m", "pip", "install", "-q", "--disable-pip-version-check", options.requirement],
  ]);
  if (!pip.ok) return { reason: `pip could not install it: ${lastLine(pip.text)}` };
  const probed = await probe();
  if (probed.ok) return { python };
  return { reason: `it was installed but cannot be imported: ${lastLine(probed.text)}` };
}

function lastLine(text: string): string {
  return text.split("\n").pop() ?? "";
}

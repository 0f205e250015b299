/** Compiles the shim with its own tests under sanitizers and runs them. */
import assert from "node:assert/strict";
import { compile, librarySources, listFiles, nativeFolder } from "../../ffi/build.ts";
import { makeNodeCertificates } from "../support/certificates.ts";
import { buildDeviceStandIns } from "../support/device_stand_ins.ts";
import { buildFakeTransport } from "../support/fake_transport.ts";
import { opensslAbsent } from "../support/engine_servers.ts";
import { buildProgram } from "../support/native_program.ts";

const native = nativeFolder();

/** Groups of tests, each in a process, of which most wait for longer than they compute. */
const AT_A_TIME = 3;

/** Why programs with this sanitizer cannot be built or run here, or `null`. */
function missing(sanitizer: string): string | null {
  if (native === null) return "the sources are not on this machine";
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${folder}/empty.c`, "int main(void) { return 0; }\n");
    const output = `${folder}/empty`;
    const failure = compile([`-fsanitize=${sanitizer}`, "-o", output, `${folder}/empty.c`]);
    if (failure !== null) return failure;
    const { success } = new Deno.Command(output, { stdout: "null", stderr: "null" }).outputSync();
    return success ? null : "its runtime does not start";
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/**
 * How a program is begun: without random addresses where that can be had, since shadow memory now and
 * then does not fit between them.
 */
const launch = (() => {
  const fixed = ["setarch", "-R"];
  try {
    const { success } = new Deno.Command(fixed[0], { args: [fixed[1], "true"] }).outputSync();
    return success ? fixed : [];
  } catch {
    return [];
  }
})();

async function runGroup(
  program: string,
  group: string,
  env: Record<string, string>,
): Promise<void> {
  const [command, ...args] = [...launch, program, group];
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args,
    env,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, `${group}: ${decoder.decode(stderr).slice(0, 6000)}`);
  assert.equal(decoder.decode(stdout), `ok ${group}\n`);
}

function checksOf(sanitizer: string): string[] {
  return [`-fsanitize=${sanitizer}`, "-fno-sanitize-recover=all"];
}

/** Makes a program of the shim and `sources`. */
async function build(sanitizer: string, output: string, sources: string[]): Promise<void> {
  assert(native !== null);
  await buildProgram({
    output,
    sources: [...librarySources(native), ...sources],
    flags: [
      ...["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"],
      ...[...checksOf(sanitizer), `-I${native}include`],
    ],
    headers: ["include/", "src/", "te/", "tests/"].map((folder) => native + folder),
    kept: new URL("../../.cache/sanitized/", import.meta.url).pathname,
  });
}

async function runTests(sanitizer: string, groups: string[]): Promise<void> {
  assert(native !== null);
  const checked = checksOf(sanitizer);
  const folder = await Deno.makeTempDir();
  using standIns = buildDeviceStandIns(checked);
  using fake = buildFakeTransport(checked);
  try {
    const program = `${folder}/tests`;
    if (groups.includes("tls")) await makeNodeCertificates(folder);
    await build(sanitizer, program, [
      ...listFiles(`${native}tests/`).filter((path) => /\/tests\/\w+\.c$/.test(path)),
    ]);
    const env = {
      ...standIns.env,
      SNOWSKIN_FAKE_TRANSPORT: fake.path,
      SNOWSKIN_TEST_CERTIFICATES: folder,
      ...{ TSAN_OPTIONS: "halt_on_error=1", ASAN_OPTIONS: "detect_leaks=1" },
    };
    const left = groups.toReversed();
    await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
      for (let group = left.shift(); group !== undefined; group = left.shift()) {
        await runGroup(program, group, env);
      }
    }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The names of the reference's C interface, used by several threads, with the shim in one program. */
async function runNames(sanitizer: string): Promise<void> {
  assert(native !== null);
  const folder = await Deno.makeTempDir();
  try {
    await build(sanitizer, `${folder}/threads`, [
      ...listFiles(`${native}te/`).filter((path) => path.endsWith(".c")),
      new URL("../te/named_threads.c", import.meta.url).pathname,
    ]);
    const { code, stdout, stderr } = await new Deno.Command(`${folder}/threads`, {
      env: { TSAN_OPTIONS: "halt_on_error=1", ASAN_OPTIONS: "detect_leaks=1" },
    }).output();
    const decoder = new TextDecoder();
    assert.equal(code, 0, decoder.decode(stderr).slice(0, 6000));
    assert.equal(decoder.decode(stdout), "ok\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const runs = {
  "address,undefined": [
    "slots",
    "spin",
    "engine",
    "stress",
    "fuzz",
    "crc32c",
    "disk",
    "tail",
    "fence",
    "relay",
    "shm",
    "placement",
    "verbs",
    "fabric",
    "plugin",
    "rate",
    "spread",
    "rpc_client",
    "files",
    "device",
    "device_region",
  ],
  "thread": [
    ...[
      "slots",
      "engine",
      "stress",
      "disk",
      "fence",
      "relay",
      "shm",
      "placement",
      "plugin",
      "rpc_client",
      "files",
      "device",
      "device_region",
    ],
  ],
};
for (const [sanitizer, groups] of Object.entries(runs)) {
  const reason = missing(sanitizer);
  const withoutTls = opensslAbsent === null ? "" : ` (without TLS: ${opensslAbsent})`;
  if (opensslAbsent === null) groups.push("tls");
  const skipped = reason === null ? withoutTls : ` (skipped: ${reason})`;
  Deno.test({
    name: `the shim's own tests pass under -fsanitize=${sanitizer}${skipped}`,
    ignore: reason !== null,
    fn: () => runTests(sanitizer, groups),
  });
  const absent = reason === null ? "" : ` (skipped: ${reason})`;
  Deno.test({
    name: `threads that use the reference's C names pass under -fsanitize=${sanitizer}${absent}`,
    ignore: reason !== null,
    fn: () => runNames(sanitizer),
  });
}

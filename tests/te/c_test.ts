/** The C header: its example is compiled against an installed library and run; C++ takes it, too. */
import assert from "node:assert/strict";
import { buildLibrary, compile } from "../../ffi/build.ts";

const root = new URL("../../", import.meta.url).pathname;
const built = buildLibrary();
const missing = "reason" in built ? built.reason : null;
const noCpp = new Deno.Command("sh", { args: ["-c", "command -v c++"] }).outputSync().success
  ? null
  : "there is no C++ compiler";

async function installed(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${root}ffi/build.ts`, `--install=${folder}`],
    }).output();
    assert(success);
    assert.equal(
      new TextDecoder().decode(stdout),
      `${folder}/lib/libsnowskin.so\n${folder}/lib/libtransfer_engine.so\n`,
    );
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function testC(name: string, why: string | null, fn: () => Promise<void>): void {
  Deno.test({
    name: `${name}${why === null ? "" : ` (skipped: ${why})`}`,
    ignore: why !== null,
    fn,
  });
}

testC("a C program moves bytes between two engines", missing, () =>
  installed(async (folder) => {
    const failure = compile([
      ...["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", `-I${folder}/include`],
      ...[`${root}examples/c/two_engines.c`, `-L${folder}/lib`, "-lsnowskin"],
      ...[`-Wl,-rpath,${folder}/lib`, "-o", `${folder}/two_engines`],
    ]);
    assert.equal(failure, null);
    const { code, stdout, stderr } = await new Deno.Command(`${folder}/two_engines`).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.equal(
      new TextDecoder().decode(stdout),
      "wrote 1048576 bytes, the last is 0x5a\nread them back, the middle is 0xa5\n",
    );
  }));

testC("a C++ program can use the header", missing ?? noCpp, () =>
  installed(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/use.cc`,
      '#include "mc/transfer_engine_c.h"\n#include "transfer_engine_c.h"\n' +
        "int main() { return mc_abi_version() == MC_ABI_VERSION ? 0 : 1; }\n",
    );
    const { success, stderr } = await new Deno.Command("c++", {
      args: [
        ...["-std=c++17", "-Wall", "-Wextra", "-Werror", `-I${folder}/include`],
        ...[`${folder}/use.cc`, `-L${folder}/lib`, "-lsnowskin", `-Wl,-rpath,${folder}/lib`],
        ...["-o", `${folder}/use`],
      ],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    assert.equal((await new Deno.Command(`${folder}/use`).output()).code, 0);
  }));

Deno.test("the headers name every function of the reference's, there or not", async () => {
  const include = `${root}native/include/`;
  const header = await Deno.readTextFile(`${include}mc/transfer_engine_c.h`);
  const named = await Deno.readTextFile(`${include}transfer_engine_c.h`);
  const sources = new Set(
    Array.from(header.matchAll(/#include "(mc\/\w+\.h)"/g), ([, name]) => name),
  );
  for (const name of ["engine", "region", "peer", "op", "layout", "fence", "rdma"]) {
    assert(sources.has(`mc/${name}.h`), name);
  }
  for (
    const name of [
      ...["createTransferEngine", "destroyTransferEngine", "getLocalIpAndPort"],
      ...["installTransport", "uninstallTransport", "openSegment", "openSegmentNoCache"],
      ...["closeSegment", "removeLocalSegment", "registerLocalMemory", "unregisterLocalMemory"],
      ...["registerLocalMemoryBatch", "unregisterLocalMemoryBatch", "allocateBatchID"],
      ...["submitTransfer", "submitTransferWithNotify", "getTransferStatus", "freeBatchID"],
      ...["getNotifsFromEngine", "freeNotifsMsgBuf", "genNotifyInEngine", "syncSegmentCache"],
      ...["supportFileBuffer", "registerLocalFile", "unregisterLocalFile"],
    ]
  ) assert.match(named, new RegExp(`^TE_API [^;]*\\b${name}\\(`, "m"));
  for (
    const name of [
      ...["discoverTopology", "getNicLoadStats", "showLinks", "warmupEfaSegment"],
      "enableGracefulShutdown",
    ]
  ) assert.match(header, new RegExp(`\\b${name}\\b`));
});

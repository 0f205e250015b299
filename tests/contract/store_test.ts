/** Runs the store suite under Deno: on each engine, with each kind of metadata, on each master. */
import { openLibrary } from "../../ffi/library.ts";
import { LazyMaster, type MasterKind, ourMaster, referenceMaster } from "../support/masters.ts";
import { storeSuite } from "./store_suite.ts";

const library = openLibrary();
const noShim = "unavailable" in library ? `the C shim: ${library.unavailable}` : null;

const masters: LazyMaster[] = [];
Deno.test.afterAll(async () => {
  for (const master of masters) await master.stop();
});

function run(
  kind: MasterKind,
  engine: "native" | "typescript",
  metadata: "p2p" | "http",
  rpcOnly = false,
): void {
  const missing = kind.missing ?? (engine === "native" ? noShim : null);
  const lanes = rpcOnly ? ", rpc_only" : "";
  const title = `store on ${kind.name}, ${engine} engine, ${metadata} metadata${lanes}`;
  if (missing !== null) {
    Deno.test({ name: `${title} (skipped: ${missing})`, ignore: true, fn() {} });
    return;
  }
  const master = new LazyMaster(kind);
  masters.push(master);
  storeSuite((name, fn) => Deno.test(`${title}: ${name}`, fn), {
    target: async () => {
      const { address, metadataUrl } = await master.get();
      const metadataServer = metadata === "p2p" ? "P2PHANDSHAKE" : metadataUrl;
      return { masterAddress: address, metadataServer };
    },
    engine,
    rpcOnly,
  });
}

run(referenceMaster, "native", "p2p");
run(referenceMaster, "typescript", "http");
run(ourMaster, "native", "http");
run(ourMaster, "typescript", "p2p");
run(ourMaster, "native", "p2p", true);

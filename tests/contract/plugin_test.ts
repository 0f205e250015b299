/**
 * Runs the transfer engine suite over transports that are libraries of their own: a fake one that
 * copies inside of this process, and libfabric where it is.
 */
import { openLibrary } from "../../ffi/library.ts";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import type { PluginOptions } from "../../client/transfer/plugin_side.ts";
import { fakeTransport } from "../support/fake_transport.ts";
import type { EngineKind } from "./engine_pair.ts";
import { transferEngineSuite } from "./transfer_engine_suite.ts";

const fake = fakeTransport();

function kindOf(name: string, plugin: PluginOptions): EngineKind {
  return {
    name,
    open(options) {
      const library = openLibrary();
      if ("unavailable" in library) throw new Error(library.unavailable);
      return new NativeTransferEngine(library, { ...options, plugin });
    },
  };
}

async function absent(kind: EngineKind): Promise<string | null> {
  try {
    await kind.open()[Symbol.asyncDispose]();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

const kinds: { kind: EngineKind; missing: string | null }[] = [];
for (const parameters of ["", "needs_memory", "no_descriptor", "small,needs_memory"]) {
  const path = "path" in fake ? fake.path : "";
  kinds.push({
    kind: kindOf(`a fake transport (${parameters || "plain"})`, { library: path, parameters }),
    missing: "missing" in fake ? fake.missing : null,
  });
}
const tcp = kindOf("libfabric's tcp", { library: "", parameters: "tcp" });
kinds.push({ kind: tcp, missing: await absent(tcp) });

for (const { kind, missing } of kinds) {
  const skipped = missing === null ? "" : ` (skipped: ${missing})`;
  transferEngineSuite(
    (name, run) =>
      Deno.test({ name: `${kind.name}: ${name}${skipped}`, ignore: missing !== null, fn: run }),
    { client: kind, server: kind, version: 2, plugin: true },
  );
}

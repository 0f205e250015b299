/** Runs the transfer engine suites under Deno: every pairing of engines, both framings. */
import assert from "node:assert/strict";
import { openLibrary } from "../../ffi/library.ts";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import { TsTransferEngine } from "../../client/transfer/ts_engine.ts";
import { FaultEngine } from "../support/fault_engine.ts";
import type { EngineKind } from "./engine_pair.ts";
import { onePortSuite } from "./one_port_suite.ts";
import { transferEngineSuite } from "./transfer_engine_suite.ts";
import { transferClientFaultSuite, transferServerFaultSuite } from "./transfer_faults_suite.ts";

const probe = openLibrary();
const noShim = "unavailable" in probe ? probe.unavailable : null;
if ("close" in probe) probe.close();

const native: EngineKind = {
  name: "native",
  open(options) {
    const library = openLibrary();
    if ("unavailable" in library) throw new Error(library.unavailable);
    return new NativeTransferEngine(library, options);
  },
};
const typescript: EngineKind = {
  name: "typescript",
  open: (options) => new TsTransferEngine(options),
};

function register(
  title: string,
  kinds: EngineKind[],
): (name: string, run: () => Promise<void>) => void {
  const missing = kinds.includes(native) && noShim !== null;
  return (name, run) => {
    const reason = missing ? ` (skipped: ${noShim})` : "";
    Deno.test({ name: `${title}: ${name}${reason}`, ignore: missing, fn: run });
  };
}

for (const version of [2, 1] as const) {
  for (const client of [native, typescript]) {
    for (const server of [native, typescript]) {
      const title = `${client.name} to ${server.name}, version ${version}`;
      transferEngineSuite(register(title, [client, server]), { client, server, version });
    }
    const title = `${client.name} client, version ${version}`;
    transferClientFaultSuite(register(title, [client]), client, version);
  }
}
transferEngineSuite(register("native to native, same host", [native]), {
  ...{ client: native, server: native, version: 2, sameHost: true },
});

const wrapped: EngineKind = {
  name: "wrapped by faults that are off",
  open: (options) => new FaultEngine(typescript.open(options)),
};
transferEngineSuite(register("typescript wrapped by faults that are off", [typescript]), {
  ...{ client: wrapped, server: wrapped, version: 2 },
});

/** Two-family listeners, where this machine has both. */
const noV6 = Deno.networkInterfaces().some(({ address }) => address === "::1")
  ? null
  : "no IPv6 loopback";
for (const kind of [native, typescript]) {
  const reason = noV6 ?? (kind === native ? noShim : null);
  Deno.test({
    name: `${kind.name} server: listens on both families at ::${
      reason ? ` (skipped: ${reason})` : ""
    }`,
    ignore: reason !== null,
    async fn() {
      await using engine = kind.open();
      const region = engine.allocate(4096, { publish: true });
      const { port } = await engine.listen({ host: "::" });
      for (const host of ["127.0.0.1", "::1", "localhost"]) {
        const peer = engine.openPeer({ host, port, protocolVersion: 2 });
        const op = { opcode: 0 as const, peer, remoteAddress: region.remoteBase!, length: 9 };
        assert.equal(await engine.transferOne({ ...op, local: region, localOffset: 50 }), 0, host);
      }
    },
  });
}

for (const server of [native, typescript]) {
  onePortSuite(register(`${server.name} port`, [server]), server);
  transferServerFaultSuite(register(`${server.name} server`, [server]), server);
}

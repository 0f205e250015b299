/** Which way bytes take between two clients of one host. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { openLibrary } from "../../ffi/library.ts";
import { LazyMaster, ourMaster } from "../support/masters.ts";

const library = openLibrary();
const noShim = "unavailable" in library ? ` (skipped: the C shim: ${library.unavailable})` : "";
const master = new LazyMaster(ourMaster);
Deno.test.afterAll(() => master.stop());

/** Puts and gets through a node's memory; what the node has seen of it. */
async function traffic(options: { node?: boolean; client?: boolean; protocol?: string }) {
  const { address } = await master.get();
  const common = { masterServerAddress: address, engine: "native" as const };
  await using node = await StoreClient.connect({
    ...{ ...common, globalSegmentSize: 64 << 20, forceTcp: options.node ?? false },
  });
  await using client = await StoreClient.connect({
    ...{ ...common, forceTcp: options.client ?? false, protocol: options.protocol ?? "tcp" },
  });
  const value = new Uint8Array(3 << 20).map((_, i) => i * 31 >> 3);
  await client.put("value", value);
  assert.deepEqual(await client.get("value"), value);
  await client.remove("value", { force: true });
  return node.transferStats();
}

const bytes = 3 << 20;
for (
  const [name, options, direct] of [
    ["bytes go through the memory of the host", {}, true],
    ["a node that is told so has them sent over TCP", { node: true }, false],
    ["a client that is told so sends them over TCP", { client: true }, false],
    ["a client with protocol rpc_only sends them over TCP", { protocol: "rpc_only" }, false],
  ] as const
) {
  Deno.test({
    name: `${name}${noShim}`,
    ignore: noShim !== "",
    async fn() {
      const stats = await traffic(options);
      assert.equal(stats.connections === 0, direct, `${stats.connections} connections`);
      assert.equal(stats.servedReadBytes, bytes);
      assert.equal(stats.servedWriteBytes, bytes);
    },
  });
}

/** What a client sees of a store node whose process is stopped: SIGSTOP, as on a hung host. */
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { StoreClient, type StoreOptions } from "../../mod.ts";
import { LocalCluster, type LocalProcess } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { freeze } from "../support/freeze.ts";

const library = openLibrary();
const noShim = "unavailable" in library ? library.unavailable : null;
if ("close" in library) library.close();

const value = new Uint8Array(4096).fill(7);

/** A cluster of two nodes, and a client that reaches them over TCP only. */
async function withCluster(
  options: StoreOptions,
  run: (client: StoreClient, nodes: readonly LocalProcess[], master: string) => Promise<void>,
): Promise<void> {
  await using cluster = await LocalCluster.start({
    nodes: 2,
    nodeBytes: 64 << 20,
    masterFlags: ["--client_ttl=60", "--default_kv_lease_ttl=8000"],
  });
  const { masterAddress: masterServerAddress } = cluster;
  await using client = await StoreClient.connect({
    ...{ masterServerAddress, forceTcp: true, ...options },
  });
  try {
    await run(client, cluster.nodes, masterServerAddress);
  } finally {
    for (const node of cluster.nodes) node.kill("SIGCONT");
  }
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const begun = performance.now();
  return { value: await work(), tookMs: performance.now() - begun };
}

for (const engine of ["native", "typescript"] as const) {
  const ignore = engine === "native" && noShim !== null;
  const skipped = ignore ? ` (skipped: ${noShim})` : "";
  Deno.test({
    name: `${engine}: objects with a replica elsewhere are read within a second${skipped}`,
    ignore,
    fn: () =>
      withCluster({ engine }, async (client, nodes, masterServerAddress) => {
        const keys = Array.from({ length: 8 }, (_, i) => `k${i}`);
        const items = keys.map((key) => ({ key, value }));
        for (const { code } of await client.batchPut(items, { replicaNum: 2 })) {
          assert.equal(code, ErrorCode.OK);
        }
        for (const key of keys) assert.equal((await client.replicas(key))?.length, 2);
        await freeze(nodes[0]);
        const took: number[] = [];
        for (const key of keys) {
          const read = await timed(() => client.get(key));
          assert.deepEqual(read.value, value);
          took.push(read.tookMs);
        }
        assert(Math.max(...took) < 1000, `a read took ${Math.max(...took)} ms`);

        // Who has not met the nodes before shakes hands with the frozen one in vain.
        await using stranger = await StoreClient.connect({
          ...{ masterServerAddress, forceTcp: true, engine },
        });
        const batch = await timed(() => stranger.batchGet(keys));
        assert.deepEqual(batch.value.map(({ code }) => code), keys.map(() => 0));
        for (const item of batch.value) assert.deepEqual(item.value, value);
        assert(batch.tookMs < 1000, `the batch took ${batch.tookMs} ms`);
        assert(stranger.hedgedReads.won > 0, "it did not wait for the patience to be over");
      }),
  });

  Deno.test({
    name: `${engine}: an object without another replica is given up within the budget${skipped}`,
    ignore,
    fn: () =>
      withCluster({ engine, opBudgetMs: 700 }, async (client, nodes) => {
        await client.put("k", value);
        for (const node of nodes) await freeze(node);
        const read = await timed(() => client.get("k").catch((error: unknown) => error));
        assert(read.value instanceof StoreError, String(read.value));
        assert.equal(read.value.code, ErrorCode.DEADLINE_EXCEEDED, read.value.message);
        assert(read.tookMs < 1500, `the read took ${read.tookMs} ms`);
        const write = await timed(() => client.put("l", value).catch((error: unknown) => error));
        assert(write.value instanceof StoreError, String(write.value));
        assert(write.tookMs < 1500, `the write took ${write.tookMs} ms`);
        for (const node of nodes) node.kill("SIGCONT");
        assert.deepEqual(await client.get("k"), value, "it works again with the nodes");
      }),
  });
}

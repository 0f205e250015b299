/** What becomes of a store whose process is stopped while its master still counts it as alive. */
import assert from "node:assert/strict";
import { LocalCluster } from "../../examples/local_cluster.ts";
import { StoreClient } from "../../mod.ts";
import { freeze } from "../support/freeze.ts";
import { until } from "../support/until.ts";

interface Store {
  endpoint: string;
  segments: string[];
  state: string;
  users: number;
  votes: number;
  suspected_for_ms: number | null;
  avoided_for_ms: number | null;
}

Deno.test("clients have a frozen store avoided at once, and used again when it wakes", async () => {
  await using cluster = await LocalCluster.start({
    nodes: 2,
    nodeBytes: 64 << 20,
    masterFlags: ["--client_ttl=120", "--default_kv_lease_ttl=200"],
  });
  const { masterAddress: masterServerAddress } = cluster;
  const connect = () => StoreClient.connect({ masterServerAddress, forceTcp: true });
  await using one = await connect();
  await using two = await connect();
  const keys = Array.from({ length: 8 }, (_, i) => `k${i}`);
  const value = new Uint8Array(4096).fill(7);
  await one.batchPut(keys.map((key) => ({ key, value })), { replicaNum: 2 });
  const read = () =>
    Promise.all([one, two].map(async (client) => {
      for (const key of keys) assert.deepEqual(await client.get(key), value);
    }));
  const stores = async (): Promise<Store[]> => {
    const answer = await fetch(`${cluster.adminUrl}/v1/health/stores`);
    assert.equal(answer.status, 200);
    return (await answer.json()).stores;
  };
  const inState = async (state: string) => (await stores()).find((store) => store.state === state);

  await read();
  await until(async () => (await stores()).every(({ users }) => users === 2));
  assert.deepEqual((await stores()).map(({ state }) => state), ["ok", "ok"]);
  await freeze(cluster.nodes[0]);
  try {
    const begun = performance.now();
    let frozen: Store | undefined;
    while (frozen === undefined) {
      await read();
      frozen = await inState("avoided");
      assert(performance.now() - begun < 30_000, "it is not avoided");
    }
    assert.deepEqual([frozen.users, frozen.votes], [2, 2]);
    assert(frozen.suspected_for_ms! >= frozen.avoided_for_ms!);
    for (let i = 0; i < 20; i++) await one.put(`new${i}`, value);
    for (let i = 0; i < 20; i++) {
      const [replica] = (await two.replicas(`new${i}`))!;
      assert(replica.location.kind === "memory");
      assert.notEqual(replica.location.buffer.transportEndpoint, frozen.endpoint);
    }
    const metrics = await (await fetch(`${cluster.adminUrl}/metrics`)).text();
    assert.match(metrics, /^snowskin_stores_avoided_total 1$/m);
    assert.match(metrics, /^snowskin_store_suspicions_total [1-9]/m);
  } finally {
    cluster.nodes[0].kill("SIGCONT");
  }
  await until(async () => {
    await read();
    return (await stores()).every(({ state }) => state === "ok");
  });
});

// Goal: with the real master and real nodes, an object that is read a lot is soon on a second node,
// its second replica holds the right bytes, and it goes again when nobody reads the object.
// Method: two nodes as processes, one reader; then the first node ends, so that what is read after
// that can only come from the second replica.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { type LocalProcess, startNode } from "../../examples/local_cluster.ts";
import { MasterLives } from "../support/master_lives.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;
const VALUE = Uint8Array.from({ length: 40_001 }, (_, i) => Math.imul(i + 7, 31) >>> 3);

interface Replication {
  mode: string;
  replicas: number;
  decisions: { what: string; key: string; segment: string }[];
}

async function nameOf(node: LocalProcess): Promise<string> {
  return /segment (\S+),/.exec(await node.line(/^store node ready/))![1];
}

async function replication(master: MasterLives): Promise<Replication> {
  return await (await fetch(`${master.adminUrl}/v1/replication`)).json();
}

Deno.test("a hot object is copied to a second node, read there, and the copy goes when it is cold", async () => {
  await using master = await MasterLives.start(
    "--dynamic_replication_mode=enforce",
    "--dynamic_replication_heat_window_seconds=1",
    "--dynamic_replication_admission_qps_threshold=3",
  );
  await using first = await startNode(master.address, 16 * MIB);
  await using second = await startNode(master.address, 16 * MIB);
  const preferredSegment = await nameOf(first);
  const client = await StoreClient.connect({
    ...{ masterServerAddress: master.address, globalSegmentSize: 0, rpcConnectTimeoutMs: 300 },
  });
  assert.equal(await client.put("hot", VALUE, { preferredSegment }), "stored");
  assert.equal(await client.put("kept", VALUE, { preferredSegment }), "stored");
  const read = async () => assert.deepEqual(await client.get("hot"), VALUE);
  await until(async () => {
    await read();
    return (await replication(master)).replicas === 1;
  });
  const { decisions } = await replication(master);
  const [ordered, added] = decisions;
  assert.deepEqual([ordered.what, added.what, added.key], ["ordered", "added", "hot"]);
  assert.equal(added.segment, await nameOf(second));
  for (let i = 0; i < 20; i++) await read();
  await until(async () => (await replication(master)).replicas === 0);

  await until(async () => {
    await read();
    return (await replication(master)).replicas === 1;
  });
  await first.stop();
  await read();
  assert.equal(await client.get("kept"), null, "it was on the first node only");
  await client.close();
});

// Goal: a store whose endpoints meet in etcd or Redis, the wheel's among them. Method: real servers, a
// real master, our clients and one of the wheel, each reading what another wrote.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { startMaster } from "../../examples/local_cluster.ts";
import { startWheelPeer } from "../interop/our_client.ts";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { findWheel } from "../support/wheel.ts";

const wheel = await findWheel();
const wheelAbsent = "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null;
const MIB = 1 << 20;

function connect(master: string, metadataServer: string, globalSegmentSize: number) {
  return StoreClient.connect({
    ...{ masterServerAddress: master, metadataServer, globalSegmentSize },
    ...{ localHostname: "127.0.0.1", localBufferSize: 16 * MIB },
  });
}

for (
  const { scheme, missing, start } of [
    { scheme: "etcd", missing: etcdAbsent, start: EngineServer.etcd },
    { scheme: "redis", missing: redisAbsent, start: EngineServer.redis },
  ]
) {
  testWith(missing, `a store whose endpoints meet in ${scheme}`, async () => {
    await using server = await start();
    const { process, address } = await startMaster();
    await using _master = process;
    const metadata = `${scheme}://${server.address}`;
    await using node = await connect(address, metadata, 32 * MIB);
    await using client = await connect(address, metadata, 0);
    const value = crypto.getRandomValues(new Uint8Array(60_000));
    await client.put("a", value);
    assert.deepEqual(await client.get("a"), value);
    assert.deepEqual(await node.get("a"), value);
  });
}

testWith(etcdAbsent ?? wheelAbsent, "the wheel's store and ours meet in etcd", async () => {
  assert("python" in wheel);
  await using etcd = await EngineServer.etcd();
  const { process, address } = await startMaster();
  await using _master = process;
  const metadata = `etcd://${etcd.address}`;
  const place = async (theirBytes: number, ourBytes: number, name: string) => {
    const { peer, hello } = await startWheelPeer(wheel, address, metadata, theirBytes);
    await using theirs = peer;
    assert.equal(hello.code, 0);
    await using ours = await connect(address, metadata, ourBytes);
    const value = crypto.getRandomValues(new Uint8Array(60_000));
    await ours.put(`${name}/ours`, value);
    assert.deepEqual(await ours.get(`${name}/ours`), value);
    const read = await theirs.ask({ do: "get", key: `${name}/ours` }) as {
      size: number;
      sum: number;
    };
    assert.equal(read.size, value.length);
    assert.equal(read.sum, value.reduce((sum, byte) => sum + byte, 0));
    const order = { do: "put", key: `${name}/theirs`, size: 50_000, seed: 3 };
    assert.deepEqual(await theirs.ask(order), { code: 0 });
    assert.equal((await ours.get(`${name}/theirs`))?.length, 50_000);
  };
  await place(32 * MIB, 0, "in the wheel's memory");
  await place(0, 32 * MIB, "in ours");
});

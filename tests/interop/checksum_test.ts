// Goal: a client of the published wheel that checks what it reads by its own rule, and ours, which
// checks by another one, read what the other wrote.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { type MasterKind, ourMaster, referenceMaster } from "../support/masters.ts";
import { Meddler } from "../support/meddler.ts";
import { findWheel } from "../support/wheel.ts";
import { startWheelPeer } from "./our_client.ts";

const wheel = await findWheel();
const why = "python" in wheel ? "" : ` (skipped: ${wheel.reason})`;
const MIB = 1 << 20;

async function withBoth(
  kind: MasterKind,
  run: (
    ours: StoreClient,
    theirs: (order: unknown) => Promise<Answer>,
    without: StoreClient,
  ) => Promise<void>,
): Promise<void> {
  assert("python" in wheel);
  const { process, address } = await kind.start();
  try {
    const { peer, hello } = await startWheelPeer(wheel, address, "P2PHANDSHAKE", 32 * MIB, {
      MOONCAKE_STORE_CHECKSUM: "1",
    });
    await using _peer = peer;
    assert.equal(hello.code, 0);
    const target = { masterServerAddress: address };
    await using ours = await StoreClient.connect(target);
    await using without = await StoreClient.connect({ ...target, storeChecksum: false });
    await run(ours, (order) => peer.ask<Answer>(order), without);
  } finally {
    await process.stop();
  }
}

interface Answer {
  code?: number;
  size?: number;
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name}${why}`, ignore: why !== "", fn });
}

test("a wheel that checks reads what we wrote, and we what it wrote, on our master", async () => {
  await withBoth(ourMaster, async (ours, theirs) => {
    const value = new Uint8Array(70_000).fill(7);
    await ours.put("ours", value);
    assert.equal((await theirs({ do: "get", key: "ours" })).size, value.length);
    assert.equal((await theirs({ do: "put", key: "theirs", size: 5000, seed: 1 })).code, 0);
    assert.equal((await theirs({ do: "get", key: "theirs" })).size, 5000);
    assert.equal((await ours.get("theirs"))?.length, 5000);
    assert.equal(ours.checksumMismatches, 0);

    await using meddler = new Meddler();
    for (const key of ["ours", "theirs"]) await meddler.flip((await ours.replicas(key))![0], 17);
    assert.equal(await ours.get("ours"), null);
    assert.equal((await ours.get("theirs"))?.length, 5000, "we do not check by its rule");
    assert.equal((await theirs({ do: "get", key: "theirs" })).size, 0, "it does");
    assert.equal((await theirs({ do: "get", key: "ours" })).size, value.length);
  });
});

test("on the reference's master a wheel that checks takes our checksums for its own", async () => {
  await withBoth(referenceMaster, async (ours, theirs, without) => {
    await ours.put("ours", new Uint8Array(5000).fill(7));
    assert.equal((await theirs({ do: "put", key: "theirs", size: 5000, seed: 1 })).code, 0);
    assert.equal((await ours.get("theirs"))?.length, 5000);
    assert.equal((await ours.get("ours"))?.length, 5000);
    assert.equal((await theirs({ do: "get", key: "ours" })).size, 0);
    await without.put("plain", new Uint8Array(5000).fill(7));
    assert.equal((await theirs({ do: "get", key: "plain" })).size, 5000);
  });
});

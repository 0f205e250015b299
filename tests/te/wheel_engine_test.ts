// Goal: our engine and the published one reach each other's memory wherever their names are kept.
// Method: the wheel's engine in a process of its own; each side reads and writes the other's memory,
// leaves messages and probes.
import assert from "node:assert/strict";
import { JsonPeer } from "../../bench/json_peer.ts";
import { TransferEngine } from "../../te.ts";
import { EngineServer, etcdAbsent, testWith } from "../support/engine_servers.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { findWheel } from "../support/wheel.ts";

const wheel = await findWheel();
const wheelAbsent = "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null;
const SIZE = 3_000_001;

/** Same bytes as the script's order "fill". */
function pattern(seed: number): Uint8Array {
  return Uint8Array.from({ length: SIZE }, (_, i) => i * 31 + seed * 17 + (i >> 8));
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}

async function together(metadata: string, local: string): Promise<void> {
  assert("python" in wheel);
  const script = new URL("wheel_engine.py", import.meta.url).pathname;
  const { peer, hello } = await JsonPeer.start<{ name: string; address: number }>(
    wheel.python,
    ["-B", script, local, metadata, String(SIZE)],
    { MC_TCP_BIND_ADDRESS: "127.0.0.1" },
  );
  await using theirs = peer;
  const order = async (what: Record<string, unknown>) =>
    (await theirs.ask<{ result: unknown }>(what)).result;
  await using ours = await TransferEngine.initialize({ metadata });
  const memory = await ours.registerMemory(SIZE);

  const segment = await ours.openSegment(hello.name);
  const mapped = segment.buffers.find(({ address }) => address === BigInt(hello.address));
  assert.equal(mapped?.length, SIZE);
  await order({ do: "fill", seed: 5 });
  const request = { segment, remoteAddress: BigInt(hello.address), local: memory };
  assert.deepEqual(await ours.transferSync([{ ...request, opcode: "read" }]), [0]);
  assert.deepEqual(memory.bytes, pattern(5));
  memory.bytes.set(pattern(6));
  assert.deepEqual(await ours.submitTransfer([{ ...request, opcode: "write" }]).wait(), [0]);
  assert.equal(await order({ do: "sum" }), sum(pattern(6)));

  const peerOrder = { peer: ours.localName, length: SIZE };
  memory.bytes.set(pattern(7));
  assert.equal(await order({ do: "read", ...peerOrder }), 0);
  assert.equal(await order({ do: "sum" }), sum(pattern(7)));
  await order({ do: "fill", seed: 8 });
  const notify = ["the wheel", "written"];
  assert.equal(await order({ do: "write", ...peerOrder, notify }), 0);
  assert.deepEqual(memory.bytes, pattern(8));
  assert.deepEqual(ours.receiveNotifications(), [{ name: "the wheel", message: "written" }]);

  assert.equal(await ours.probe(hello.name), true);
  assert.equal(await order({ do: "probe", peer: ours.localName }), 0);
  await ours.notify(hello.name, "seen", "us");
  assert.deepEqual(await order({ do: "notifies" }), [["us", "seen"]]);
}

testWith(
  wheelAbsent,
  "the wheel's engine and ours, by handshake",
  () => together("P2PHANDSHAKE", "127.0.0.1"),
);

testWith(wheelAbsent, "the wheel's engine and ours meet at a metadata server", async () => {
  await using store = await ReferenceMetadata.start();
  await together(store.url, "127.0.0.1:15900");
});

testWith(etcdAbsent ?? wheelAbsent, "the wheel's engine and ours meet in etcd", async () => {
  await using etcd = await EngineServer.etcd();
  await together(`etcd://${etcd.address}`, "127.0.0.1:15901");
});

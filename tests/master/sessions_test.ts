// What becomes of a client that falls silent, and of everybody when the master does.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ClientStatus, SegmentStatus } from "../../proto/types.ts";
import { loopModes, MasterProcess, testEachLoop } from "../support/master_process.ts";
import { assertOk, MetadataNode } from "../support/metadata_node.ts";
import { until } from "../support/until.ts";

const MIB = 2 ** 20;
const TTL_MS = 1000;
const someLoop = loopModes.find(({ absent }) => absent === null)!;

async function segmentStatus(node: MetadataNode): Promise<number> {
  const segmentName = node.segments[0].name;
  const { code, value } = await node.master.querySegmentStatus({ segmentName });
  return value ?? code;
}

testEachLoop(
  "a silent client expires with its segments and their keys, others stay",
  async (mode) => {
    await using master = await MasterProcess.start(mode, ["--client_ttl=1", "--put_wait_ms=0"]);
    const silent = await MetadataNode.join(master.connect(), 1, 4 * MIB);
    const lively = await MetadataNode.join(master.connect(), 2, 4 * MIB);
    const prefer = (node: MetadataNode) => ({ preferredSegment: node.segments[0].name });
    assertOk((await silent.start("on silent", MIB, prefer(silent))).code);
    assertOk(await silent.end("on silent"));
    assertOk((await lively.start("on lively", MIB, prefer(lively))).code);
    assertOk(await lively.end("on lively"));
    const lastSeenMs = performance.now();
    await until(async () => {
      assert.equal(await lively.ping(), ClientStatus.OK);
      return await segmentStatus(silent) === ErrorCode.SEGMENT_NOT_FOUND;
    }, 20_000);
    const afterMs = performance.now() - lastSeenMs;
    assert(afterMs >= TTL_MS - 100, `it expired after ${afterMs} ms`);
    assert.deepEqual(await lively.existing(["on silent", "on lively"]), ["on lively"]);
    assert.equal((await lively.get("on silent")).code, ErrorCode.OBJECT_NOT_FOUND);
    assert.equal(await segmentStatus(lively), SegmentStatus.OK);

    assert.equal(await silent.ping(), ClientStatus.NEED_REMOUNT);
    await silent.remount();
    assert.equal(await silent.ping(), ClientStatus.OK);
    assert.equal(await segmentStatus(silent), SegmentStatus.OK);
    assert.equal(await silent.exists("on silent"), false);
    assertOk((await silent.start("again", MIB, prefer(silent))).code);
    assertOk(await silent.end("again"));
    assert.equal(await silent.exists("again"), true);
  },
);

Deno.test("a client that a master does not know is told to mount, also without segments", async () => {
  await using master = await MasterProcess.start(someLoop);
  const node = new MetadataNode(master.connect(), 7);
  assert.equal(await node.ping(), ClientStatus.NEED_REMOUNT);
  assert.equal(await node.ping(), ClientStatus.NEED_REMOUNT);
  await node.remount();
  assert.equal(await node.ping(), ClientStatus.OK);
});

Deno.test("after a restart clients mount again and the pool works as before", async () => {
  const master = await MasterProcess.start(someLoop);
  const node = await MetadataNode.join(master.connect(), 1, 4 * MIB);
  assertOk(await node.put("old", MIB));
  const { rpcPort } = master;
  await master[Symbol.asyncDispose]();
  await using next = await MasterProcess.start(someLoop, [], { rpcPort });
  const again = new MetadataNode(next.connect(), 1);
  again.segments.push(...node.segments);
  assert.equal(await again.ping(), ClientStatus.NEED_REMOUNT);
  await again.remount();
  assert.equal(await again.ping(), ClientStatus.OK);
  assert.equal(await again.exists("old"), false);
  assertOk(await again.put("new", MIB));
});

testEachLoop("a master that was stopped longer than its clients live keeps them", async (mode) => {
  await using master = await MasterProcess.start(mode, ["--client_ttl=1"]);
  const nodes = await Promise.all(
    [1, 2, 3].map((id) => MetadataNode.join(master.connect(), id, 4 * MIB)),
  );
  for (const [i, node] of nodes.entries()) assertOk(await node.put(`key-${i}`, MIB));
  master.process.kill("SIGSTOP");
  const stoppedMs = performance.now();
  const pings = nodes.map((node) => node.ping());
  await until(() => performance.now() - stoppedMs > 3 * TTL_MS);
  master.process.kill("SIGCONT");
  assert.deepEqual(await Promise.all(pings), nodes.map(() => ClientStatus.OK));
  for (let i = 0; i < 20; i++) {
    for (const node of nodes) assert.equal(await node.ping(), ClientStatus.OK);
  }
  for (const node of nodes) assert.equal(await segmentStatus(node), SegmentStatus.OK);
  assert.equal((await nodes[0].existing(["key-0", "key-1", "key-2"])).length, 3);
});

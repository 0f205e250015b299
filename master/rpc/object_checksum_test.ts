import assert from "node:assert/strict";
import { appendWriteId, KNOWS_CHECKSUMS, TAKES_HOLDS } from "../../proto/coro_rpc/write_id.ts";
import * as m from "../../proto/messages.ts";
import { CHECKSUM_TAG, objectChecksum } from "../../proto/object_checksum.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { decodeAnswer, encodeBody } from "../../tests/support/dispatcher.ts";
import { ServedCore } from "../../tests/support/served_core.ts";

const tenantId = bytesOf("default");
const client = clientId(1);
/** As keys have them: ours, one of the reference, one that differs from ours in the tag only. */
const sums: Record<string, bigint | null> = {
  ours: objectChecksum(0x8000_0001),
  theirs: 0xfedc_ba98_7654_3210n,
  near: BigInt(CHECKSUM_TAG + 1) << 32n | 0x8000_0001n,
  none: null,
};
const keys = Object.keys(sums).map(bytesOf);

function filled(): ServedCore {
  const both = new ServedCore();
  both.mount(1, MIB);
  const request = { ...{ clientId: client, tenantId }, config: replicateConfig() };
  both.rpc.ask(m.BatchPutStart, { ...request, keys, sliceLengths: keys.map(() => 100) });
  const objectMetas = Object.entries(sums).map(([key, objectChecksum]) => {
    return { key: bytesOf(key), objectChecksum };
  });
  const end = { clientId: client, tenantId, objectMetas, replicaType: ReplicaType.ALL };
  both.rpc.ask(m.BatchPutEnd, end);
  return both;
}

/** The checksums that a batch of look-ups and single ones answer, sent with a number or none. */
function shown({ rpc }: ServedCore, mark: number): (bigint | null)[][] {
  const attachment = new Writer();
  if (mark !== 0) appendWriteId(attachment, mark);
  const bytes = attachment.bytes.slice();
  const shape = { width: 1, literal: true } as const;
  const batch = encodeBody(m.BatchGetReplicaList.request!, { keys, tenantId }, shape);
  rpc.send(m.BatchGetReplicaList.functionId, batch, 1, bytes);
  const lists = decodeAnswer(m.BatchGetReplicaList, rpc.takeOne());
  const single = keys.map((key) => {
    const one = encodeBody(m.GetReplicaList.request!, { key, tenantId }, shape);
    rpc.send(m.GetReplicaList.functionId, one, 1, bytes);
    return decodeAnswer(m.GetReplicaList, rpc.takeOne());
  });
  return [lists, single].map((all) => all.map(({ value }) => value!.objectChecksum));
}

Deno.test("checksums of our clients are shown to clients that know them", () => {
  const all = Object.values(sums);
  for (const mark of [KNOWS_CHECKSUMS, TAKES_HOLDS]) {
    assert.deepEqual(shown(filled(), mark), [all, all]);
  }
});

Deno.test("others see no checksums of our clients, and every other one", () => {
  const both = filled();
  const others = [null, sums.theirs, sums.near, null];
  assert.deepEqual(shown(both, 0), [others, others]);
  assert.deepEqual(shown(both, TAKES_HOLDS + 1), [others, others]);
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { coreClient, type CorePort } from "./core_client.ts";
import type { CoreReply, CoreRequest } from "./worker_protocol.ts";

function rig(options: { timeoutMs?: number; maxPending?: number } = {}) {
  const sent: CoreRequest[] = [];
  const port: CorePort = { postMessage: (message) => sent.push(message), onmessage: null };
  let wakes = 0;
  const backend = coreClient({
    ...{ port, timeoutMs: 60_000, wake: () => wakes++, ...options },
  });
  const reply = (data: CoreReply) => port.onmessage!(new MessageEvent("message", { data }));
  return { sent, backend, reply, wakes: () => wakes };
}

const refusedWith = (code: ErrorCode) => (error: unknown) =>
  error instanceof StoreError && error.code === code;

Deno.test("every call is posted, wakes the core's thread and gets the answer of its id", async () => {
  const { sent, backend, reply, wakes } = rig();
  const role = backend.status();
  const page = backend.listKeys(5, 10, 20, null);
  assert.equal(wakes(), 2);
  assert.deepEqual(sent.map(({ method, args }) => [method, args]), [
    ...[["status", []], ["listKeys", [5, 10, 20, null]]],
  ]);
  reply({ id: sent[1].id, value: "page" });
  reply({ id: sent[0].id, value: "status" });
  assert.deepEqual([await role, await page], ["status", "page"] as unknown[]);
});

Deno.test("a refusal rejects with its code", async () => {
  const { sent, backend, reply } = rig();
  const answer = backend.segmentUse("x");
  reply({ id: sent[0].id, code: ErrorCode.SEGMENT_NOT_FOUND, message: "Cannot find it" });
  await assert.rejects(answer, refusedWith(ErrorCode.SEGMENT_NOT_FOUND));
});

Deno.test("a call that is not answered in time is given up, and its late answer dropped", async () => {
  const { sent, backend, reply } = rig({ timeoutMs: 10 });
  await assert.rejects(backend.status(), refusedWith(ErrorCode.RPC_TIMEOUT));
  reply({ id: sent[0].id, value: "late" });
});

Deno.test("calls beyond the limit are refused at once", async () => {
  const { sent, backend, reply } = rig({ maxPending: 1 });
  const first = backend.beginRemoval(true, null);
  await assert.rejects(backend.status(), refusedWith(ErrorCode.RPC_TIMEOUT));
  assert.equal(sent.length, 1);
  reply({ id: sent[0].id, value: 3 });
  assert.equal(await first, 3);
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { DispatcherDriver, encodeBody } from "../../tests/support/dispatcher.ts";
import type { ServedFunction } from "./call.ts";
import { batchOutcome, done, type HandlerEntry, ok, plainCall } from "./plain_call.ts";

function driverOf(...entries: HandlerEntry[]) {
  const counted: [string, number, number][] = [];
  const functions = entries.map((entry): ServedFunction => ({
    ...entry,
    meter: { served: (items, failed) => counted.push([entry.name, items, failed]) },
  }));
  return { driver: new DispatcherDriver({ functions }), counted };
}

Deno.test("a plain call gets the decoded request and its response is encoded", () => {
  const seen: unknown[] = [];
  const { driver, counted } = driverOf(plainCall(m.UnmountSegment, (request, nowMs) => {
    seen.push(request, nowMs);
    return done(ErrorCode.INVALID_PARAMS);
  }));
  const request = { segmentId: "1-2", clientId: "3-4" };
  assert.deepEqual(driver.ask(m.UnmountSegment, request), { code: -600, value: null });
  assert.deepEqual(seen, [request, driver.nowMs]);
  assert.deepEqual(counted, [["UnmountSegment", 1, 1]]);
});

Deno.test("a call without arguments refuses a body", () => {
  const { driver, counted } = driverOf(plainCall(m.ServiceReady, () => ok("2.0.0")));
  assert.deepEqual(driver.ask(m.ServiceReady, null), { code: 0, value: "2.0.0" });
  driver.send(m.ServiceReady.functionId, Uint8Array.of(1));
  assert.equal(driver.takeOne().errorCode, 4);
  assert.deepEqual(counted, [["ServiceReady", 1, 0]]);
});

Deno.test("a request with something behind it is refused and not served", () => {
  const { driver } = driverOf(plainCall(m.Ping, () => assert.fail("it was served")));
  const body = encodeBody(m.Ping.request!, { clientId: "1-1" }, { width: 1, literal: true });
  driver.send(m.Ping.functionId, Uint8Array.of(...body, 0));
  assert.equal(driver.takeOne().errorCode, 4);
  assert.deepEqual(driver.faults, []);
});

Deno.test("a batch counts its items, a bare value one success", () => {
  const { driver, counted } = driverOf(
    plainCall(
      m.BatchEvictDiskReplica,
      ({ keys }) => keys.map((key) => done(key.length === 0 ? ErrorCode.OBJECT_NOT_FOUND : 0)),
      batchOutcome,
    ),
    plainCall(m.RemoveAll, () => 5),
  );
  const keys = [1, 0, 0, 2].map((length) => new Uint8Array(length));
  const tenantId = new Uint8Array(0);
  const request = { clientId: "1-1", keys, tenantId, replicaType: 1 };
  driver.ask(m.BatchEvictDiskReplica, request);
  assert.equal(driver.ask(m.RemoveAll, { force: false, tenantId }), 5);
  assert.deepEqual(counted, [["BatchEvictDiskReplica", 4, 2], ["RemoveAll", 1, 0]]);
});

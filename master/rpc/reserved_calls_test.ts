import assert from "node:assert/strict";
import { appendWriteId } from "../../proto/coro_rpc/write_id.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { Writer } from "../../proto/struct_pack/writer.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { decodeAnswer, encodeBody } from "../../tests/support/dispatcher.ts";
import { ServedCore, type ServedCoreOptions } from "../../tests/support/served_core.ts";

const tenantId = bytesOf("a");
const client = clientId(7);
const config = replicateConfig();
const SIZE = 1000;

/** Calls about writes of one client, with the numbers of the writes attached. */
class Served {
  readonly both: ServedCore;

  constructor(options: ServedCoreOptions = {}) {
    const core = { maxReservedShare: 0.5, ...options.core };
    this.both = new ServedCore({ ...options, core });
    this.both.mount(1, MIB, "a store with a long name".repeat(20));
  }

  ask<Q, R>(rpc: m.Rpc<Q, R>, request: Q, writeId: number): R {
    const attachment = new Writer();
    appendWriteId(attachment, writeId);
    const body = encodeBody(rpc.request!, request, { width: 2, literal: true });
    this.both.rpc.send(rpc.functionId, body, 1, attachment.bytes.slice());
    return decodeAnswer(rpc, this.both.rpc.takeOne());
  }

  start(key: string, writeId: number): number {
    const request = { clientId: client, key: bytesOf(key), sliceLength: SIZE, config, tenantId };
    return this.ask(m.PutStart, request, writeId).code;
  }

  end(key: string, writeId: number, more: Partial<m.EndAndReserveRequest> = {}) {
    const request = {
      ...{ clientId: client, objectMeta: { key: bytesOf(key), objectChecksum: 5n }, config },
      ...{ reserved: true, nextWriteId: writeId + 1, sliceLength: SIZE, tenantId, ...more },
    };
    return this.ask(m.EndAndReserve, request, writeId);
  }

  get count(): number {
    return this.both.served.core.reservations.count;
  }
}

Deno.test("the end of a put reserves the next one, whose end reserves again", () => {
  const served = new Served();
  assert.equal(served.start("a", 1), 0);
  let { code, value } = served.end("a", 1, { reserved: false });
  for (let writeId = 2; writeId < 6; writeId++) {
    assert.equal(code, 0);
    assert.equal(value!.useWithinMs, 5000);
    const [{ id, location }] = value!.replicas;
    assert(location.kind === "memory" && location.buffer.size === SIZE);
    ({ code, value } = served.end(`k${writeId}`, writeId));
    const { rpc } = served.both;
    const found = rpc.ask(m.GetReplicaList, { key: bytesOf(`k${writeId}`), tenantId });
    assert.deepEqual(found.value!.replicas.map((one) => one.id), [id]);
  }
  assert.equal(served.count, 1);
  assert.deepEqual(served.both.sizes, Array(5).fill(SIZE), "each object is counted once");
  const counted = served.both.counted.filter(([name]) => name === "EndAndReserve");
  assert.deepEqual(counted, Array(5).fill(["EndAndReserve", 1, 0]));
});

Deno.test("an end that asks for nothing, or fails, has nothing reserved", () => {
  const served = new Served({ maxKeyBytes: 10 });
  served.start("a", 1);
  const ended = served.end("a", 1, { reserved: false, nextWriteId: 0 });
  assert.deepEqual(ended, { code: 0, value: { replicas: [], useWithinMs: 0 } });
  served.start("b", 2);
  const none = { replicas: [], useWithinMs: 0 };
  const next = { reserved: false, sliceLength: 2 * MIB };
  assert.deepEqual(served.end("b", 2, next), { code: 0, value: none }, "there is no room");
  for (const bad of [{ sliceLength: 0 }, { config: replicateConfig({ replicaNum: 0 }) }]) {
    served.start("c", 3);
    assert.deepEqual(served.end("c", 3, { reserved: false, ...bad }), { code: 0, value: none });
    served.both.rpc.ask(m.Remove, { key: bytesOf("c"), force: true, tenantId });
  }
  assert.equal(served.end("d", 4).code, ErrorCode.INVALID_WRITE);
  assert.equal(served.end("d", 4, { reserved: false }).code, ErrorCode.OBJECT_NOT_FOUND);
  served.start("e", 5);
  assert.equal(served.end("e", 5, { reserved: false }).code, 0);
  assert.equal(served.end("a", 6).code, ErrorCode.OBJECT_ALREADY_EXISTS);
  assert.equal(served.end("", 6).code, ErrorCode.INVALID_PARAMS);
  assert.equal(served.end("a key that is too long", 6).code, ErrorCode.INVALID_KEY);
  assert.equal(served.count, 1);
  assert.equal(served.end("f", 6).code, 0);
});

Deno.test("what is given back is gone, whoever else asks for it", () => {
  const served = new Served();
  served.start("a", 1);
  served.end("a", 1, { reserved: false });
  const giveBack = (id: string, count = 1) => {
    const reservations = Array.from({ length: count }, () => ({ writeId: 2, written: false }));
    return served.ask(m.GiveBack, { clientId: id, tenantId, reservations }, 9).code;
  };
  assert.equal(giveBack(clientId(8)), 0);
  assert.equal(served.count, 1);
  assert.equal(giveBack(client, 1025), ErrorCode.INVALID_PARAMS);
  assert.equal(giveBack(client), 0);
  assert.equal(served.count, 0);
  assert.equal(giveBack(client), 0, "twice is the same as once");
  assert.equal(served.end("b", 2).code, ErrorCode.INVALID_WRITE);
});

Deno.test("reserved puts count for the limits of their tenant as others do, once", () => {
  const served = new Served({ core: { enableMultiTenants: true } });
  const { tenants } = served.both.served.core;
  assert.equal(served.start("a", 1), ErrorCode.TENANT_NOT_REGISTERED);
  assert.equal(served.end("a", 1).code, ErrorCode.TENANT_NOT_REGISTERED);
  tenants.setQuota(tenantId, BigInt(MIB));
  tenants.setRules(tenantId, { models: null, opsPerSecond: 3, bytesPerSecond: null });
  assert.equal(served.start("a", 1), 0);
  assert.equal(served.end("a", 1, { reserved: false }).code, 0);
  assert.equal(served.end("b", 2).code, 0);
  assert.equal(served.end("c", 3).code, 0);
  assert.equal(served.end("d", 4).code, ErrorCode.RATE_LIMITED);
  assert.equal(served.count, 1);
  served.both.pass(1000);
  assert.equal(served.end("d", 4).code, 0);
  tenants.setRules(tenantId, { models: null, opsPerSecond: null, bytesPerSecond: SIZE });
  assert.equal(served.end("e", 5).code, 0);
  assert.equal(served.end("f", 6).code, ErrorCode.RATE_LIMITED, "its bytes were spent");
});

Deno.test("a revoke of the key under the number of a reservation meets no other write", () => {
  const served = new Served();
  served.start("a", 1);
  served.end("a", 1, { reserved: false });
  assert.equal(served.end("b", 2).code, 0);
  const request = { clientId: client, key: bytesOf("b"), replicaType: ReplicaType.ALL, tenantId };
  assert.equal(served.ask(m.PutRevoke, request, 2).code, ErrorCode.ILLEGAL_CLIENT);
  assert.equal(served.both.rpc.ask(m.ExistKey, { key: bytesOf("b"), tenantId }).value, true);
});

// Which calls count for the limits of a tenant, and what is answered beyond them.
import assert from "node:assert/strict";
import * as m from "../../proto/messages.ts";
import { errorName } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { bytesOf, clientId, MIB, replicateConfig } from "../../tests/support/core_driver.ts";
import { ServedCore } from "../../tests/support/served_core.ts";
import { decodeAnswer, encodeBody } from "../../tests/support/dispatcher.ts";
import type { Rates } from "../core/tenant_limits.ts";

const client = clientId(1);
const config = replicateConfig();
const replicaType = ReplicaType.ALL;

/** Tenants a and b, of which a has limits. */
function served(rates: Partial<Rates>, putWaitMs = 0) {
  const both = new ServedCore({ core: { enableMultiTenants: true }, putWaitMs });
  both.mount(1, MIB);
  const { tenants } = both.served.core;
  for (const name of ["a", "b"]) tenants.setQuota(bytesOf(name), BigInt(64 * MIB));
  const rules = { models: null, opsPerSecond: null, bytesPerSecond: null, ...rates };
  assert.equal(tenants.setRules(bytesOf("a"), rules), 0);
  const { rpc } = both;
  const whose = (tenant: string) => ({ clientId: client, tenantId: bytesOf(tenant) });
  return {
    rpc,
    limited: () => tenants.use(bytesOf("a"))!.limited,
    start: (key: string, bytes: number, tenant = "a") =>
      rpc.ask(m.PutStart, { ...whose(tenant), key: bytesOf(key), sliceLength: bytes, config }).code,
    end: (key: string) => {
      const objectMeta = { key: bytesOf(key), objectChecksum: null };
      return rpc.ask(m.PutEnd, { ...whose("a"), objectMeta, replicaType }).code;
    },
    get: (key: string) => rpc.ask(m.GetReplicaList, { ...whose("a"), key: bytesOf(key) }).code,
    exist: (...keys: string[]) =>
      rpc.ask(m.BatchExistKey, { ...whose("a"), keys: keys.map(bytesOf) })
        .map(({ code }) => errorName(code)),
    remove: (key: string) =>
      rpc.ask(m.Remove, { ...whose("a"), key: bytesOf(key), force: true }).code,
    removeMatching: () =>
      rpc.ask(m.RemoveByRegex, { tenantId: bytesOf("a"), regex: "x", force: true }).code,
    revoke: (key: string) =>
      rpc.ask(m.PutRevoke, { ...whose("a"), key: bytesOf(key), replicaType }).code,
  };
}

Deno.test("keys of lookups, starts and removals count; ends and revokes go on", () => {
  const { rpc, start, end, get, exist, remove, removeMatching, revoke, limited } = served({
    opsPerSecond: 8,
  });
  assert.equal(start("k", 100), 0);
  assert.equal(start("l", 100), 0);
  assert.deepEqual(exist("k", "l", "m"), ["OK", "OK", "OK"]);
  assert.equal(errorName(get("m")), "OBJECT_NOT_FOUND");
  assert.equal(errorName(remove("m")), "OBJECT_NOT_FOUND");
  assert.equal(removeMatching(), 0);
  const refused = [start("n", 1), get("k"), remove("k"), removeMatching()].map(errorName);
  assert.deepEqual(refused, Array(4).fill("RATE_LIMITED"));
  assert.deepEqual(exist("k", "l"), ["RATE_LIMITED", "RATE_LIMITED"]);
  assert.equal(end("k"), 0);
  assert.equal(revoke("l"), 0);
  assert.equal(start("k", 100, "b"), 0);
  assert.deepEqual(limited(), { ops: 5, bytes: 0 });
  rpc.nowMs += 125;
  assert.equal(get("k"), 0);
  assert.equal(errorName(get("k")), "RATE_LIMITED");
});

Deno.test("bytes are those of starts that get space and of objects that are found", () => {
  const { rpc, start, end, get, exist, limited } = served({ bytesPerSecond: 1000 });
  assert.equal(start("k", 400), 0);
  assert.equal(errorName(start("k", 400)), "OBJECT_ALREADY_EXISTS");
  assert.equal(end("k"), 0);
  assert.equal(errorName(get("missing")), "OBJECT_NOT_FOUND");
  assert.equal(get("k"), 0);
  assert.equal(get("k"), 0);
  assert.equal(errorName(get("k")), "RATE_LIMITED");
  assert.equal(errorName(start("l", 1)), "RATE_LIMITED");
  assert.deepEqual(exist("k"), ["OK"]);
  assert.deepEqual(limited(), { ops: 0, bytes: 2 });
  rpc.nowMs += 201;
  assert.equal(get("k"), 0);
});

Deno.test("a start that waits for space is counted once", () => {
  const { rpc, start, end, remove } = served({ opsPerSecond: 4 }, 50);
  assert.equal(start("filler", MIB / 2), 0);
  const { functionId, request } = m.PutStart;
  const body = { clientId: client, key: bytesOf("k"), sliceLength: 1000, config };
  rpc.send(
    functionId,
    encodeBody(request!, { ...body, tenantId: bytesOf("a") }, { width: 1, literal: true }),
  );
  for (let i = 0; i < 10; i++) rpc.retry(1);
  assert.deepEqual(rpc.take(), []);
  assert.equal(end("filler"), 0);
  assert.equal(remove("filler"), 0);
  rpc.retry(1);
  assert.equal(decodeAnswer(m.PutStart, rpc.takeOne()).code, 0);
  assert.equal(start("l", 1), 0);
  assert.equal(errorName(start("m", 1)), "RATE_LIMITED");
});

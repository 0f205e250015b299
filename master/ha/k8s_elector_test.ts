// Goal: one holder of the Lease at a time, without comparing clocks. Method: electors on a fake API
// server that replaces only the version it is told, each with a clock that the test moves.
import assert from "node:assert/strict";
import { FakeK8sApi } from "../../tests/support/fake_k8s_api.ts";
import { EngineError, LogRefusal } from "./fact_log.ts";
import { K8sClient } from "./k8s_client.ts";
import { K8sElector } from "./k8s_elector.ts";

const LEASE_MS = 2000;

function electorOf(api: FakeK8sApi, identity: string, wallMs = 1_900_000_000_000) {
  const time = { nowMs: 0, wallMs };
  const client = new K8sClient({
    ...{ server: api.url, namespace: "prod", tls: null, tokenFile: "", timeoutMs: 5000, env: {} },
  });
  const elector = new K8sElector({
    ...{ client, namespace: "prod", clusterId: "My_Cluster", identity, leaseMs: LEASE_MS },
    ...{ clock: () => time.nowMs, wallClock: () => time.wallMs + time.nowMs },
  });
  return { elector, time };
}

Deno.test("a Lease is made, held, renewed and given back", async () => {
  await using api = new FakeK8sApi();
  const a = electorOf(api, "a");
  const won = await a.elector.campaign("a:1");
  assert(won.won);
  assert.equal(won.validUntilMs, 1900);
  const lease = api.leases.get("prod/my-cluster")!;
  assert.equal(lease.spec.holderIdentity, "a");
  assert.equal(lease.spec.leaseDurationSeconds, 2);
  assert.equal(lease.metadata.annotations?.["snowskin.dev/leader"], "a:1");
  a.time.nowMs = 500;
  assert.equal(await a.elector.renew(won.epoch), 2400);
  const b = electorOf(api, "b");
  assert.deepEqual(await b.elector.campaign("b:1"), {
    ...{ won: false, leader: { address: "a:1", epoch: won.epoch } },
  });
  await a.elector.resign(won.epoch);
  assert.equal(await a.elector.renew(won.epoch), null);
  const next = await b.elector.campaign("b:1");
  assert(next.won && next.epoch > won.epoch);
  assert.equal(api.leases.get("prod/my-cluster")?.spec.leaseTransitions, 1);
});

Deno.test("a Lease is over when it has not changed while one watched, whatever its times say", async () => {
  await using api = new FakeK8sApi();
  const a = electorOf(api, "a");
  const b = electorOf(api, "b", 2_500_000_000_000);
  const won = await a.elector.campaign("a:1");
  assert(won.won);
  assert(!(await b.elector.campaign("b:1")).won, "its clock is years ahead");
  b.time.nowMs = 1500;
  assert(!(await b.elector.campaign("b:1")).won);
  await a.elector.renew(won.epoch);
  b.time.nowMs = 3400;
  assert(!(await b.elector.campaign("b:1")).won, "it was renewed meanwhile");
  b.time.nowMs = 5401;
  const next = await b.elector.campaign("b:1");
  assert(next.won && next.epoch > won.epoch);
  assert.equal(await a.elector.renew(won.epoch), null);
});

Deno.test("of two that see the same end of a Lease one gets it", async () => {
  await using api = new FakeK8sApi();
  const electors = ["a", "b", "c", "d"].map((name) => electorOf(api, name).elector);
  const outcomes = await Promise.all(electors.map((elector) => elector.campaign("x:1")));
  assert.equal(outcomes.filter(({ won }) => won).length, 1);
});

Deno.test("epochs grow even when the Lease was deleted", async () => {
  await using api = new FakeK8sApi();
  const a = electorOf(api, "a");
  const first = await a.elector.campaign("a:1");
  assert(first.won);
  api.leases.clear();
  const b = electorOf(api, "b");
  b.time.nowMs = 5000;
  const second = await b.elector.campaign("b:1");
  assert(second.won && second.epoch > first.epoch);
  assert.equal(await a.elector.renew(first.epoch), null);
});

Deno.test("refusals and failures of the API are told apart", async () => {
  await using api = new FakeK8sApi("token");
  const { elector } = electorOf(api, "a");
  await assert.rejects(elector.campaign("a:1"), LogRefusal);
  api.failWith = 500;
  await assert.rejects(elector.campaign("a:1"), EngineError);
});

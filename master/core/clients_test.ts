import assert from "node:assert/strict";
import { ClientStatus } from "../../proto/types.ts";
import { clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";

Deno.test("clients that own nothing are forgotten when there are very many", () => {
  const driver = new CoreDriver();
  const { core } = driver;
  driver.mount(1, MIB);
  for (let i = 0; i < 200_000; i++) core.cluster.ping(`${i}-123456`);
  assert(core.state.clients.limit < 70_000, `${core.state.clients.limit} are remembered`);
  assert.equal(driver.ping(1).clientStatus, ClientStatus.OK);
  driver.put("k", 100);
  assert.equal(driver.exist("k"), 1);
});

Deno.test("a client that was forgotten is told to mount again and then known", () => {
  const { core } = new CoreDriver();
  core.cluster.remountSegments([], clientId(5));
  assert.equal(core.cluster.ping(clientId(5)).clientStatus, ClientStatus.OK);
  for (let i = 0; i < 70_000; i++) core.cluster.ping(`${i}-123456`);
  assert.equal(core.activeClients, 0);
  assert.equal(core.cluster.ping(clientId(5)).clientStatus, ClientStatus.NEED_REMOUNT);
  core.cluster.remountSegments([], clientId(5));
  assert.equal(core.cluster.ping(clientId(5)).clientStatus, ClientStatus.OK);
  assert.equal(core.activeClients, 1);
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import {
  assertCode,
  clientId,
  CoreDriver,
  MIB,
  segmentOf,
} from "../../tests/support/core_driver.ts";

Deno.test("a read-only core refuses changes, goes on reading and tells nothing", () => {
  const driver = new CoreDriver();
  const segment = driver.mount(1, MIB);
  driver.put("k", 1000);
  driver.ok(driver.start("begun", 1000));
  driver.pass(11_000);
  const { core, nowMs } = driver;
  let told = 0;
  core.attachFacts({ append: () => void told++ });
  core.readOnly = true;
  const key = new TextEncoder().encode("k");
  const refused = [
    driver.start("new", 1000),
    driver.start("k", 1000, { upsert: true }),
    driver.end("begun"),
    driver.revoke("begun"),
    driver.remove("k", true),
    driver.removeByRegex("k", true),
    driver.removeAll(true),
    core.cluster.mountSegment(segmentOf(2, "two", MIB), clientId(1)),
    core.movement.createCopyTask(0, key, ["segment-1"], nowMs).code,
    core.movement.copyStart(clientId(1), 0, key, "a", ["b"], "0-0", nowMs).code,
  ];
  for (const code of refused) assertCode(code, ErrorCode.PERSISTENT_FAIL);
  assert.deepEqual(core.batchReplicaClear(0, [key], clientId(1), "", nowMs), []);
  driver.ok(driver.get("k"));
  driver.ok(core.cluster.remountSegments([segment], clientId(1)));
  driver.settle();
  assert.equal(told, 0);
  core.readOnly = false;
  driver.ok(driver.end("begun"));
  assert.equal(driver.exist("begun"), 1);
});

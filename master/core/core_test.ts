import assert from "node:assert/strict";
import { assertCode, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { ErrorCode } from "../../proto/error_code.ts";

Deno.test("a put is readable after its end and not before", () => {
  const driver = new CoreDriver();
  driver.mount(1, 64 * MIB);
  driver.ok(driver.start("k", 1000));
  assert.equal(driver.sink.replicas.length, 1);
  assert.equal(driver.sink.replicas[0].status, 2);
  assert.equal(driver.exist("k"), 0);
  assertCode(driver.get("k"), ErrorCode.REPLICA_IS_NOT_READY);
  driver.ok(driver.end("k"));
  assert.equal(driver.exist("k"), 1);
  driver.ok(driver.get("k"));
  assert.equal(driver.sink.replicas[0].status, 3);
  assert.equal(driver.sink.leaseTtlMs, 10_000);
  assertCode(driver.remove("k"), ErrorCode.OBJECT_HAS_LEASE);
  driver.ok(driver.remove("k", true));
  assert.equal(driver.exist("k"), 0);
});

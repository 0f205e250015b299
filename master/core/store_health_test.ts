import assert from "node:assert/strict";
import { clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { Counter } from "./counters.ts";
import { MAX_REPORTED_PEERS } from "./store_health.ts";

const FIRST = "segment-1-endpoint";

/** Two stores of 1 MiB, lent by clients 1 and 2, and the users 11 to 13 that are known. */
function stores(): CoreDriver {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1, slowStartMs: 0 });
  driver.mount(1, MIB);
  driver.mount(2, MIB);
  for (const user of [11, 12, 13]) driver.core.cluster.ping(clientId(user));
  return driver;
}

function report(driver: CoreDriver, client: number, suspected: boolean, endpoint = FIRST): number {
  return driver.core.cluster.reportPeers(clientId(client), [{ endpoint, suspected }]);
}

/** Which segments new objects go to. */
function placed(driver: CoreDriver, prefix: string, puts = 40): Set<string> {
  const names = new Set<string>();
  for (let i = 0; i < puts; i++) {
    driver.ok(driver.start(`${prefix}-${i}`, 64));
    for (const { segment } of driver.sink.replicas) {
      names.add(driver.core.segments.view(segment).segment.name);
    }
  }
  return names;
}

Deno.test("a store that most of its users suspect gets new objects only when others have no room", () => {
  const driver = stores();
  for (const user of [11, 12, 13]) report(driver, user, false);
  report(driver, 11, true);
  assert.equal(placed(driver, "one").size, 2, "one client removes nobody");
  report(driver, 12, true);
  assert.deepEqual([...placed(driver, "two")], ["segment-2"]);
  driver.ok(driver.start("large", MIB - 16_384));
  driver.ok(driver.start("larger", MIB / 2));
  assert.equal(driver.core.counters.get(Counter.STORES_AVOIDED), 1);
  for (const user of [11, 12]) report(driver, user, false);
  assert.deepEqual([...placed(driver, "back")].sort(), ["segment-1", "segment-2"]);
});

Deno.test("its replicas are read as before, and the vote ends by itself", () => {
  const driver = stores();
  driver.put("k", 64, { preferredSegment: "segment-1" });
  for (const user of [11, 12]) report(driver, user, true);
  assert.equal(driver.core.inspection.storeHealth()[0].votes, 2);
  driver.ok(driver.get("k"));
  driver.pass(11_000, [1, 2]);
  assert.equal(placed(driver, "later").size, 2);
});

Deno.test("strangers, owners and stores that are not mounted change nothing; too many are refused", () => {
  const driver = stores();
  for (const stranger of [91, 92, 93]) assert.equal(report(driver, stranger, true), ErrorCode.OK);
  report(driver, 1, true);
  for (const user of [11, 12]) report(driver, user, true, "nowhere:1");
  assert.deepEqual(
    driver.core.inspection.storeHealth().map(({ users, votes, silent }) => ({
      ...{ users, votes, silent },
    })),
    [{ users: 0, votes: 0, silent: false }, { users: 0, votes: 0, silent: false }],
  );
  const many = Array.from({ length: MAX_REPORTED_PEERS + 1 }, (_, i) => ({
    ...{ endpoint: `x:${i}`, suspected: true },
  }));
  assert.equal(driver.core.cluster.reportPeers(clientId(11), many), ErrorCode.INVALID_PARAMS);
});

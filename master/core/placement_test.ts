import assert from "node:assert/strict";
import { clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";

/** Names of the segments that hold the replicas described last. */
function names(driver: CoreDriver): string[] {
  const { segments } = driver.core;
  return driver.sink.replicas.map(({ segment }) => segments.view(segment).segment.name);
}

function spread(driver: CoreDriver, puts: number, options = {}): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < puts; i++) {
    driver.ok(driver.start(`spread-${i}`, 64, options));
    for (const name of names(driver)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

Deno.test("objects spread over all names, whatever the number of segments behind each", () => {
  const driver = new CoreDriver();
  for (let i = 1; i <= 4; i++) driver.mount(i, MIB);
  driver.mount(5, MIB, { name: "segment-1" });
  const counts = spread(driver, 2000);
  assert.equal(counts.size, 4);
  for (const count of counts.values()) assert(count > 400 && count < 600, `${count}`);
});

Deno.test("a segment that joins gets a growing share of new objects, and all that others cannot hold", () => {
  const driver = new CoreDriver({ slowStartMs: 10_000 });
  driver.mount(1, MIB);
  driver.pass(10_000);
  driver.mount(2, MIB);
  const shareOfNew = (prefix: string) => {
    let placed = 0;
    for (let i = 0; i < 1000; i++) {
      driver.ok(driver.start(`${prefix}-${i}`, 64));
      if (names(driver)[0] === "segment-2") placed++;
    }
    return placed / 1000;
  };
  const first = shareOfNew("first");
  assert(first > 0 && first < 0.06, `${first}`);
  driver.pass(5_000);
  const halfway = shareOfNew("halfway");
  assert(halfway > 0.18 && halfway < 0.32, `${halfway}`);
  driver.pass(5_000);
  const full = shareOfNew("full");
  assert(full > 0.43 && full < 0.57, `${full}`);
  driver.mount(3, 4 * MIB);
  driver.ok(driver.start("large", 2 * MIB));
  assert.deepEqual(names(driver), ["segment-3"]);
});

Deno.test("preferred segments come first, the others only when those are full", () => {
  const driver = new CoreDriver();
  for (let i = 1; i <= 4; i++) driver.mount(i, MIB);
  const one = { preferredSegment: "segment-3", preferredSegments: ["segment-4"] };
  assert.deepEqual([...spread(driver, 50, one).keys()], ["segment-3"]);
  const list = { preferredSegments: ["nowhere", "segment-2", "segment-4"], replicaNum: 2 };
  driver.ok(driver.start("two", 64, list));
  assert.deepEqual(names(driver), ["segment-2", "segment-4"]);
  driver.ok(driver.start("three", 64, { ...list, replicaNum: 3 }));
  assert.deepEqual(names(driver).slice(0, 2), ["segment-2", "segment-4"]);
  assert.equal(new Set(names(driver)).size, 3);
  driver.mount(5, 4 * MIB);
  driver.ok(driver.start("large", 2 * MIB, { preferredSegment: "segment-3" }));
  assert.deepEqual(names(driver), ["segment-5"]);
});

Deno.test("clients that miss pings get new data only when nobody else has room", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB, { client: 1 });
  driver.mount(2, MIB, { client: 2 });
  driver.pass(3_200, [1]);
  assert.deepEqual([...spread(driver, 100).keys()], ["segment-1"]);
  driver.ok(driver.start("large", MIB, { replicaNum: 1 }));
  assert.deepEqual(names(driver), ["segment-2"]);
  driver.pass(100, [1, 2]);
  assert.equal(spread(driver, 0).size, 0);
  driver.ok(driver.start("both", 64, { replicaNum: 2 }));
  assert.equal(names(driver).length, 1, "the second segment is full");
});

Deno.test("free_ratio_first fills the emptiest segments first", () => {
  const driver = new CoreDriver({ allocationStrategy: "free_ratio_first" });
  for (let i = 1; i <= 3; i++) driver.mount(i, MIB);
  driver.put("a", MIB / 2, { preferredSegment: "segment-1" });
  driver.put("b", MIB / 4, { preferredSegment: "segment-2" });
  driver.ok(driver.start("c", 64));
  assert.deepEqual(names(driver), ["segment-3"]);
});

Deno.test("ssd_free_ratio_first looks at the disks of the owners", () => {
  const driver = new CoreDriver({
    allocationStrategy: "ssd_free_ratio_first",
    enableOffload: true,
  });
  for (let i = 1; i <= 3; i++) driver.mount(i, MIB, { client: i });
  driver.ok(driver.core.cluster.mountLocalDisk(clientId(2), true));
  driver.ok(driver.core.cluster.reportSsdCapacity(clientId(2), 1000));
  for (let i = 0; i < 10; i++) {
    driver.ok(driver.start(`k${i}`, 64));
    assert.deepEqual(names(driver), ["segment-2"]);
  }
});

Deno.test("local_first keeps a writer's objects on its host, then goes on to the next host", () => {
  const driver = new CoreDriver({ allocationStrategy: "local_first" });
  driver.mount(1, MIB, { client: 1, host: "host-b" });
  driver.mount(2, MIB, { client: 2, host: "host-a" });
  driver.mount(3, MIB, { client: 3, host: "host-c" });
  assert.deepEqual([...spread(driver, 50, { client: 3 }).keys()], ["segment-3"]);
  driver.ok(driver.start("named", 64, { client: 9, hostId: "host-a" }));
  assert.deepEqual(names(driver), ["segment-2"]);
  driver.put("full", MIB, { client: 1 });
  driver.ok(driver.start("overflow", 64, { client: 1 }));
  assert.deepEqual(names(driver), ["segment-3"]);
});

Deno.test("a put can ask for its own host by itself", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB, { client: 1, host: "host-a" });
  driver.mount(2, MIB, { client: 2, host: "host-b" });
  const counts = spread(driver, 50, { client: 2, preferAllocInSameNode: true });
  assert.deepEqual([...counts.keys()], ["segment-2"]);
});

Deno.test("the same seed places the same objects in the same places", () => {
  const place = () => {
    const driver = new CoreDriver({}, 42);
    for (let i = 1; i <= 5; i++) driver.mount(i, MIB);
    return Array.from({ length: 50 }, (_, i) => {
      driver.ok(driver.start(`k${i}`, 1000));
      return driver.sink.replicas;
    });
  };
  assert.deepEqual(place(), place());
});

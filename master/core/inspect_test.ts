import assert from "node:assert/strict";
import { SoftPinAction } from "../../proto/types.ts";
import { bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { Counter } from "./counters.ts";

Deno.test("keys are listed in pages, each once", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
  for (const key of keys) driver.put(key, 10);
  for (const key of keys.splice(0, 10)) driver.remove(key);
  const seen: string[] = [];
  let cursor: number | null = 0;
  let pages = 0;
  while (cursor !== null) {
    const page = driver.core.inspection.listKeys(cursor, 1000, 60);
    let start = 0;
    for (const end of page.ends) {
      seen.push(new TextDecoder().decode(page.bytes.subarray(start, end)));
      start = end;
    }
    cursor = page.next;
    pages++;
  }
  assert.deepEqual(seen.sort(), keys.sort());
  assert.equal(pages, 4);
});

Deno.test("looking at a key neither leases nor counts", () => {
  const driver = new CoreDriver();
  const segment = driver.mount(1, MIB);
  driver.put("k", 1000, { dataType: 3, group: "g" });
  const gets = driver.core.counters.get(Counter.GETS);
  const replicas = driver.core.inspection.peekKey(0, bytesOf("k"))!;
  assert.deepEqual(replicas[0].location, {
    kind: "memory",
    buffer: {
      size: 1000,
      bufferAddress: segment.base,
      protocol: "tcp",
      transportEndpoint: "segment-1-endpoint",
    },
  });
  const detail = driver.peek("k")!;
  const epochMs = driver.nowMs + driver.core.state.config.epochOffsetMs;
  assert.deepEqual([detail.state, detail.size, detail.dataType], ["COMPLETE", 1000, 3]);
  assert.deepEqual([detail.client, detail.lastUsedMs], [clientId(1), epochMs]);
  assert.equal(detail.sinceMs, Math.floor(epochMs / 1000) * 1000);
  assert.equal(driver.core.counters.get(Counter.GETS), gets);
  driver.ok(driver.remove("k"));
  assert.equal(driver.core.inspection.peekKey(0, bytesOf("k")), null);
  driver.ok(driver.start("new", 10, { softPinAction: SoftPinAction.ENABLE }));
  assert.deepEqual(driver.core.inspection.peekKey(0, bytesOf("new")), []);
  assert.equal(driver.peek("new")!.state, "PROCESSING");
});

Deno.test("a segment's use is that of its extents", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.put("k", 100);
  const [detail] = driver.core.inspection.segmentDetails();
  assert.deepEqual([detail.name, detail.clientId, detail.status], ["segment-1", clientId(1), 1]);
  assert.deepEqual([detail.allocatedBytes, detail.capacityBytes], [128, MIB]);
  assert.equal(detail.largestFreeBytes, MIB - 128);
});

Deno.test("reads are counted by where they were served from", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.put("k", 1000);
  driver.get("k");
  driver.get("missing");
  const count = (counter: Counter) => driver.core.counters.get(counter);
  assert.deepEqual([count(Counter.GETS), count(Counter.VALID_GETS)], [2, 1]);
  assert.deepEqual([count(Counter.MEMORY_HITS), count(Counter.MEMORY_HIT_BYTES)], [1, 1000]);
});

Deno.test("GetReplicaListByRegex lists and leases what matches", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  for (const key of ["b1", "b2", "c"]) driver.put(key, 10);
  driver.ok(driver.start("b3", 10));
  const { sink } = driver;
  assert.equal(driver.listByRegex("^b"), 2);
  const found = sink.matches.map(({ key, replicas }) => [key, replicas.length]);
  assert.deepEqual(found.sort(), [["b1", 1], ["b2", 1]]);
  assert.equal(driver.remove("b1"), -706);
  driver.ok(driver.remove("c"));
  assert.equal(driver.listByRegex("("), -600);
});

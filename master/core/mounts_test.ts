import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ClientStatus, SegmentStatus } from "../../proto/types.ts";
import {
  assertCode,
  clientId,
  CoreDriver,
  MIB,
  segmentOf,
} from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { Counter } from "./counters.ts";

Deno.test("mounting is refused without address or size, and with text that cannot be", () => {
  const { cluster } = new CoreDriver().core;
  const good = segmentOf(1, "s", MIB);
  const bad = (changes: Partial<typeof good>) =>
    assertCode(
      cluster.mountSegment({ ...good, ...changes }, clientId(1)),
      ErrorCode.INVALID_PARAMS,
    );
  bad({ base: 0n });
  bad({ size: 0 });
  bad({ size: 2 ** 53 });
  bad({ teEndpoint: "127.0.0.1:\ufffd2833" });
  bad({ name: "a\0b" });
  assertCode(cluster.mountSegment(good, clientId(1)), ErrorCode.OK);
  assertCode(cluster.mountSegment(good, clientId(1)), ErrorCode.OK);
  assert.equal(cluster.querySegmentStatus("s").value, SegmentStatus.OK);
  assert.equal(cluster.querySegmentStatusById(good.id).value, SegmentStatus.OK);
  assertCode(cluster.querySegmentStatus("t").code, ErrorCode.SEGMENT_NOT_FOUND);
  assertCode(cluster.querySegmentStatusById("9-9").code, ErrorCode.SEGMENT_NOT_FOUND);
});

Deno.test("a client is OK after it has remounted, not after a mount alone", () => {
  const driver = new CoreDriver();
  const { cluster } = driver.core;
  assert.equal(driver.ping().clientStatus, ClientStatus.NEED_REMOUNT);
  const segment = segmentOf(1, "s", MIB);
  driver.ok(cluster.mountSegment(segment, clientId(1)));
  assert.equal(driver.ping().clientStatus, ClientStatus.NEED_REMOUNT);
  driver.ok(cluster.remountSegments([segment], clientId(1)));
  assert.equal(driver.ping().clientStatus, ClientStatus.OK);
  driver.ok(cluster.remountSegments([], clientId(2)));
  assert.equal(driver.ping(2).clientStatus, ClientStatus.OK);
  assert.equal(driver.core.activeClients, 2);
  assert.equal(driver.core.segments.count, 1);
});

Deno.test("remounting keeps what lies in a known segment and refuses a different one", () => {
  const driver = new CoreDriver();
  const { cluster } = driver.core;
  const segment = driver.mount(1, MIB);
  driver.put("k", 100);
  driver.ok(cluster.remountSegments([segment], clientId(1)));
  assert.equal(driver.exist("k"), 1);
  const other = { ...segment, size: 2 * MIB };
  assertCode(cluster.remountSegments([other], clientId(1)), ErrorCode.INVALID_PARAMS);
  assertCode(cluster.remountSegments([segment], clientId(2)), ErrorCode.INVALID_PARAMS);
});

Deno.test("remounting brings back what it can and skips segments that can never be mounted", () => {
  const driver = new CoreDriver();
  const hopeless = { ...segmentOf(1, "s", MIB), base: 0n };
  const good = segmentOf(2, "t", MIB);
  driver.ok(driver.core.cluster.remountSegments([hopeless, good], clientId(1)));
  assert.deepEqual(driver.core.inspection.segmentDetails().map(({ name }) => name), ["t"]);
});

Deno.test("what lies in an unmounted segment is gone at once and its records later", () => {
  const driver = new CoreDriver();
  const segment = driver.mount(1, 64 * MIB);
  driver.mount(2, 64 * MIB, { client: 2 });
  for (let i = 0; i < 3000; i++) driver.put(`k${i}`, 100, { preferredSegment: "segment-1" });
  driver.put("both", 100, { replicaNum: 2 });
  driver.put("elsewhere", 100, { preferredSegment: "segment-2" });
  driver.ok(driver.core.cluster.unmountSegment(segment.id, clientId(1), driver.nowMs));
  assert.equal(driver.exist("k0"), 0);
  assertCode(driver.get("k0"), ErrorCode.OBJECT_NOT_FOUND);
  assertCode(driver.remove("k1"), ErrorCode.OBJECT_NOT_FOUND);
  driver.put("k2", 100);
  assert.deepEqual(driver.keys(), ["both", "elsewhere", "k2"]);
  assert.equal(driver.core.counters.get(Counter.CAPACITY_BYTES), 64 * MIB);
  assert.equal(driver.core.tick(driver.nowMs), 0, "a tick does a part of the work");
  driver.settle();
  assert.equal(driver.core.keyCount, 3);
  checkCore(driver.core.state);
  driver.ok(driver.core.cluster.unmountSegment(segment.id, clientId(1), driver.nowMs));
});

Deno.test("only the owner can unmount a segment", () => {
  const driver = new CoreDriver();
  const segment = driver.mount(1, MIB);
  const code = driver.core.cluster.unmountSegment(segment.id, clientId(2), driver.nowMs);
  assertCode(code, ErrorCode.INVALID_PARAMS);
  assert.equal(driver.core.segments.count, 1);
});

Deno.test("a gracefully unmounted segment can be read, but not written, until its time is over", () => {
  const driver = new CoreDriver();
  const { cluster } = driver.core;
  const segment = driver.mount(1, MIB);
  driver.put("k", 100);
  const graceful = (client: number) =>
    cluster.gracefulUnmountSegment(segment.id, clientId(client), 5000, driver.nowMs);
  assertCode(graceful(2), ErrorCode.SEGMENT_NOT_FOUND);
  driver.mount(2, MIB, { client: 2 });
  assertCode(graceful(2), ErrorCode.INVALID_PARAMS);
  driver.ok(cluster.unmountSegment("2-2", clientId(2), driver.nowMs));
  driver.ok(graceful(1));
  driver.ok(graceful(1));
  const status = cluster.querySegmentStatusById(segment.id);
  assert.equal(status.value, SegmentStatus.GRACEFULLY_UNMOUNTING);
  assert.equal(driver.exist("k"), 1);
  assertCode(driver.start("new", 100), ErrorCode.NO_AVAILABLE_HANDLE);
  const again = cluster.mountSegment(segment, clientId(1));
  assertCode(again, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  driver.pass(4_900);
  assert.equal(driver.exist("k"), 1);
  driver.pass(100);
  assert.equal(driver.exist("k"), 0);
  assertCode(cluster.querySegmentStatusById(segment.id).code, ErrorCode.SEGMENT_NOT_FOUND);
});

Deno.test("a silent client loses its segments after its time, and tells which", () => {
  const driver = new CoreDriver();
  const expired: string[][] = [];
  driver.core.onClientExpired = (names) => expired.push(names);
  driver.mount(1, MIB, { client: 1 });
  driver.mount(2, MIB, { client: 2, name: "kept" });
  driver.put("k", 100, { preferredSegment: "segment-1" });
  driver.pass(10_000, [2]);
  assert.equal(driver.exist("k"), 1);
  driver.pass(100, [2]);
  assert.equal(driver.exist("k"), 0);
  assert.deepEqual(expired, [["segment-1"]]);
  assert.equal(driver.core.activeClients, 1);
  assert.equal(driver.ping(1).clientStatus, ClientStatus.NEED_REMOUNT);
  checkCore(driver.core.state);
});

Deno.test("a stall of the master expires nobody whose pings have been waiting", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB, { client: 1 });
  driver.mount(2, MIB, { client: 2 });
  driver.put("k", 100, { preferredSegment: "segment-1" });
  driver.pass(5_000, [1, 2]);
  driver.nowMs += 12_000;
  driver.core.tick(driver.nowMs);
  driver.ping(1);
  driver.pass(1_000, [1]);
  assert.equal(driver.exist("k"), 1);
  assert.equal(driver.ping(2).clientStatus, ClientStatus.OK);
});

Deno.test("a ping that is read after a stall, before periodic work, makes a client young", () => {
  const driver = new CoreDriver({ clientTtlMs: 1000 });
  driver.mount(1, MIB, { client: 1 });
  driver.mount(2, MIB, { client: 2 });
  driver.pass(100, [1, 2]);
  driver.nowMs += 3_000;
  driver.ping(1);
  driver.core.tick(driver.nowMs);
  driver.nowMs += 500;
  driver.core.tick(driver.nowMs);
  assert.equal(driver.ping(1).clientStatus, ClientStatus.OK);
  assert.equal(driver.ping(2).clientStatus, ClientStatus.NEED_REMOUNT);
});

Deno.test("clients that died during a stall expire when the master has run for long enough", () => {
  const driver = new CoreDriver();
  driver.mount(1, MIB, { client: 1 });
  driver.put("k", 100);
  driver.pass(200, []);
  driver.nowMs += 60_000;
  driver.settle();
  assert.equal(driver.exist("k"), 1);
  driver.pass(9_100, []);
  assert.equal(driver.exist("k"), 0);
});

Deno.test("ids of strangers are forgotten again", () => {
  const driver = new CoreDriver();
  for (let i = 0; i < 1000; i++) driver.core.internClientUuid(clientId(1000 + i));
  driver.pass(11_000, []);
  const { clients } = driver.core.state;
  for (let i = 1; i < clients.limit; i++) assert(!clients.has(i));
  assert.throws(() => driver.core.internClientUuid("nonsense"), RangeError);
});

Deno.test("hosts of clients are those of their segments, without ports", () => {
  const driver = new CoreDriver();
  const { cluster } = driver.core;
  const endpoints = ["hostA:1", "hostA:2", "[::1]:7", "hostX"];
  endpoints.forEach((teEndpoint, i) => {
    driver.ok(
      cluster.mountSegment({ ...segmentOf(i + 1, `s${i}`, MIB), teEndpoint }, clientId(1)),
    );
  });
  driver.ok(cluster.remountSegments([], clientId(2)));
  const hosts = cluster.batchQueryIp([clientId(1), clientId(2), clientId(3)]);
  assert.deepEqual(Array.from(hosts), [[clientId(1), ["hostA", "::1", "hostX"]]]);
});

Deno.test("units grow in segments that 2^32 of 64 bytes do not cover", () => {
  const driver = new CoreDriver();
  driver.mount(1, 2 ** 40);
  const entry = driver.core.segments.at(0);
  assert.equal(entry.unitBytes, 512);
  driver.put("k", 100);
  assert.equal(driver.core.counters.get(Counter.ALLOCATED_BYTES), 512);
  driver.put("l", 600 * 2 ** 30);
  assert.equal(driver.exist("l"), 1);
  checkCore(driver.core.state);
});

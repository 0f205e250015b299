import assert from "node:assert/strict";
import { bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { defaultCoreConfig } from "./config.ts";
import { MasterCore } from "./core.ts";
import { DeadlineQueue } from "./deadline_queue.ts";
import { randomBelow, SeededRng } from "./rng.ts";
import { longestSharedPath, sharedPath } from "./shared_path.ts";
import { TenantTable } from "./tenants.ts";
import { UnmountedIds } from "./unmounted_ids.ts";
import { randomUuid, readUuidBytes, writeUuidBytes } from "./uuid.ts";

Deno.test("a deadline queue gives back what was put in, earliest first", () => {
  const random = new SeededRng(6);
  const queue = new DeadlineQueue();
  const times: number[] = [];
  for (let i = 0; i < 6000; i++) {
    const time = randomBelow(random, 10_000);
    queue.push(time, i, i ^ 0x55);
    times.push(time);
    if (i % 7 !== 0) continue;
    times.sort((a, b) => a - b);
    assert.equal(queue.firstTime, times.shift());
    assert.equal(queue.firstTicket, queue.firstItem ^ 0x55);
    queue.pop();
  }
  assert.equal(queue.size, times.length);
  while (queue.size > 0) queue.pop();
  assert.equal(queue.firstTime, Infinity);
});

Deno.test("no two keys share a file of the shared file system", () => {
  const keys = ["a", "a/b", "a_b", "a%2fb", ".", "..", ".a", "a.b", "A", "\0", "é", "x".repeat(300)]
    .map((text) => new TextEncoder().encode(text));
  keys.push(Uint8Array.of(0xe9), new TextEncoder().encode("x".repeat(301)));
  const paths = keys.map((key) => sharedPath("/fs", key, 0x21));
  assert.equal(new Set(paths).size, keys.length);
  for (const path of paths) {
    assert.match(path, /^\/fs\/b\/c\/[\w.%-]+$/);
    assert(!/\/\.\.?$/.test(path));
    assert(path.length <= longestSharedPath("/fs"));
  }
});

Deno.test("ids keep all 128 bits on their way between text and bytes", () => {
  const bytes = new Uint8Array(20);
  for (const id of ["0-0", "18446744073709551615-1", "1-18446744073709551615"]) {
    assert(writeUuidBytes(id, bytes, 3));
    assert.equal(readUuidBytes(bytes, 3), id);
  }
  for (const bad of ["", "1", "1-", "-1", "a-b", "18446744073709551616-0", "1-2-3"]) {
    assert.equal(writeUuidBytes(bad, bytes, 0), false);
  }
  const random = new SeededRng(1);
  assert.notEqual(randomUuid(random), randomUuid(random));
});

Deno.test("settings outside of what can be done are refused by name", () => {
  const make = (changes: object) =>
    new MasterCore(defaultCoreConfig(changes as never), new SeededRng(1));
  assert.throws(() => make({ evictionRatio: 1.5 }), /evictionRatio is 1.5/);
  assert.throws(() => make({ evictionHighWatermarkRatio: -0.1 }), RangeError);
  assert.throws(() => make({ defaultKvLeaseTtlMs: NaN }), RangeError);
  assert.throws(() => make({ promotionAdmissionThreshold: 0 }), RangeError);
});

Deno.test("an idle core wants to be called twice a second, a busy one at its next deadline", () => {
  const driver = new CoreDriver({ defaultKvLeaseTtlMs: 100 });
  assert.equal(driver.core.tick(driver.nowMs), 500);
  driver.mount(1, MIB);
  driver.put("k", 100);
  driver.exist("k");
  driver.remove("k", true);
  assert.equal(driver.core.tick(driver.nowMs), 100);
});

Deno.test("random numbers are even and the same for the same seed", () => {
  const counts = new Int32Array(10);
  const random = new SeededRng(11);
  for (let i = 0; i < 100_000; i++) counts[randomBelow(random, 10)]++;
  for (const count of counts) assert(count > 9_500 && count < 10_500);
  const [a, b] = [new SeededRng(5), new SeededRng(5)];
  for (let i = 0; i < 100; i++) assert.equal(a.u32(), b.u32());
  assert.notEqual(new SeededRng(5).u32(), new SeededRng(6).u32());
});

Deno.test("tenants have names of their own and the unnamed one is the first", () => {
  const tenants = new TenantTable();
  const name = new TextEncoder().encode("_team-a");
  assert.equal(tenants.find(name, 0, 0), 0);
  assert.equal(tenants.find(name, 1, 7), -1);
  assert.equal(tenants.add(name, 1, 7), 1);
  assert.equal(tenants.find(name, 1, 7), 1);
  assert.deepEqual(tenants.name(1), name.subarray(1));
  for (let i = 2; i < 300; i++) assert.equal(tenants.add(bytesOf(`t${i}`), 0, `t${i}`.length), i);
  for (let i = 2; i < 300; i++) assert.equal(tenants.find(bytesOf(`t${i}`), 0, `t${i}`.length), i);
  assert.equal(tenants.find(bytesOf("t300"), 0, 4), -1);
});

Deno.test("the last ids that were taken back are known, by owner", () => {
  const ids = new UnmountedIds();
  for (let i = 0; i < 4096; i++) ids.add(`${i}-1`, "7-7");
  ids.add("0-1", "7-7");
  ids.add("x", "7-7");
  assert(ids.has("0-1", "7-7"), "who asks again is not forgotten first");
  assert(!ids.has("1-1", "7-7"));
  assert(ids.has("2-1", "7-7"));
  assert(!ids.has("2-1", "8-8"));
  assert.equal(Array.from(ids.each()).length, 4096);
});

/**
 * Cost of the core's calls, without sockets and frames. The baseline of each group is a JavaScript
 * Map from the key's text to an object, the least that the same lookup costs with ordinary means.
 */
import { randomBelow, SeededRng } from "../master/core/rng.ts";
import type { Writer } from "../master/core/api.ts";
import { bytesOf, CoreDriver } from "../tests/support/core_driver.ts";
import { KEY_BYTES, OBJECT_BYTES, putKeys, sink } from "./filled_core.ts";

const OBJECTS = 50_000;

const keyOf = (i: number) => `model/layer-0/${String(i).padStart(KEY_BYTES - 14, "0")}`;

const random = new SeededRng(5);

/** Keys one after the other, the way a request buffer holds them. */
function packed(first: number): Uint8Array {
  const bytes = new Uint8Array(OBJECTS * KEY_BYTES);
  for (let i = 0; i < OBJECTS; i++) bytes.set(bytesOf(keyOf(first + i)), i * KEY_BYTES);
  return bytes;
}

const present = packed(0);
const missing = packed(OBJECTS);

function filled(capacity: number): { driver: CoreDriver; writer: Writer } {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1 });
  driver.mount(1, capacity * OBJECT_BYTES);
  const writer = driver.writer(1);
  for (let at = 0; at < present.length; at += KEY_BYTES) put(driver, writer, present, at);
  return { driver, writer };
}

function put(driver: CoreDriver, writer: Writer, bytes: Uint8Array, at: number): void {
  putKeys({ core: driver.core, writer }, bytes, [at, at + KEY_BYTES], driver.nowMs);
}

const drawn = () => randomBelow(random, OBJECTS) * KEY_BYTES;
const decoder = new TextDecoder();
const textAt = (bytes: Uint8Array, at: number) =>
  decoder.decode(bytes.subarray(at, at + KEY_BYTES));

const reading = filled(OBJECTS + 1000);
const map = new Map(
  Array.from({ length: OBJECTS }, (_, i) => [keyOf(i), { size: OBJECT_BYTES, lease: i }]),
);

Deno.bench("existKey, hit", { group: "exist" }, () => {
  const at = drawn();
  reading.driver.core.existKey(0, present, at, at + KEY_BYTES, reading.driver.nowMs++);
});

Deno.bench("existKey, miss", { group: "exist" }, () => {
  const at = drawn();
  reading.driver.core.existKey(0, missing, at, at + KEY_BYTES, reading.driver.nowMs++);
});

Deno.bench("Map of objects by text, hit", { group: "exist", baseline: true }, () => {
  map.get(textAt(present, drawn()))!.lease = reading.driver.nowMs++;
});

Deno.bench("getReplicaList", { group: "get" }, () => {
  const at = drawn();
  reading.driver.core.getReplicaList(
    ...[0, present, at, at + KEY_BYTES, reading.driver.nowMs++, sink] as const,
  );
});

let described: { size: number; address: bigint; status: number }[] = [];

Deno.bench("Map of objects by text, described", { group: "get", baseline: true }, () => {
  const found = map.get(textAt(present, drawn()))!;
  found.lease = reading.driver.nowMs++;
  described = [{ size: found.size, address: 0n, status: 3 }];
});

const cycling = filled(OBJECTS + 1000);

Deno.bench("putStart, putEnd, remove", { group: "put" }, () => {
  const { driver, writer } = cycling;
  const at = drawn();
  put(driver, writer, missing, at);
  driver.core.remove(0, missing, at, at + KEY_BYTES, true, driver.nowMs);
});

Deno.bench("Map set and delete", { group: "put", baseline: true }, () => {
  const text = textAt(missing, drawn());
  map.set(text, { size: OBJECT_BYTES, lease: 0 });
  map.delete(text);
});

const churning = filled(OBJECTS);
const fresh = bytesOf(keyOf(0));
let puts = 0;

Deno.bench("put into a full pool: evicts one", { group: "churn" }, () => {
  const { driver, writer } = churning;
  for (let i = 1, n = puts++; i <= 12; i++, n = Math.floor(n / 10)) {
    fresh[KEY_BYTES - i] = 0x61 + n % 10;
  }
  driver.nowMs++;
  put(driver, writer, fresh, 0);
});

const order = new Map<string, { size: number }>();
for (let i = 0; i < OBJECTS; i++) order.set(keyOf(i), { size: OBJECT_BYTES });

Deno.bench("Map as LRU: delete first, set last", { group: "churn", baseline: true }, () => {
  const [oldest] = order.keys();
  order.delete(oldest);
  order.set(keyOf(OBJECTS + puts++), { size: OBJECT_BYTES });
});

// Keeps what the benches make from being optimized away.
globalThis.addEventListener("unload", () => described.length === 0 && console.log("nothing read"));

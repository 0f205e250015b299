/**
 * Cost of the core's calls, without sockets and frames. The baseline of each group is a JavaScript
 * Map from the key's text to an object, the least that the same lookup costs with ordinary means.
 */
import { bytesOf, clientId, CoreDriver, replicateConfig } from "../tests/support/core_driver.ts";
import { randomBelow, SeededRng } from "../master/core/rng.ts";
import type { ReplicaSink } from "../master/core/api.ts";

const OBJECTS = 50_000;
const SIZE = 64 * 1024;
const KEY_BYTES = 62;

const keyOf = (i: number) => `model/layer-0/${String(i).padStart(KEY_BYTES - 14, "0")}`;

/** Takes descriptions and drops them. */
class NullSink implements ReplicaSink {
  begin(): void {}
  memory(): void {}
  disk(): void {}
  localDisk(): void {}
}

const sink = new NullSink();
const config = replicateConfig();
const random = new SeededRng(5);

function filled(capacity: number): { driver: CoreDriver; keys: Uint8Array[]; client: number } {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1 });
  driver.mount(1, capacity * SIZE);
  const client = driver.core.internClientUuid(clientId(1));
  const keys = Array.from({ length: OBJECTS }, (_, i) => bytesOf(keyOf(i)));
  for (const key of keys) {
    driver.core.putStart(
      ...[client, 0, key, 0, key.length, SIZE, config, null, driver.nowMs, sink] as const,
    );
    driver.core.putEnd(client, 0, key, 0, key.length, null, 4, driver.nowMs);
  }
  return { driver, keys, client };
}

const reading = filled(OBJECTS + 1000);
const missing = Array.from({ length: OBJECTS }, (_, i) => bytesOf(keyOf(OBJECTS + i)));
const decoder = new TextDecoder();
const map = new Map(reading.keys.map((key, i) => [decoder.decode(key), { size: SIZE, lease: i }]));

Deno.bench("existKey, hit", { group: "exist" }, () => {
  const key = reading.keys[randomBelow(random, OBJECTS)];
  reading.driver.core.existKey(0, key, 0, key.length, reading.driver.nowMs++);
});

Deno.bench("existKey, miss", { group: "exist" }, () => {
  const key = missing[randomBelow(random, OBJECTS)];
  reading.driver.core.existKey(0, key, 0, key.length, reading.driver.nowMs++);
});

Deno.bench("Map of objects by text, hit", { group: "exist", baseline: true }, () => {
  const key = reading.keys[randomBelow(random, OBJECTS)];
  map.get(decoder.decode(key))!.lease = reading.driver.nowMs++;
});

Deno.bench("getReplicaList", { group: "get" }, () => {
  const key = reading.keys[randomBelow(random, OBJECTS)];
  reading.driver.core.getReplicaList(0, key, 0, key.length, reading.driver.nowMs++, sink);
});

let described: { size: number; address: bigint; status: number }[] = [];

Deno.bench("Map of objects by text, described", { group: "get", baseline: true }, () => {
  const key = reading.keys[randomBelow(random, OBJECTS)];
  const found = map.get(decoder.decode(key))!;
  found.lease = reading.driver.nowMs++;
  described = [{ size: found.size, address: 0n, status: 3 }];
});

const cycling = filled(OBJECTS + 1000);

Deno.bench("putStart, putEnd, remove", { group: "put" }, () => {
  const { driver, client } = cycling;
  const key = missing[randomBelow(random, OBJECTS)];
  const { nowMs } = driver;
  driver.core.putStart(client, 0, key, 0, key.length, SIZE, config, null, nowMs, sink);
  driver.core.putEnd(client, 0, key, 0, key.length, null, 4, nowMs);
  driver.core.remove(0, key, 0, key.length, true, nowMs);
});

Deno.bench("Map set and delete", { group: "put", baseline: true }, () => {
  const text = decoder.decode(missing[randomBelow(random, OBJECTS)]);
  map.set(text, { size: SIZE, lease: 0 });
  map.delete(text);
});

const churning = filled(OBJECTS);
let fresh = 0;
const key = bytesOf(keyOf(0));

Deno.bench("put into a full pool: evicts one", { group: "churn" }, () => {
  const { driver, client } = churning;
  const digits = String(fresh++).padStart(12, "9");
  for (let i = 0; i < digits.length; i++) {
    key[KEY_BYTES - 12 + i] = digits.charCodeAt(i);
  }
  const nowMs = driver.nowMs++;
  driver.core.putStart(client, 0, key, 0, key.length, SIZE, config, null, nowMs, sink);
  driver.core.putEnd(client, 0, key, 0, key.length, null, 4, nowMs);
});

const order = new Map<string, { size: number }>();
for (const key of reading.keys) order.set(decoder.decode(key), { size: SIZE });

Deno.bench("Map as LRU: delete first, set last", { group: "churn", baseline: true }, () => {
  const [oldest] = order.keys();
  order.delete(oldest);
  order.set(keyOf(OBJECTS + fresh++), { size: SIZE });
});

// Keeps what the benches make from being optimized away.
globalThis.addEventListener("unload", () => described.length === 0 && console.log("nothing read"));

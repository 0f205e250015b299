import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { ReplicaType } from "../../proto/types.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { CoreConfig } from "./api.ts";
import { Counter } from "./counters.ts";
import { FrequencySketch } from "./frequency_sketch.ts";

const KEY = bytesOf("k");

/** A store with one object, on the disk of client 1 only. */
class Promoter extends CoreDriver {
  constructor(changes: Partial<CoreConfig> = {}) {
    super({ enableOffload: true, promotionOnHit: true, ...changes });
    this.mount(1, MIB);
    this.ok(this.core.cluster.mountLocalDisk(clientId(1), true));
    this.report("k");
  }

  report(key: string): void {
    const task = { tenantId: bytesOf("default"), key: bytesOf(key), size: 5000 };
    const result = {
      ...{ bucketId: 0, offset: 0, keySize: key.length, dataSize: 5000 },
      transportEndpoint: "disk:1",
    };
    this.ok(
      this.core.cluster.notifyOffloadSuccess(clientId(1), [task], [result], this.nowMs),
    );
  }

  asked(): string[] {
    const { value } = this.core.movement.promotionHeartbeat(clientId(1));
    return value!.map(({ key }) => new TextDecoder().decode(key));
  }

  alloc(size = 5000, client = 1) {
    return this.core.movement.promotionAllocStart(
      ...[clientId(client), 0, KEY, size, [], this.nowMs] as const,
    );
  }

  done(client = 1): number {
    return this.core.movement.notifyPromotionSuccess(clientId(client), 0, KEY, this.nowMs);
  }

  failed(client = 1): number {
    return this.core.movement.notifyPromotionFailure(clientId(client), 0, KEY, this.nowMs);
  }

  kinds(): string[] {
    this.ok(this.get("k"));
    return this.sink.replicas.map(({ kind }) => kind);
  }

  count(counter: Counter): number {
    return this.core.counters.get(counter);
  }
}

Deno.test("an object that is read from disk often enough is brought back into memory", () => {
  const store = new Promoter();
  store.kinds();
  assert.deepEqual(store.asked(), []);
  store.kinds();
  assert.equal(store.count(Counter.PROMOTIONS_IN_FLIGHT), 1);
  assert.deepEqual(store.asked(), ["k"]);
  assert.deepEqual(store.asked(), []);
  const { code, value } = store.alloc();
  store.ok(code);
  assert.equal(value!.memoryDescriptor.status, 2);
  assert.deepEqual(store.kinds(), ["local_disk"]);
  store.ok(store.done());
  assert.deepEqual(store.kinds(), ["local_disk", "memory"]);
  assert.deepEqual(store.evictionOrder(), ["k"]);
  assert.equal(store.count(Counter.PROMOTIONS_IN_FLIGHT), 0);
  assert.equal(store.count(Counter.PROMOTIONS_COMPLETED), 1);
  assert.equal(store.count(Counter.PROMOTED_BYTES), 5000);
  checkCore(store.core.state);
});

Deno.test("each step is refused with the reason", () => {
  const store = new Promoter();
  assertCode(store.alloc().code, ErrorCode.REPLICA_IS_NOT_READY);
  assertCode(store.done(), ErrorCode.REPLICA_IS_NOT_READY);
  assertCode(store.failed(), ErrorCode.OK);
  store.kinds();
  store.kinds();
  assertCode(store.alloc(4000).code, ErrorCode.INVALID_PARAMS);
  assertCode(store.alloc(5000, 2).code, ErrorCode.INVALID_PARAMS);
  assertCode(store.done(), ErrorCode.REPLICA_IS_NOT_READY);
  store.ok(store.alloc().code);
  assertCode(store.alloc().code, ErrorCode.REPLICA_IS_NOT_READY);
  assertCode(store.done(2), ErrorCode.INVALID_PARAMS);
  assertCode(store.failed(2), ErrorCode.INVALID_PARAMS);
  const missing = store.core.movement.promotionAllocStart(
    ...[clientId(1), 0, bytesOf("missing"), 5000, [], store.nowMs] as const,
  );
  assertCode(missing.code, ErrorCode.OBJECT_NOT_FOUND);
});

Deno.test("a failed promotion gives its memory back and can be tried again", () => {
  const store = new Promoter();
  store.kinds();
  store.kinds();
  store.ok(store.alloc().code);
  store.ok(store.failed());
  assert.equal(store.count(Counter.ALLOCATED_BYTES), 0);
  assert.equal(store.count(Counter.PROMOTIONS_FAILED), 1);
  store.kinds();
  assert.deepEqual(store.asked(), ["k"]);
});

Deno.test("a promotion that fails after its source was evicted leaves nothing behind", () => {
  const store = new Promoter();
  store.kinds();
  store.kinds();
  store.ok(store.alloc().code);
  store.ok(store.core.evictDiskReplica(clientId(1), 0, KEY, ReplicaType.LOCAL_DISK));
  assertCode(store.get("k"), ErrorCode.REPLICA_IS_NOT_READY);
  store.ok(store.failed());
  assert.deepEqual(store.keys(), []);
  assert.equal(store.core.keyCount, 0);
});

Deno.test("nothing is promoted into memory that is nearly full, or beyond the limit", () => {
  const full = new Promoter();
  full.put("other", Math.floor(MIB * 0.95));
  full.kinds();
  full.kinds();
  assert.equal(full.count(Counter.PROMOTION_NO_SPACE), 1);
  assert.deepEqual(full.asked(), []);
  const limited = new Promoter({ promotionQueueLimit: 1, promotionAdmissionThreshold: 1 });
  limited.report("l");
  limited.kinds();
  limited.ok(limited.get("l"));
  assert.equal(limited.count(Counter.PROMOTION_QUEUE_FULL), 1);
});

Deno.test("a heartbeat takes no more than its share", () => {
  const store = new Promoter({ promotionAdmissionThreshold: 1, promotionMaxPerHeartbeat: 2 });
  for (const key of ["a", "b", "c"]) {
    store.report(key);
    store.ok(store.get(key));
  }
  assert.deepEqual(store.asked(), ["a", "b"]);
  assert.deepEqual(store.asked(), ["c"]);
});

Deno.test("an object can be removed while it waits to be promoted, not while it is being written", () => {
  const store = new Promoter();
  store.kinds();
  store.kinds();
  assert.equal(store.removeAll(true), 1);
  assert.equal(store.count(Counter.PROMOTIONS_CANCELLED), 1);
  assert.equal(store.count(Counter.PROMOTIONS_IN_FLIGHT), 0);
  assert.deepEqual(store.asked(), []);
  store.core.cluster.pollRemoveAll(clientId(1));
  store.report("k");
  store.kinds();
  store.ok(store.alloc().code);
  assertCode(store.remove("k", true), ErrorCode.REPLICA_IS_NOT_READY);
  checkCore(store.core.state);
});

Deno.test("a promotion that is never ended expires", () => {
  const store = new Promoter();
  store.kinds();
  store.kinds();
  store.ok(store.alloc().code);
  store.pass(600_200);
  assert.equal(store.count(Counter.PROMOTIONS_EXPIRED), 1);
  assert.equal(store.count(Counter.ALLOCATED_BYTES), 0);
  checkCore(store.core.state);
});

Deno.test("a client that goes away takes its promotions with it", () => {
  const store = new Promoter();
  store.mount(2, MIB, { client: 2 });
  store.kinds();
  store.kinds();
  store.pass(10_200, [2]);
  assert.equal(store.count(Counter.PROMOTIONS_IN_FLIGHT), 0);
  assert.equal(store.exist("k"), 0);
  checkCore(store.core.state);
});

Deno.test("frequencies are never estimated too low, and fade", () => {
  const sketch = new FrequencySketch();
  for (let i = 1; i <= 300; i++) {
    const estimate = sketch.increment(77);
    assert(estimate >= Math.min(255, i));
  }
  for (let i = 0; i < 140_000; i++) sketch.increment(Math.imul(i, 0x9e3779b1));
  assert(sketch.increment(77) < 200);
});

import assert from "node:assert/strict";
import { IndexedHeap } from "./indexed_heap.ts";
import { randomBelow, SeededRng } from "./rng.ts";

Deno.test("a heap whose items change gives the smallest one at any time", () => {
  const random = new SeededRng(11);
  const heap = new IndexedHeap();
  const model = new Map<number, number>();
  for (let i = 0; i < 5000; i++) {
    const item = randomBelow(random, 60);
    if (randomBelow(random, 3) === 0) {
      heap.remove(item);
      model.delete(item);
    } else {
      const key = randomBelow(random, 20) === 0 ? -Infinity : randomBelow(random, 1000);
      heap.set(item, key);
      model.set(item, key);
    }
    assert.equal(heap.size, model.size);
    assert.equal(heap.has(item), model.has(item));
    assert.equal(heap.firstKey, Math.min(...model.values()));
    if (model.size > 0) assert.equal(model.get(heap.first), heap.firstKey);
  }
});

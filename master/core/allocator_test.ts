import assert from "node:assert/strict";
import { ExtentPool, ExtentState, SegmentAllocator } from "./allocator.ts";
import { randomBelow, SeededRng } from "./rng.ts";

/** The same space as an array with one cell per unit. */
class CellModel {
  readonly #cells: Uint8Array;

  constructor(units: number) {
    this.#cells = new Uint8Array(units);
  }

  take(offset: number, units: number): void {
    for (let i = offset; i < offset + units; i++) {
      assert.equal(this.#cells[i], 0, `unit ${i} is somebody's`);
      this.#cells[i] = 1;
    }
  }

  give(offset: number, units: number): void {
    this.#cells.fill(0, offset, offset + units);
  }

  isFree(offset: number, units: number): boolean {
    return this.#cells.subarray(offset, offset + units).every((cell) => cell === 0);
  }

  longest(): number {
    let longest = 0;
    let run = 0;
    for (const cell of this.#cells) {
      run = cell === 0 ? run + 1 : 0;
      longest = Math.max(longest, run);
    }
    return longest;
  }
}

function walk(pool: ExtentPool, allocator: SegmentAllocator): void {
  let position = 0;
  let freeBefore = false;
  for (let extent = allocator.first; extent !== 0; extent = pool.after(extent)) {
    assert.equal(pool.offset(extent), position);
    position += pool.units(extent);
    const free = pool.state(extent) === ExtentState.FREE;
    assert(!(free && freeBefore), "free neighbours are merged");
    freeBefore = free;
  }
  assert.equal(position, allocator.totalUnits);
}

function fuzz(seed: number): void {
  const random = new SeededRng(seed);
  const below = (n: number) => randomBelow(random, n);
  const total = 50 + below(3000);
  const pool = new ExtentPool();
  const allocator = new SegmentAllocator(pool, 3, total);
  const model = new CellModel(total);
  const live: number[] = [];
  const longestWanted = 1 + below(total);
  if (seed % 2 === 0) allocator.followOffsets(true);
  for (let step = 0; step < 3000; step++) {
    const choice = below(10);
    if (choice < 4) {
      const units = 1 + below(longestWanted);
      const longest = model.longest();
      assert.equal(allocator.largestFree(), longest, `seed ${seed}`);
      const extent = allocator.allocate(units);
      if (extent === 0) {
        assert(longest < units || longest < 2 * units, `seed ${seed}: ${units} of ${longest}`);
        continue;
      }
      assert.equal(pool.units(extent), units);
      assert.equal(pool.segment(extent), 3);
      model.take(pool.offset(extent), units);
      live.push(extent);
    } else if (choice < 5) {
      const offset = below(total);
      const units = 1 + below(Math.min(20, total - offset));
      const free = model.isFree(offset, units);
      const extent = allocator.reserve(offset, units);
      assert.equal(extent !== 0, free, `seed ${seed}`);
      if (extent === 0) continue;
      assert.equal(pool.offset(extent), offset);
      model.take(offset, units);
      live.push(extent);
    } else if (live.length > 0) {
      const [extent] = live.splice(below(live.length), 1);
      model.give(pool.offset(extent), pool.units(extent));
      if (choice === 9) {
        const offset = pool.offset(extent);
        allocator.hold(extent, ExtentState.HELD, step);
        assert.equal(allocator.heldAt(offset), extent);
        assert.equal(pool.ticket(extent), step);
      }
      allocator.free(extent);
      assert(allocator.lastFreed >= 1);
    }
    if (step % 100 === 0) walk(pool, allocator);
  }
  const used = live.reduce((sum, extent) => sum + pool.units(extent), 0);
  assert.equal(allocator.usedUnits, used);
  assert.equal(allocator.freeUnits, total - used);
  for (const extent of live) allocator.free(extent);
  assert.equal(allocator.largestFree(), total, "everything comes together again");
  assert.equal(pool.records.live, 1);
}

Deno.test("extents never overlap and free space comes together, against an array of cells", () => {
  for (let seed = 1; seed <= 40; seed++) fuzz(seed);
});

Deno.test("an extent that has just been given back is found for the same size in a full segment", () => {
  const pool = new ExtentPool();
  for (const units of [1, 15, 16, 17, 100, 1023, 1024, 1025, 70_000]) {
    const allocator = new SegmentAllocator(pool, 0, units * 7);
    const extents = Array.from({ length: 7 }, () => allocator.allocate(units));
    assert.equal(allocator.allocate(units), 0);
    allocator.free(extents[4]);
    const offset = 4 * units;
    assert.equal(pool.offset(allocator.allocate(units)), offset);
  }
});

Deno.test("held space counts as neither used nor free", () => {
  const allocator = new SegmentAllocator(new ExtentPool(), 0, 100);
  const extent = allocator.allocate(60);
  allocator.hold(extent, ExtentState.DISCARDED, 1);
  assert.deepEqual([allocator.usedUnits, allocator.heldUnits, allocator.freeUnits], [0, 60, 40]);
  assert.equal(allocator.allocate(41), 0);
  allocator.free(extent);
  assert.deepEqual([allocator.usedUnits, allocator.heldUnits, allocator.freeUnits], [0, 0, 100]);
});

Deno.test("a segment of 2^32 - 1 units is counted exactly", () => {
  const pool = new ExtentPool();
  const allocator = new SegmentAllocator(pool, 0, 2 ** 32 - 1);
  const half = allocator.allocate(2 ** 31 + 5);
  const rest = allocator.allocate(2 ** 31 - 6);
  assert.equal(pool.offset(rest), 2 ** 31 + 5);
  assert.equal(allocator.freeUnits, 0);
  allocator.free(half);
  allocator.free(rest);
  assert.equal(allocator.largestFree(), 2 ** 32 - 1);
});

Deno.test("a closed segment gives up its extents one by one", () => {
  const pool = new ExtentPool();
  const allocator = new SegmentAllocator(pool, 0, 100);
  allocator.allocate(10);
  const held = allocator.allocate(10);
  allocator.hold(held, ExtentState.HELD, 1);
  allocator.close();
  assert.equal(allocator.allocate(1), 0);
  let dropped = 1;
  while (allocator.dropFirst() !== 0) dropped++;
  assert.equal(dropped, 3);
  assert.equal(pool.records.live, 0);
  assert.deepEqual([allocator.usedUnits, allocator.heldUnits], [0, 0]);
});

Deno.test("an empty segment holds nothing", () => {
  const allocator = new SegmentAllocator(new ExtentPool(), 0, 0);
  assert.equal(allocator.allocate(1), 0);
  assert.equal(allocator.reserve(0, 1), 0);
  assert.equal(allocator.largestFree(), 0);
});

Deno.test("what is set aside is not handed out, and comes back as if it never had been", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRng(seed);
    const below = (n: number) => randomBelow(random, n);
    const total = 100 + below(2000);
    const pool = new ExtentPool();
    const allocator = new SegmentAllocator(pool, 3, total);
    const model = new CellModel(total);
    const live: number[] = [];
    for (let step = 0; step < 2000; step++) {
      const choice = below(100);
      const { aside } = allocator;
      if (choice < 50) {
        const extent = allocator.allocate(1 + below(30));
        if (extent === 0) continue;
        const offset = pool.offset(extent);
        const end = offset + pool.units(extent);
        model.take(offset, pool.units(extent));
        assert(aside === null || end <= aside.start || offset >= aside.end, `seed ${seed}`);
        live.push(extent);
      } else if (choice < 98) {
        if (live.length === 0) continue;
        const [extent] = live.splice(below(live.length), 1);
        model.give(pool.offset(extent), pool.units(extent));
        allocator.free(extent);
      } else if (aside !== null) {
        allocator.endAside();
        walk(pool, allocator);
        assert.equal(allocator.largestFree(), model.longest(), `seed ${seed}`);
        assert(allocator.freeBound >= model.longest());
        assert(allocator.freeBound <= model.longest() * 17 / 16 + 1);
      } else {
        let first = allocator.first;
        for (let i = below(10); i > 0 && pool.after(first) !== 0; i--) first = pool.after(first);
        let last = first;
        for (let i = below(20); i > 0 && pool.after(last) !== 0; i--) last = pool.after(last);
        allocator.setAside(first, pool.offset(last) + pool.units(last));
        assert.equal(pool.offset(first), allocator.aside?.start);
      }
      assert.equal(
        pool.offset(allocator.aside?.first ?? allocator.first),
        allocator.aside?.start ?? 0,
      );
    }
    allocator.endAside();
    for (const extent of live) allocator.free(extent);
    assert.equal(allocator.largestFree(), total);
  }
});

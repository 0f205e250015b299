import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesOf } from "../../tests/support/core_driver.ts";
import { KeyArena } from "./key_arena.ts";
import { KeyHasher } from "./key_hash.ts";
import { KeyIndex } from "./key_index.ts";
import { ObjectFlag, ObjectTable } from "./objects.ts";
import { RecordPool } from "./records.ts";
import { randomBelow, SeededRng } from "./rng.ts";

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

Deno.test("the table finds what a Map finds, for keys of all lengths and two tenants", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = new SeededRng(seed);
    const below = (n: number) => randomBelow(random, n);
    const table = new ObjectTable(new KeyHasher(random));
    const model = new Map<string, number>();
    for (let step = 0; step < 20_000; step++) {
      const tenant = below(2);
      const length = below(10) === 0 ? 1 + below(6000) : 1 + below(200);
      const text = `${below(600)}`.padEnd(length, "x");
      const key = bytesOf(text);
      const padded = bytesOf(`__${text}__`);
      const slot = table.find(tenant, padded, 2, 2 + key.length);
      const name = `${tenant}:${text}`;
      assert.equal(slot, model.get(name) ?? 0, `seed ${seed}, key ${text}`);
      if (slot === 0) {
        model.set(name, table.insert(tenant, padded, 2, 2 + key.length));
      } else if (below(2) === 0) {
        table.erase(slot);
        model.delete(name);
      } else {
        assert.deepEqual(table.key(slot), key);
        assert.equal(table.tenant(slot), tenant);
      }
    }
    assert.equal(table.count, model.size);
    let present = 0;
    for (let slot = 1; slot < table.limit; slot++) if (table.has(slot)) present++;
    assert.equal(present, model.size);
  }
});

Deno.test("the fields of an object do not touch one another or another object's", () => {
  const table = new ObjectTable(new KeyHasher(new SeededRng(1)));
  const key = bytesOf("k");
  const other = table.insert(0, bytesOf("other"), 0, 5);
  const slot = table.insert(65_535, key, 0, 1);
  table.setSize(slot, 2 ** 53 - 1);
  table.setLeaseUntil(slot, 12345.5);
  table.setClient(slot, 7);
  table.setDataType(slot, 9);
  table.setList(slot, 4);
  table.set(slot, ObjectFlag.HARD_PIN | ObjectFlag.COMMITTED);
  table.setChecksum(slot, -1, 0x7fff_ffff);
  table.setSoftPinUntil(slot, 99);
  table.setSince(slot, 4_000_000_000);
  assert.equal(table.tenant(slot), 65_535);
  assert.equal(table.size(slot), 2 ** 53 - 1);
  assert.equal(table.leaseUntil(slot), 12345.5);
  assert.equal(table.client(slot), 7);
  assert.equal(table.dataType(slot), 9);
  assert.equal(table.list(slot), 4);
  assert.equal(table.checksum(slot), 0x7fff_ffff_ffff_ffffn);
  assert.equal(table.softPinUntil(slot), 99);
  assert.equal(table.since(slot), 4_000_000_000);
  table.clear(slot, ObjectFlag.HARD_PIN);
  table.setList(slot, 0);
  assert(table.is(slot, ObjectFlag.COMMITTED) && !table.is(slot, ObjectFlag.HARD_PIN));
  assert.equal(table.dataType(slot), 9);
  assert.deepEqual([table.size(other), table.leaseUntil(other), table.softPinUntil(other)], [
    ...[0, 0, 0],
  ]);
  table.erase(slot);
  const again = table.insert(1, key, 0, 1);
  assert.equal(again, slot);
  assert.deepEqual([table.size(again), table.client(again), table.softPinUntil(again)], [0, 0, 0]);
  assert.equal(table.checksum(again), null);
});

Deno.test("entries of the index survive each other's removal, even with equal hashes", () => {
  const random = new SeededRng(4);
  const index = new KeyIndex();
  const entries = new Map<number, number>();
  for (let step = 0; step < 60_000; step++) {
    const slot = 1 + randomBelow(random, 4000);
    const known = entries.get(slot);
    if (known !== undefined) {
      index.remove(known, slot);
      entries.delete(slot);
    } else {
      const hash = randomBelow(random, 3) === 0 ? 42 : (random.u32() & ~0xff) | 0;
      index.insert(hash, slot);
      entries.set(slot, hash);
    }
  }
  assert.equal(index.size, entries.size);
  for (const [slot, hash] of entries) {
    let found = index.seek(hash);
    while (found !== slot && found !== 0) found = index.seekNext();
    assert.equal(found, slot);
  }
  assert.throws(() => index.remove(1, 999_999), /not in the index/);
});

Deno.test("an index finds what was put into it, and nothing else, while it grows and shrinks", () => {
  const random = new SeededRng(9);
  const index = new KeyIndex();
  const hashes = [0];
  for (let slot = 1; slot < 200_000; slot++) {
    hashes.push(random.u32() | 0);
    index.insert(hashes[slot], slot);
  }
  const full = index.reservedBytes;
  for (let slot = 1; slot < hashes.length; slot += 2) index.remove(hashes[slot], slot);
  for (let slot = 1; slot < hashes.length; slot++) {
    let found = index.seek(hashes[slot]);
    while (found !== slot && found !== 0) found = index.seekNext();
    assert.equal(found, slot % 2 === 0 ? slot : 0);
  }
  for (let slot = 1; slot < hashes.length; slot += 2) index.insert(hashes[slot], slot);
  assert.equal(index.reservedBytes, full);
  for (let slot = 1; slot < hashes.length; slot++) index.remove(hashes[slot], slot);
  assert.equal(index.size, 0);
  for (const hash of hashes.slice(1)) assert.equal(index.seek(hash), 0);
});

Deno.test("space of released keys is used again", () => {
  const arena = new KeyArena();
  const keys = [1, 8, 9, 62, 512, 513, 4096, 4097, 100_000].map((length) =>
    viewOf(new Uint8Array(length).fill(length))
  );
  let reserved = 0;
  for (let round = 0; round < 200; round++) {
    const references = keys.map((key) => arena.store(key, 0, key.byteLength));
    references.forEach((reference, i) => {
      assert(arena.equals(reference, keys[i].byteLength, keys[i], 0));
    });
    references.forEach((reference, i) => arena.release(reference, keys[i].byteLength));
    if (round === 0) reserved = arena.reservedBytes;
  }
  assert(arena.reservedBytes <= reserved);
});

Deno.test("hashes depend on the seed, the tenant and every byte", () => {
  const hasher = new KeyHasher(new SeededRng(1));
  const other = new KeyHasher(new SeededRng(2));
  const key = bytesOf("0123456789abcdef0123456789abcde");
  const view = viewOf(key);
  const { length } = key;
  const hash = hasher.hash(0, view, 0, length);
  assert.notEqual(hash, other.hash(0, view, 0, length));
  assert.notEqual(hash, hasher.hash(1, view, 0, length));
  assert.notEqual(hash, hasher.hash(0, view, 0, length - 1));
  const seen = new Set([hash]);
  for (let i = 0; i < length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      key[i] ^= 1 << bit;
      seen.add(hasher.hash(0, view, 0, length));
      key[i] ^= 1 << bit;
    }
  }
  assert(seen.size >= 248, "249 hashes that differ, but for a chance of one in millions");
});

Deno.test("hashes of similar keys spread evenly over the tables of the index", () => {
  const hasher = new KeyHasher(new SeededRng(1));
  const counts = new Int32Array(1024);
  for (let i = 0; i < 102_400; i++) {
    const key = bytesOf(`sequence/${i}`);
    counts[hasher.hash(0, viewOf(key), 0, key.length) >>> 22]++;
  }
  assert(Math.max(...counts) < 160 && Math.min(...counts) > 50, "100 in each, give or take");
});

Deno.test("records are zero when they are handed out again", () => {
  const pool = new RecordPool(4);
  const first = pool.allocate();
  for (let field = 0; field < 4; field++) pool.setWord(first, field, 7);
  pool.release(first);
  const again = pool.allocate();
  assert.equal(again, first);
  assert.deepEqual([0, 1, 2, 3].map((field) => pool.word(again, field)), [0, 0, 0, 0]);
  assert.equal(pool.live, 1);
});

Deno.test("many keys are found as they are one by one, whatever is in the list", () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.tuple(fc.nat(2), fc.string({ minLength: 1, maxLength: 40 })), {
      selector: ([tenant, key]) => `${tenant} ${key}`,
      maxLength: 60,
    }),
    fc.array(fc.nat(200), { maxLength: 80 }),
    (present, drawn) => {
      const objects = new ObjectTable(new KeyHasher(new SeededRng(1)));
      for (const [tenant, key] of present) {
        const bytes = bytesOf(key);
        objects.insert(tenant, bytes, 0, bytes.length);
      }
      const keys = drawn.map((n) => present[n]?.[1] ?? `missing-${n}`).map(bytesOf);
      const bytes = new Uint8Array(keys.reduce((sum, key) => sum + key.length, 3));
      const starts = new Uint32Array(keys.length);
      const ends = new Uint32Array(keys.length);
      let at = 3;
      for (const [i, key] of keys.entries()) {
        bytes.set(key, at);
        starts[i] = at;
        ends[i] = at += key.length;
      }
      const slots = new Int32Array(keys.length);
      for (const tenant of [0, 1, 2]) {
        const list = { count: keys.length, starts, ends };
        objects.seekMany(tenant, bytes, list, slots, new Int32Array(keys.length));
        const found = slots.map((slot, i) =>
          objects.confirm(slot, tenant, bytes, starts[i], ends[i])
        );
        const expected = keys.map((_, i) => objects.find(tenant, bytes, starts[i], ends[i]));
        assert.deepEqual(Array.from(found), expected);
      }
    },
  ));
});

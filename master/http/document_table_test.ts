import assert from "node:assert/strict";
import { type Document, DocumentTable } from "./document_table.ts";
import { MetadataStore } from "./metadata_store.ts";

const encoder = new TextEncoder();

function test(name: string, fn: (path: string) => Promise<void>): void {
  const missing = DocumentTable.isAvailable ? "" : " (skipped: Deno runs without --unstable-kv)";
  Deno.test({
    name: `${name}${missing}`,
    ignore: missing !== "",
    fn: async () => {
      const directory = await Deno.makeTempDir({ prefix: "snowskin-tables-" });
      try {
        await fn(`${directory}/tables.kv`);
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

async function contents(path: string): Promise<Map<string, Document>> {
  const found = new Map<string, Document>();
  await using _table = await DocumentTable.open(path, (key, value) => {
    found.set(new TextDecoder().decode(key), value);
  });
  return found;
}

function bytes(length: number): Document {
  return new Uint8Array(length).map((_, i) => i * 31 + length);
}

test("documents of every size come back, the longest keys and values included", async (path) => {
  const sizes = [0, 1, 61_439, 61_440, 61_441, 800_000, 1 << 20];
  const longest = "k".repeat(4096);
  {
    await using table = await DocumentTable.open(path, () => assert.fail("nothing is there yet"));
    for (const size of sizes) await table.set(encoder.encode(`size/${size}`), bytes(size));
    await table.set(encoder.encode(longest), bytes(5));
  }
  const found = await contents(path);
  assert.equal(found.size, sizes.length + 1);
  for (const size of sizes) assert.deepEqual(found.get(`size/${size}`), bytes(size));
  assert.deepEqual(found.get(longest), bytes(5));
});

test("the last change of a document counts, also when it shrinks or goes", async (path) => {
  const key = encoder.encode("k");
  {
    await using table = await DocumentTable.open(path, () => {});
    void table.set(key, bytes(200_000));
    void table.set(key, bytes(10));
    void table.set(encoder.encode("gone"), bytes(100_000));
    void table.delete(encoder.encode("gone"));
    void table.delete(encoder.encode("never was"));
  }
  assert.deepEqual(Array.from(await contents(path)), [["k", bytes(10)]]);
  {
    await using table = await DocumentTable.open(path, () => {});
    await table.set(key, bytes(70_000));
  }
  assert.deepEqual(Array.from(await contents(path)), [["k", bytes(70_000)]]);
});

test("a metadata store has its documents again after a restart", async (path) => {
  const probe = () => Promise.resolve(false);
  const key = encoder.encode("mooncake/ram/node:1");
  const other = encoder.encode("mooncake/rpc_meta/node:1");
  {
    const store = new MetadataStore(probe);
    await using table = await DocumentTable.open(path, () => {});
    store.keepWith(table);
    assert.equal(await store.put(key, bytes(100)), "updated");
    assert.equal(await store.put(other, bytes(10)), "updated");
    assert.equal(await store.put(encoder.encode("x"), bytes(10)), "updated");
    assert.equal(await store.delete(encoder.encode("x")), true);
    assert.equal(store.forgetSegment("nobody"), 0);
  }
  {
    const store = new MetadataStore(probe);
    await using table = await DocumentTable.open(path, (k, v) => store.restore(k, v));
    store.keepWith(table);
    assert.equal(store.size, 2);
    assert.deepEqual(store.get(key), bytes(100));
    assert.equal(store.forgetSegment("node:1"), 2);
  }
  assert.equal((await contents(path)).size, 0);
});

Deno.test("a document that could not be written is reported as such", async () => {
  const store = new MetadataStore(() => Promise.resolve(false));
  const refuse = () => Promise.reject(new Error("no space"));
  store.keepWith({ set: refuse, delete: refuse });
  assert.equal(await store.put(encoder.encode("k"), bytes(1)), "not kept");
  assert.deepEqual(store.get(encoder.encode("k")), bytes(1));
});

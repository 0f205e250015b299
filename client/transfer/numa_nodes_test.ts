import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chooseNodes, chosenWord, hugePool, lockLimit, memoryNodes } from "./numa_nodes.ts";

/** A tree of system files in a folder, and what reads it. */
class Tree implements Disposable {
  readonly #root = mkdtempSync(join(tmpdir(), "numa-"));

  constructor(files: Record<string, string>) {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(this.#root + path), { recursive: true });
      writeFileSync(this.#root + path, text);
    }
  }

  readonly read = (path: string) => readFileSync(this.#root + path, "utf8");

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true });
  }
}

const fourNodes = {
  // Node 2 has processors only.
  "/sys/devices/system/node/has_memory": "0-1,3\n",
  "/proc/self/status": "Name:\tx\nMems_allowed:\t0b\nMems_allowed_list:\t0-3\n",
};

Deno.test("nodes are those with memory that this process may use", () => {
  using tree = new Tree(fourNodes);
  assert.deepEqual(memoryNodes(tree.read), [0, 1, 3]);
  using confined = new Tree({ ...fourNodes, "/proc/self/status": "Mems_allowed_list:\t1,3\n" });
  assert.deepEqual(memoryNodes(confined.read), [1, 3]);
  using none = new Tree({});
  assert.deepEqual(memoryNodes(none.read), []);
});

Deno.test("a setting names nodes", () => {
  using tree = new Tree(fourNodes);
  const choose = (numa: string) => chooseNodes(numa, tree.read);
  assert.deepEqual(choose("off"), { nodes: [], interleaved: false });
  assert.deepEqual(choose("split"), { nodes: [0, 1, 3], interleaved: false });
  assert.deepEqual(choose("interleave"), { nodes: [0, 1, 3], interleaved: true });
  assert.deepEqual(choose("3,0,3"), { nodes: [0, 3], interleaved: false });
  assert.throws(
    () => choose("0,2"),
    /^Error: there is no memory of NUMA node 2; allowed: 0, 1, 3$/,
  );
});

Deno.test("where the kernel shows no nodes, memory lies anywhere and a named node is refused", () => {
  using tree = new Tree({});
  assert.deepEqual(chooseNodes("split", tree.read), { nodes: [], interleaved: false });
  assert.deepEqual(chooseNodes("interleave", tree.read), { nodes: [], interleaved: false });
  assert.throws(() => chooseNodes("0", tree.read), /allowed: none: the kernel shows no NUMA nodes/);
});

Deno.test("pages that were promised to somebody are not free", () => {
  const folder = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  using tree = new Tree({
    [`${folder}/nr_hugepages`]: "100\n",
    [`${folder}/free_hugepages`]: "60\n",
    [`${folder}/resv_hugepages`]: "50\n",
  });
  assert.deepEqual(hugePool(2 << 20, tree.read), {
    ...{ path: `${folder}/nr_hugepages`, total: 100, free: 10 },
  });
  assert.equal(hugePool(2 ** 30, tree.read), null);
});

Deno.test("the kernel's choices and limits are read as they stand", () => {
  using tree = new Tree({
    "/choice": "always within_size [advise] never\n",
    "/proc/self/limits":
      "Limit        Soft Limit  Hard Limit  Units\nMax locked memory  8388608  unlimited  bytes\n",
  });
  assert.equal(chosenWord("/choice", tree.read), "advise");
  assert.equal(chosenWord("/other", tree.read), "");
  assert.equal(lockLimit(tree.read), 8 << 20);
  using unlimited = new Tree({ "/proc/self/limits": "Max locked memory  unlimited  unlimited" });
  assert.equal(lockLimit(unlimited.read), null);
});

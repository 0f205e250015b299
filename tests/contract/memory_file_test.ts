/** Nodes whose memory is a file, and nodes with a transport of its own, as processes. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { openFileMemory } from "../../client/transfer/file_memory.ts";
import { startMaster, startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";

const MIB = 1 << 20;
const probe = openLibrary();
const noShim = "unavailable" in probe ? probe.unavailable : null;
if ("close" in probe) probe.close();
const skipped = noShim === null ? "" : ` (skipped: ${noShim})`;

const value = Uint8Array.from({ length: 700_001 }, (_, i) => (i * 7) ^ (i >> 8));

async function fileOf(bytes: number, dir?: string): Promise<string> {
  const path = await Deno.makeTempFile(dir === undefined ? {} : { dir });
  await Deno.truncate(path, bytes);
  return path;
}

/** Whether `bytes` lie somewhere in a file. */
async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  const text = new TextDecoder("latin1");
  return text.decode(await Deno.readFile(path)).includes(text.decode(bytes));
}

for (const dir of [undefined, "/dev/shm"]) {
  const where = dir === undefined ? "a file" : "a file in memory";
  Deno.test({
    name: `a node lends ${where}: its bytes are the objects${skipped}`,
    ignore: noShim !== null,
    async fn() {
      const path = await fileOf(20 * MIB, dir);
      try {
        const { process: _master, address } = await startMaster();
        await using _ends = _master;
        for (const forceTcp of [false, true]) {
          await using node = await startNode(address, 16 * MIB, {
            flags: [`--memory_file=${path}`],
          });
          const shown = node.lines.find((line) => line.startsWith("store node ready"));
          assert(shown?.includes(`16.00 MiB of ${path} (file), tcp`), shown);
          const options = { masterServerAddress: address, forceTcp };
          await using client = await StoreClient.connect(options);
          assert.equal(await client.put(`k${forceTcp}`, value), "stored");
          assert.deepEqual(await client.get(`k${forceTcp}`), value);
          assert(await holds(path, value.subarray(0, 4096)));
          assert.equal((await Deno.stat(path)).size, 20 * MIB);
        }
      } finally {
        await Deno.remove(path);
      }
    },
  });
}

Deno.test({
  name: `a file that cannot be lent is one line${skipped}`,
  ignore: noShim !== null,
  async fn() {
    const path = await fileOf(MIB);
    try {
      using first = openFileMemory(path, MIB);
      assert.equal(first.kind, "file");
      const rows: [string, number, RegExp][] = [
        [path, MIB, /cannot be lent as memory: another process lends it$/],
        [path, 2 * MIB, /it has 1048576 bytes, and 2097152 are asked for$/],
        [path, 5000, /5000 bytes are asked for; allowed: multiples of 4096$/],
        ["/dev/null", MIB, /it is a device of another kind; allowed: a DAX device \(\/dev\/daxN/],
        ["/tmp", MIB, /^Error: "\/tmp" cannot be lent as memory: Is a directory$/],
        [`${path}.none`, MIB, /No such file or directory$/],
      ];
      for (const [name, bytes, line] of rows) {
        assert.throws(() => openFileMemory(name, bytes), line, name);
      }
      first[Symbol.dispose]();
      openFileMemory(path, 4096)[Symbol.dispose]();
    } finally {
      await Deno.remove(path);
    }
  },
});

async function libfabricAbsent(): Promise<string | null> {
  if (noShim !== null) return noShim;
  const { process: _master, address } = await startMaster();
  await using _ends = _master;
  try {
    const options = { masterServerAddress: address, protocol: "libfabric" };
    await (await StoreClient.connect(options))[Symbol.asyncDispose]();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

const noFabric = await libfabricAbsent();
Deno.test({
  name: `objects pass over libfabric to a node with it, and over TCP from clients without${
    noFabric === null ? "" : ` (skipped: ${noFabric})`
  }`,
  ignore: noFabric !== null,
  async fn() {
    const { process: _master, address } = await startMaster();
    await using _ends = _master;
    const flags = ["--protocol=libfabric", "--fabric_provider=tcp"];
    await using _node = await startNode(address, 16 * MIB, { flags });
    const fabric = { masterServerAddress: address, protocol: "libfabric" };
    await using over = await StoreClient.connect(fabric);
    await using plain = await StoreClient.connect({ masterServerAddress: address });
    assert.match(over.plugin!.name, /^libfabric\/tcp/);
    assert.equal(plain.plugin, null);
    assert.equal(await over.put("a", value), "stored");
    assert.deepEqual(await plain.get("a"), value);
    assert.equal(await plain.put("b", value), "stored");
    assert.deepEqual(await over.get("b"), value);
  },
});

import assert from "node:assert/strict";
import { sumSurveys, surveyMaps } from "./memory_maps.ts";

const MIB = 1 << 20;

// Two pieces of one region, one of the pool, and a mapping of somebody else.
const numaMaps = `7f0000000000 prefer=static:0 file=/memfd:snowskin-region dirty=512 N0=512 ` +
  `kernelpagesize_kB=4
7f0000200000 prefer:1 file=/memfd:snowskin-region dirty=512 mapmax=2 N0=12 N1=500 ` +
  `kernelpagesize_kB=4
7f1000000000 interleave:0-1 file=/memfd:snowskin-region huge dirty=3 N0=2 N1=1 ` +
  `kernelpagesize_kB=2048
7f2000000000 default file=/memfd:snowskin-region dirty=99 N0=99 kernelpagesize_kB=4
`;

function mapping(start: string, end: string, fields: Record<string, number>): string {
  const lines = Object.entries(fields).map(([name, kib]) => `${name}:   ${kib} kB\n`).join("");
  return `${start}-${end} rw-s 00000000 00:01 7 /memfd:snowskin-region (deleted)\nSize: 4 kB\n` +
    `${lines}ProtectionKey:         0\nVmFlags: rd wr sh mr mw me ms sd\n`;
}

const smaps = mapping("7f0000000000", "7f0000200000", {
  ...{ KernelPageSize: 4, Rss: 2048, ShmemPmdMapped: 2048, Locked: 0 },
}) + mapping("7f0000200000", "7f0000400000", {
  ...{ KernelPageSize: 4, Rss: 2048, ShmemPmdMapped: 0, Locked: 2048 },
}) + mapping("7f1000000000", "7f1000600000", {
  ...{ KernelPageSize: 2048, Rss: 0, Shared_Hugetlb: 0, Private_Hugetlb: 6144, Locked: 0 },
}) + mapping("7f2000000000", "7f2000100000", { KernelPageSize: 4, Rss: 396, Locked: 396 });

const range = (start: bigint, length: number) => ({ start, end: start + BigInt(length) });

Deno.test("bytes are counted by node and by page, for the ranges that are asked for", () => {
  const { nodes, pages, locked } = surveyMaps(
    [range(0x7f0000000000n, 4 * MIB), range(0x7f1000000000n, 6 * MIB)],
    numaMaps,
    smaps,
  );
  assert.deepEqual([...nodes], [[0, 2 * MIB + 12 * 4096 + 4 * MIB], [1, 500 * 4096 + 2 * MIB]]);
  assert.deepEqual(new Map(pages), new Map([[2 * MIB, 8 * MIB], [4096, 2 * MIB]]));
  assert.equal(locked, 2 * MIB);
});

Deno.test("a kernel without NUMA tells the pages only, and untouched memory is nowhere", () => {
  const survey = surveyMaps([range(0x7f0000200000n, 2 * MIB)], "", smaps);
  assert.deepEqual([...survey.nodes], []);
  assert.deepEqual([...survey.pages], [[4096, 2 * MIB]]);
  assert.deepEqual(surveyMaps([range(0x10000n, MIB)], numaMaps, smaps), {
    ...{ nodes: new Map(), pages: new Map(), locked: 0 },
  });
});

Deno.test("surveys add up", () => {
  const one = { nodes: new Map([[0, 5]]), pages: new Map([[4096, 5]]), locked: 1 };
  const other = { nodes: new Map([[0, 1], [1, 2]]), pages: new Map([[2 * MIB, 3]]), locked: 0 };
  assert.deepEqual(sumSurveys([one, other]), {
    nodes: new Map([[0, 6], [1, 2]]),
    pages: new Map([[4096, 5], [2 * MIB, 3]]),
    locked: 1,
  });
});

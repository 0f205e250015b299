import assert from "node:assert/strict";
import { Errno } from "../../ffi/errno.ts";
import type { NativeMemory, NativeMemoryOptions } from "../../ffi/native_engine.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { DEFAULT_PLACEMENT, type MemoryPlacement } from "./engine.ts";
import { registerOnHost } from "./host_memory.ts";

const GIB = 1024 ** 3;
const POOLS = "/sys/kernel/mm/hugepages/hugepages-";
const files: Record<string, string> = {
  "/sys/devices/system/node/has_memory": "0-1\n",
  "/proc/self/status": "Mems_allowed_list:\t0-1\n",
  "/proc/self/limits": "Max locked memory         8388608              8388608    bytes\n",
  [`${POOLS}2048kB/nr_hugepages`]: "7\n",
  [`${POOLS}2048kB/free_hugepages`]: "5\n",
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny\n",
};

function read(path: string): string {
  if (!Object.hasOwn(files, path)) throw new Error(`no file ${path}`);
  return files[path];
}

/** An engine that has what `fail` does not refuse, and what it was asked for. */
class FakeEngine {
  readonly asked: NonNullable<NativeMemoryOptions["host"]>[] = [];

  constructor(readonly fail: (options: NativeMemoryOptions) => number = () => 0) {}

  register(length: number, options: NativeMemoryOptions = {}): NativeMemory {
    this.asked.push(options.host!);
    const errno = this.fail(options);
    if (errno !== 0) throw new NativeError("mc_region_register", errno);
    return {
      ...{ id: 1, length, bytes: null, address: 4096n, remoteBase: null, lent: false },
      ...{ mapped: 4096n, mappedLength: length },
    };
  }
}

function place(engine: FakeEngine, placement: Partial<MemoryPlacement>, rdma = false) {
  const request = { length: GIB, publish: true, rdma };
  const wanted = { ...DEFAULT_PLACEMENT, ...placement };
  return registerOnHost(engine, { ...request, placement: wanted }, read).host;
}

Deno.test("nobody asked for anything: any node, no pool, nothing to say", () => {
  const engine = new FakeEngine();
  const { location, notes } = place(engine, {});
  assert.deepEqual({ location, notes }, { location: undefined, notes: [] });
  assert.deepEqual(engine.asked, [
    { nodes: [], interleaved: false, pageShift: 0, smallPages: false, locked: false },
  ]);
});

Deno.test("a location names the nodes and the page, as segment documents do", () => {
  const location = (placement: Partial<MemoryPlacement>) =>
    place(new FakeEngine(), placement).location;
  assert.equal(location({ numa: "1" }), "cpu:1");
  assert.equal(location({ numa: "split" }), "segments:4096:0,1");
  assert.equal(location({ numa: "1,0", hugepages: "2mb" }), "segments:2097152:0,1");
  assert.equal(location({ numa: "interleave" }), "*");
});

Deno.test("the next smaller pages are taken with a line each, down to ordinary ones", () => {
  const engine = new FakeEngine(({ host }) =>
    host!.pageShift === 30 ? Errno.EOPNOTSUPP : host!.pageShift === 21 ? Errno.ENOMEM : 0
  );
  const { notes } = place(engine, { hugepages: "1gb", lockMemory: true });
  assert.deepEqual(engine.asked.map(({ pageShift }) => pageShift), [30, 21, 0]);
  assert(engine.asked.every(({ locked }) => locked));
  assert.deepEqual(notes, [
    "the kernel has no pool of 1 GiB pages: 2 MiB pages are used instead",
    "5 of 7 pages in the pool of 2 MiB pages are free and a segment needs 513: transparent huge " +
    `pages are used instead (as root: echo N > ${POOLS}2048kB/nr_hugepages)`,
    "memory lies in ordinary pages, since /sys/kernel/mm/transparent_hugepage/shmem_enabled is " +
    "never (as root: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled)",
  ]);
});

Deno.test("what cannot be locked, placed or pinned is refused on one line", () => {
  const refused = (errno: number, placement: Partial<MemoryPlacement>, rdma = false) => {
    const engine = new FakeEngine(() => errno);
    let message = "";
    assert.throws(() => place(engine, placement, rdma), (error) => {
      message = (error as Error).message;
      return !message.includes("\n");
    });
    return message;
  };
  const limit = /RLIMIT_MEMLOCK allows 8\.0 MiB \(more with ulimit -l, LimitMEMLOCK=/;
  const locked = refused(Errno.EPERM, { hugepages: "2mb", lockMemory: true });
  assert.match(locked, /^1024\.0 MiB of memory cannot be had: it cannot be locked, /);
  assert.match(locked, limit);
  assert.match(refused(Errno.ENOMEM, {}, true), limit);
  assert.match(refused(Errno.ENOMEM, {}), /had: the system has not that much$/);
  assert.match(refused(Errno.ENODEV, { numa: "1" }), /cannot be placed on these NUMA nodes$/);
  assert.match(refused(Errno.ENOSPC, {}), /had: ENOSPC$/);
});

/** Values in memory of devices: put, get and checksums, within a process and between processes. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import { freePort, startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { crc32c } from "../../proto/crc32c.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { fill, same } from "../contract/engine_pair.ts";
import { LazyMaster, ourMaster } from "../support/masters.ts";
import { TextLineStream } from "../support/text_lines.ts";
import { findWheel } from "../support/wheel.ts";
import { deviceEnv, deviceTest, endDevices, isStandIn } from "./driver.ts";

const MIB = 1 << 20;
const SIZES = [1, 4095, 65536, MIB + 1, 5 * MIB + 3, 16 * MIB];
const STANDING = /\(.+; tested on a stand-in for the driver\)/;

const WHEEL_PROGRAM = `
import sys
from mooncake.store import MooncakeDistributedStore
store = MooncakeDistributedStore()
assert store.setup("127.0.0.1", "P2PHANDSHAKE", 0, 32 << 20, "tcp", "", sys.argv[1]) == 0
said = []
for size in (1, 70001, 5 << 20):
    value = bytes((i * 31 + (i >> 8)) & 255 for i in range(size))
    assert store.put("wheel", value) == 0
    said.append("right" if store.get("wheel") == value else "wrong")
    assert store.remove("wheel", True) == 0
print(*said)
`;

const wheel = await findWheel();
const wheelAbsent = "reason" in wheel ? `the wheel: ${wheel.reason}` : null;
const master = new LazyMaster(ourMaster);
Deno.test.afterAll(async () => {
  await master.stop();
  endDevices();
});

function openEngine(): NativeTransferEngine {
  const library = openLibrary();
  if ("unavailable" in library) throw new Error(library.unavailable);
  return new NativeTransferEngine(library);
}

function valueOf(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(length);
  fill(value, seed);
  return value;
}

async function connect(options: Parameters<typeof StoreClient.connect>[0] = {}) {
  const { address } = await master.get();
  return await StoreClient.connect({
    ...{ masterServerAddress: address, engine: "native" as const, localBufferSize: 64 * MIB },
    ...options,
  });
}

for (const sameHost of [false, true]) {
  deviceTest(
    `bytes go between two engines, ${sameHost ? "as on one host" : "over TCP"}`,
    async (location) => {
      await using server = openEngine();
      await using client = openEngine();
      const bytes = 17 * MIB;
      const remote = server.allocate(bytes, { publish: true, location });
      const local = client.allocate(bytes, { location });
      const { port } = await server.listen({ host: "127.0.0.1" });
      const localName = sameHost ? server.localName : "";
      const peer = client.openPeer({ host: "127.0.0.1", port, protocolVersion: 2, localName });
      assert.throws(() => remote.bytes, /Memory of cuda:0 cannot be touched/);
      for (const [i, length] of SIZES.entries()) {
        const at = 3 + i;
        const value = valueOf(length, i);
        local.device!.write(at, value);
        const op = { peer, remoteAddress: remote.remoteBase! + BigInt(at), length, local };
        assert.equal(await client.transferOne({ ...op, opcode: 1, localOffset: at }), 0);
        const stored = new Uint8Array(length);
        remote.device!.read(at, stored);
        assert(same(stored, value), `${length} bytes written`);
        assert.equal(remote.device!.crc32c(at, at + length, 0), crc32c(value, 0, length));

        const ordinary = new Uint8Array(length);
        const toHost = { ...op, opcode: 0 as const, local: ordinary, localOffset: 0 };
        assert.equal(await client.transferOne(toHost), 0);
        assert(same(ordinary, value), `${length} bytes read`);
        assert.equal(await client.transferOne({ ...op, opcode: 0, localOffset: at + 1 }), 0);
        const back = new Uint8Array(length);
        local.device!.read(at + 1, back);
        assert(same(back, value), `${length} bytes read into the device`);
      }
    },
  );
}

deviceTest("a node lends memory of a device to clients of other processes", async (location) => {
  const { address } = await master.get();
  const httpPort = await freePort();
  await using node = await startNode(address, 96 * MIB, {
    flags: [`--device_memory=${location}`, `--http_port=${httpPort}`],
    env: deviceEnv,
  });
  const ready = await node.line(/store node ready/);
  assert.match(ready, /96\.00 MiB of cuda:0/);
  assert.match(ready, STANDING);
  if (isStandIn) assert.match(ready, /Snowskin stand-in, no GPU/);

  for (const forceTcp of [false, true]) {
    await using client = await connect({ forceTcp });
    for (const [i, length] of SIZES.entries()) {
      const key = `value/${forceTcp}/${length}`;
      const value = valueOf(length, i);
      await client.put(key, value);
      const got = await client.get(key);
      assert(got !== null && same(got, value), key);
      if (length > 4000) {
        const part = new Uint8Array(1000);
        await client.getIntoRanges(key, [{ offset: 1777, length: 1000, target: part }]);
        assert(same(part, value.subarray(1777, 2777)), `a part of ${key}`);
      }
      await client.remove(key, { force: true });
    }
    using buffer = client.allocateBuffer(5 * MIB + 1, { location });
    const value = valueOf(5 * MIB + 1, 77);
    buffer.device!.write(0, value);
    await client.put(`device/${forceTcp}`, buffer);
    buffer.device!.write(0, new Uint8Array(5 * MIB + 1));
    await client.getInto(`device/${forceTcp}`, buffer);
    const back = new Uint8Array(5 * MIB + 1);
    buffer.device!.read(0, back);
    assert(same(back, value), "from device to device");
    assert.equal(client.checksumMismatches, 0);
    // By the driver's handle for other processes there is no connection.
    const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
    const connections = Number(/^snowskin_node_connections (\d+)$/m.exec(metrics)![1]);
    assert.equal(connections > 0, forceTcp, `${connections} connections`);
  }
});

deviceTest(
  "a client that was killed with memory of a device open costs nothing",
  async (location) => {
    const { address } = await master.get();
    const node = await connect({ globalSegmentSize: 32 * MIB, deviceMemory: location });
    const reader = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", new URL("./reader_main.ts", import.meta.url).pathname, address],
      env: deviceEnv,
      ...{ stdin: "piped", stdout: "piped", stderr: "null" },
    }).spawn();
    await node.put("kept", valueOf(MIB, 4));
    const lines = reader.stdout.pipeThrough(new TextLineStream()).getReader();
    assert.equal((await lines.read()).value, "read");
    assert.equal(node.transferStats().connections, 0);
    reader.kill("SIGKILL");
    await reader.status;
    await lines.cancel();
    await reader.stdin.abort().catch(() => {});
    const begun = performance.now();
    await node.close();
    assert(performance.now() - begun < 1500, "the memory was waited for");
  },
);

deviceTest("the wheel uses memory of a device that a node lends", async (location) => {
  assert("python" in wheel);
  const { address } = await master.get();
  await using _node = await startNode(address, 32 * MIB, {
    flags: [`--device_memory=${location}`],
    env: deviceEnv,
  });
  const { success, stdout, stderr } = await new Deno.Command(wheel.python, {
    args: ["-B", "-c", WHEEL_PROGRAM, address],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert(success && /^right right right$/m.test(text), text + new TextDecoder().decode(stderr));
}, wheelAbsent);

deviceTest("values go from device buffers and into them", async (location) => {
  await using node = await connect({ globalSegmentSize: 64 * MIB, localBufferSize: 0 });
  await using client = await connect();
  assert.equal(node.device, null);
  using source = client.allocateBuffer(16 * MIB, { location });
  using target = client.allocateBuffer(16 * MIB + 8, { location });
  assert.throws(() => source.bytes, /Memory of cuda:0 cannot be touched/);
  for (const [i, length] of SIZES.entries()) {
    const key = `buffer/${length}`;
    const value = valueOf(length, i + 20);
    source.device!.write(0, value);
    await client.put(key, source.slice(0, length));
    const plain = await client.get(key);
    assert(plain !== null && same(plain, value), key);
    assert.equal(await client.getInto(key, target.slice(5, length)), length);
    const got = new Uint8Array(length);
    target.device!.read(5, got);
    assert(same(got, value), `${key} read into the device`);
    await client.remove(key, { force: true });
  }
  assert.equal(client.checksumMismatches, 0);

  // What another library has allocated is used in place.
  const value = valueOf(MIB, 99);
  target.device!.write(100, value);
  const theirs = client.useDeviceMemory(location, target.device!.address + 100n, MIB);
  await client.put("theirs", theirs);
  const got = await client.get("theirs");
  assert(got !== null && same(got, value));
  theirs[Symbol.dispose]();
  const kept = new Uint8Array(MIB);
  target.device!.read(100, kept);
  assert(same(kept, value), "the owner's memory is still there");
});

deviceTest("a client that lends memory of a device uses its own", async (location) => {
  await using client = await connect({ globalSegmentSize: 48 * MIB, deviceMemory: location });
  assert.equal(client.device?.location, location);
  using buffer = client.allocateBuffer(MIB, { location });
  const value = valueOf(MIB, 7);
  buffer.device!.write(0, value);
  for (const [key, given] of [["own/host", value], ["own/device", buffer]] as const) {
    await client.put(key, given);
    const got = await client.get(key);
    assert(got !== null && same(got, value), key);
    await client.remove(key, { force: true });
  }
});

deviceTest("what cannot be had is refused in one line", async (location) => {
  const refused = async (
    options: Parameters<typeof StoreClient.connect>[0],
    pattern: RegExp,
  ): Promise<void> => {
    await assert.rejects(connect(options), (error: Error) => {
      assert.match(error.message, pattern);
      assert(!error.message.includes("\n"), error.message);
      return true;
    });
  };
  const some = { globalSegmentSize: 4 * MIB };
  await refused({ ...some, deviceMemory: "gpu" }, /deviceMemory="gpu" is refused; .*cuda:N/);
  await refused(
    { ...some, deviceMemory: "cuda:77" },
    /"cuda:77" cannot be used: there is no cuda:77/,
  );
  await refused(
    { ...some, deviceMemory: location, engine: "typescript" },
    /Memory of cuda:0 needs the engine in C/,
  );
  await refused(
    { globalSegmentSize: "1tb", deviceMemory: location },
    /bytes of cuda:0 cannot be had: it has not that much free memory/,
  );

  await using client = await connect();
  const invalid = { code: ErrorCode.INVALID_PARAMS };
  assert.throws(() => client.allocateBuffer(64, { location: "cuda:77" }), invalid);
  assert.throws(() => client.allocateBuffer(0, { location }), RangeError);
  assert.throws(() => client.useDeviceMemory(location, 4096n, 64), invalid);
  assert.throws(() => client.useDeviceMemory(location, 0n, 64), RangeError);
  const buffer = client.allocateBuffer(64, { location });
  assert.throws(() => buffer.device!.read(60, new Uint8Array(5)), RangeError);
  assert.throws(() => client.useDeviceMemory(location, buffer.device!.address, 1 << 30), invalid);
  buffer[Symbol.dispose]();
  assert.throws(() => buffer.device, TypeError);
});

Deno.test("a node without the driver's library ends with one line that names it", async () => {
  const { address } = await master.get();
  for (
    const [flags, pattern] of [
      [
        ["--device_memory=cuda:0", "--segment_size=4mb"],
        /"cuda:0" cannot be used: .*libcuda-absent\.so cannot be loaded \(INVALID_PARAMS/,
      ],
      [["--device_memory=cuda:0"], /memory of cuda:0 is lent only with --segment_size$/],
    ] as const
  ) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "client/node/main.ts", `--master=${address}`, ...flags],
      cwd: new URL("../../", import.meta.url),
      env: { NO_COLOR: "1", SNOWSKIN_CUDA_LIBRARY: "/libcuda-absent.so" },
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.notEqual(code, 0);
    assert.match(new TextDecoder().decode(stderr).trim(), pattern);
  }
});

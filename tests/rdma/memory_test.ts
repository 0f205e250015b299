/** RDMA with memory of a device, a stand-in's. */
import assert from "node:assert/strict";
import { compile, nativeFolder } from "../../ffi/build.ts";
import { buildDeviceStandIns } from "../support/device_stand_ins.ts";
import { GuestMaster, guestTest, pattern, sentPackets } from "./guest.ts";

const MIB = 1 << 20;

guestTest("buffers on a device without dma-buf are staged, lending it is refused", async () => {
  using standIns = buildDeviceStandIns();
  for (const [name, value] of Object.entries(standIns.env)) Deno.env.set(name, value);
  await using master = await GuestMaster.start();
  await assert.rejects(
    master.client("rxe1", { globalSegmentSize: 4 * MIB, deviceMemory: "cuda:0" }),
    /4194304 bytes of cuda:0 cannot be had: its driver or an RDMA device has no dma-buf/,
  );
  const node = await master.client("rxe1", { globalSegmentSize: 32 * MIB, localBufferSize: 0 });
  const client = await master.client("rxe0");
  try {
    const before = sentPackets("rxe0");
    for (const size of [1, 4096, 2 * MIB + 7]) {
      using buffer = client.allocateBuffer(size, { location: "cuda:0" });
      buffer.device!.write(0, pattern(size));
      await client.put(`s${size}`, buffer);
      assert.deepEqual(await client.get(`s${size}`), pattern(size));
      buffer.device!.write(0, new Uint8Array(size));
      assert.equal(await client.getInto(`s${size}`, buffer), size);
      const got = new Uint8Array(size);
      buffer.device!.read(0, got);
      assert.deepEqual(got, pattern(size));
    }
    assert(sentPackets("rxe0") - before > 500, "the bytes did not go through rxe0");
  } finally {
    await client.close();
    await node.close();
  }
});

guestTest("stand-in for dma-buf: memory of a device is lent and used over RDMA", async () => {
  using standIns = buildDeviceStandIns();
  const folder = Deno.makeTempDirSync();
  try {
    const library = `${folder}/libibverbs.so.1`;
    const failure = compile([
      ...["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library],
      `${nativeFolder()}tests/stand_in/fake_dmabuf.c`,
      "-l:libibverbs.so.1",
    ]);
    assert.equal(failure, null);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", new URL("./dmabuf_main.ts", import.meta.url).pathname],
      env: { ...standIns.env, SNOWSKIN_VERBS_LIBRARY: library },
    }).output();
    const told = new TextDecoder().decode(stderr);
    assert.match(told, /stand-in for libibverbs.so.1: there is no dma-buf behind it/);
    const { device, right, packets } = JSON.parse(new TextDecoder().decode(stdout));
    assert.match(device, /stand-in/);
    assert.equal(right, 3, told);
    for (const count of packets) assert(count > 200, `packets sent: ${packets}`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

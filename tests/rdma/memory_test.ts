/** RDMA with memory that is not the engine's own: of the caller, and of a device (a stand-in's). */
import assert from "node:assert/strict";
import { TransferEngine } from "../../te.ts";
import { guestTest, pattern, sentPackets } from "./guest.ts";
import { master } from "./shared_master.ts";
import { cudaStandIn, dmabufStandIns } from "./stand_ins.ts";

const MIB = 1 << 20;
const program = new URL("./dmabuf_main.ts", import.meta.url).pathname;

guestTest("arrays of the caller are lent and used over RDMA", async () => {
  const patience = { transferTimeoutMs: 60_000, handshakeTimeoutMs: 60_000 };
  const common = { protocol: "rdma" as const, ...patience };
  await using owner = await TransferEngine.initialize({ ...common, deviceName: "rxe1" });
  await using user = await TransferEngine.initialize({ ...common, deviceName: "rxe0" });
  const theirs = pattern(3 * MIB);
  // It begins where no page does.
  const memory = await owner.registerMemory(theirs.subarray(1000, 2 * MIB + 1000));
  const mine = new Uint8Array(2 * MIB + 77);
  const local = await user.registerMemory(mine.subarray(77));
  const segment = await user.openSegment(owner.localName);
  const before = ["rxe0", "rxe1"].map(sentPackets);
  const request = { segment, remoteAddress: memory.address };
  assert.deepEqual(await user.transferSync([{ ...request, opcode: "read", local }]), [0]);
  assert.deepEqual(mine.subarray(77), theirs.subarray(1000, 2 * MIB + 1000));
  mine.subarray(77).fill(9);
  assert.deepEqual(await user.transferSync([{ ...request, opcode: "write", local }]), [0]);
  assert(theirs.subarray(1000, 2 * MIB + 1000).every((byte) => byte === 9));
  assert.deepEqual(theirs.subarray(0, 1000), pattern(1000));
  const sent = ["rxe0", "rxe1"].map((device, i) => sentPackets(device) - before[i]);
  for (const packets of sent) assert(packets > 400, `packets sent: ${sent}`);

  // What nobody registered passes through a buffer.
  const other = new Uint8Array(100_001);
  assert.deepEqual(await user.transferSync([{ ...request, opcode: "read", local: other }]), [0]);
  assert(other.every((byte) => byte === 9));
  await owner.unregisterMemory(memory);
  const [code] = await user.transferSync([{ ...request, opcode: "read", local: other }]);
  assert.notEqual(code, 0);
});

guestTest("buffers on a device without dma-buf are staged, lending it is refused", async () => {
  for (const [name, value] of Object.entries(cudaStandIn())) Deno.env.set(name, value);
  await assert.rejects(
    master!.client("rxe1", { globalSegmentSize: 4 * MIB, deviceMemory: "cuda:0" }),
    /4194304 bytes of cuda:0 cannot be had: its driver or an RDMA device has no dma-buf/,
  );
  const node = await master!.client("rxe1", { globalSegmentSize: 32 * MIB, localBufferSize: 0 });
  const client = await master!.client("rxe0");
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
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", program, master!.address],
    env: dmabufStandIns(),
  }).output();
  const told = new TextDecoder().decode(stderr);
  assert.match(told, /stand-in for libibverbs.so.1: there is no dma-buf behind it/);
  const { device, right, packets } = JSON.parse(new TextDecoder().decode(stdout));
  assert.match(device, /stand-in/);
  assert.equal(right, 3, told);
  for (const count of packets) assert(count > 200, `packets sent: ${packets}`);
});

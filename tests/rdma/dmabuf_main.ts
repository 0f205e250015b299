/**
 * Lends memory of the stand-in for CUDA over RDMA and uses it from buffers there; prints what came of
 * it. `memory_test.ts` runs it with a stand-in for libibverbs.
 */
import { GuestMaster, pattern, sentPackets } from "./guest.ts";

const MIB = 1 << 20;
await using master = await GuestMaster.start();
const location = "cuda:0";
const node = await master.client("rxe1", {
  ...{ globalSegmentSize: 32 * MIB, localBufferSize: 0, deviceMemory: location },
});
const client = await master.client("rxe0");
const before = ["rxe0", "rxe1"].map(sentPackets);
let right = 0;
for (const size of [1, 4096, MIB + 7]) {
  using source = client.allocateBuffer(size + 3, { location });
  using target = client.allocateBuffer(size, { location });
  source.device!.write(3, pattern(size));
  await client.put(`d${size}`, source.slice(3, size));
  if (await client.getInto(`d${size}`, target) !== size) continue;
  const got = new Uint8Array(size);
  target.device!.read(0, got);
  if (got.every((byte, i) => byte === pattern(size)[i])) right++;
}
const packets = ["rxe0", "rxe1"].map((device, i) => sentPackets(device) - before[i]);
console.log(JSON.stringify({ device: node.device?.name, right, packets }));
await client.close();
await node.close();

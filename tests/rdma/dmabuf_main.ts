/**
 * Lends memory of the stand-in for CUDA over RDMA and uses it from buffers there; prints what came of
 * it. `memory_test.ts` runs it with a stand-in for libibverbs. Started as: dmabuf_main.ts MASTER
 */
import { guestClient, pattern, sentPackets } from "./guest.ts";

const MIB = 1 << 20;
const [master] = Deno.args;
const location = "cuda:0";
const node = await guestClient(master, "rxe1", {
  ...{ globalSegmentSize: 8 * MIB, localBufferSize: 0, deviceMemory: location },
});
const client = await guestClient(master, "rxe0");
const before = ["rxe0", "rxe1"].map(sentPackets);
let right = 0;
for (const size of [1, 4096, MIB + 7]) {
  const value = pattern(size);
  using source = client.allocateBuffer(size + 3, { location });
  using target = client.allocateBuffer(size, { location });
  source.device!.write(3, value);
  await client.put(`d${size}`, source.slice(3, size));
  if (await client.getInto(`d${size}`, target) !== size) continue;
  const got = new Uint8Array(size);
  target.device!.read(0, got);
  if (got.every((byte, i) => byte === value[i])) right++;
}
const packets = ["rxe0", "rxe1"].map((device, i) => sentPackets(device) - before[i]);
console.log(JSON.stringify({ device: node.device?.name, right, packets }));
await client.close();
await node.close();

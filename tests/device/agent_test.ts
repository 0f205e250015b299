/** Agents whose memory is that of a device. */
import assert from "node:assert/strict";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import { openLibrary } from "../../ffi/library.ts";
import { EngineCode, TransferAgent } from "../../te.ts";
import { fill, same } from "../contract/engine_pair.ts";
import { engineError } from "../contract/te_suite.ts";
import { deviceTest, endDevices } from "./driver.ts";

const MIB = 1 << 20;
Deno.test.afterAll(endDevices);

deviceTest("agents move bytes between memory of devices", async (location) => {
  const library = openLibrary();
  if ("unavailable" in library) throw new Error(library.unavailable);
  // Stands for a framework that has allocated memory of the device.
  await using framework = new NativeTransferEngine(library);
  using near = framework.allocate(MIB, { location });
  using far = framework.allocate(2 * MIB, { location });
  const value = new Uint8Array(MIB);
  fill(value, 1);
  near.device!.write(0, value);

  await using a = await TransferAgent.open("a", { forceTcp: true });
  await using b = await TransferAgent.open("b", { forceTcp: true });
  const { address } = near.device!;
  const mine = await a.registerMemory([{ address, length: MIB, deviceId: 0 }], "VRAM");
  const theirs = await b.registerMemory([
    { address: far.device!.address, length: 2 * MIB, deviceId: 0 },
  ], "VRAM");
  assert.equal(mine.descriptors[0].address, address);
  assert.throws(() => mine.memory[0].bytes, /cannot be touched/);
  a.addRemoteAgent(b.getMetadata());
  const upper = {
    ...theirs.descriptors[0],
    address: theirs.descriptors[0].address + 7n,
    length: MIB,
  };
  const write = a.initializeTransfer("write", mine, { type: "VRAM", descriptors: [upper] }, "b", {
    notification: "written",
  });
  a.post(write);
  assert.equal(await write.wait(), "done", write.error?.message);
  assert.equal(b.takeNotification("a", "written"), true);
  const there = new Uint8Array(MIB);
  far.device!.read(7, there);
  assert(same(there, value));
  assert.equal(a.hasRemoteAgent("b", { type: "DRAM", descriptors: [upper] }), false);
  await assert.rejects(
    a.registerMemory([{ address: 1n << 40n, length: MIB, deviceId: 9 }], "VRAM"),
    engineError(EngineCode.METADATA, /^Cannot register memory: [^\n]*cuda:9/),
  );
});

/** Segments of files on real NVMe over fabrics: the kernel's target and initiator, over TCP and RDMA. */
import assert from "node:assert/strict";
import { crc32c } from "../../proto/crc32c.ts";
import {
  EngineCode,
  type Segment,
  TransferEngine,
  type TransferEngineOptions,
  type TransferRequest,
} from "../../te.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { command, guestTest, inGuest, pattern } from "./guest.ts";
import {
  deliverPackets,
  DISK_BYTES,
  loadModules,
  losePackets,
  Namespace,
} from "./nvmeof_targets.ts";

const MIB = 1 << 20;
/** Bytes that are compared. */
const SHARED = MIB;
const reason = inGuest ? loadModules() : "";
const nvmeTest = (name: string, fn: () => Promise<void>) =>
  guestTest(name, fn, reason === null, reason ?? "");

let port = 22_000;
const engineAt = (metadata: string, options: TransferEngineOptions = {}) =>
  TransferEngine.initialize({
    ...{ metadata, localServerName: `127.0.0.1:${port++}`, protocol: "nvmeof", ...options },
    ...{ transferTimeoutMs: 120_000, handshakeTimeoutMs: 60_000 },
  });

nvmeTest("two initiators and the target's own host share a namespace, byte for byte", async () => {
  const first = await Namespace.attach("kv-a", "/dev/ram0");
  const second = await Namespace.attach("kv-b", "/dev/ram0", "rdma");
  assert.notEqual(first.device, second.device);
  console.log(`  /dev/ram0 is ${first.device} over NVMe/TCP, ${second.device} over NVMe/RDMA`);
  await using store = await ReferenceMetadata.start();
  await using owner = await engineAt(store.url);
  await using a = await engineAt(store.url);
  await using b = await engineAt(store.url, { localPaths: { "/dev/ram0": second.device } });
  await owner.registerFiles("nvmeof/pool", [
    { path: "/dev/ram0", localPaths: { [a.localName]: first.device } },
  ]);
  const hosts: { engine: TransferEngine; segment: Segment }[] = [];
  for (const engine of [a, b, owner]) {
    const segment = await engine.openSegment("nvmeof/pool");
    assert.deepEqual(segment.buffers, [{ address: 0n, length: DISK_BYTES }]);
    hosts.push({ engine, segment });
  }
  const expected = new Uint8Array(SHARED);
  // Whole pages, pieces of pages that the others have read just before, and both.
  const ranges = [[0, SHARED], [4096, 8192], [100, 50], [4090, 12], [5000, 100_001], [511, 2]];
  for (const [i, [at, length]] of ranges.entries()) {
    const local = pattern(length).map((byte) => byte + i * 7);
    expected.set(local, at);
    const sum = crc32c(expected, 0, SHARED);
    const writer = hosts[i % hosts.length];
    const place = { segment: writer.segment, remoteAddress: BigInt(at), local };
    assert.deepEqual(await writer.engine.transferSync([{ opcode: "write", ...place }]), [0]);
    for (const { engine, segment } of hosts) {
      const local = new Uint8Array(SHARED);
      const read: TransferRequest = { opcode: "read", segment, remoteAddress: 0n, local };
      assert.deepEqual(await engine.transferSync([read]), [0]);
      assert.equal(crc32c(local, 0, SHARED), sum, `${length} bytes at ${at}`);
    }
  }
  const { engine, segment } = hosts[0];
  const beyond = { opcode: "read", segment, remoteAddress: BigInt(DISK_BYTES) } as const;
  assert.deepEqual(await engine.transferSync([{ ...beyond, local: new Uint8Array(1) }]), [
    EngineCode.ADDRESS_NOT_REGISTERED,
  ]);
});

nvmeTest("files of a file system on a namespace, for reading alone where that is so", async () => {
  const { device } = await Namespace.attach("kv-fs", "/dev/ram1");
  const folder = Deno.makeTempDirSync({ prefix: "nvmeof-" });
  command(`mkfs.ext4 -q -b 4096 ${device} && mount ${device} ${folder}`);
  const path = `${folder}/kv`;
  const content = pattern(MIB + 5);
  Deno.writeFileSync(path, content);
  await using store = await ReferenceMetadata.start();
  await using owner = await engineAt(store.url);
  await owner.registerFiles("nvmeof/files", [{ path }]);
  const local = new Uint8Array(content.length);
  {
    const segment = await owner.openSegment("nvmeof/files");
    const request = { segment, remoteAddress: 0n, local };
    assert.deepEqual(await owner.transferSync([{ ...request, opcode: "read" }]), [0]);
    assert.equal(crc32c(local, 0, local.length), crc32c(content, 0, content.length));
    content.fill(9, 4000, MIB);
    const part = { local: content.subarray(4000, MIB), remoteAddress: 4000n };
    assert.deepEqual(await owner.transferSync([{ ...request, ...part, opcode: "write" }]), [0]);
    owner.closeSegment(segment);
  }
  command(`umount ${folder} && mount -o ro ${device} ${folder}`);
  const segment = await owner.openSegment("nvmeof/files");
  const request = { segment, remoteAddress: 0n, local };
  assert.deepEqual(await owner.transferSync([{ ...request, opcode: "read" }]), [0]);
  assert.equal(crc32c(local, 0, local.length), crc32c(content, 0, content.length));
  assert.deepEqual(await owner.transferSync([{ ...request, opcode: "write" }]), [
    EngineCode.INVALID_ARGUMENT,
  ]);
  owner.closeSegment(segment);
  command(`umount ${folder}`);
});

nvmeTest(
  "a target that says nothing holds up nobody, and a device that is gone is told",
  async () => {
    const gone = await Namespace.attach("kv-c", "/dev/ram0", "lossy");
    const other = await Namespace.attach("kv-d", "/dev/ram0");
    await using store = await ReferenceMetadata.start();
    await using engine = await engineAt(store.url);
    await engine.registerFiles("nvmeof/gone", [{ path: gone.device }]);
    await engine.registerFiles("nvmeof/other", [{ path: other.device }]);
    const segment = await engine.openSegment("nvmeof/gone");
    const working = await engine.openSegment("nvmeof/other");
    const local = new Uint8Array(SHARED);
    const read = { opcode: "read", segment, remoteAddress: 0n, local } as const;
    assert.deepEqual(await engine.transferSync([read]), [0]);
    const before = crc32c(local, 0, SHARED);
    local.fill(0xee);
    losePackets();
    assert.deepEqual(await engine.transferSync([read], { timeoutMs: 2000 }), [EngineCode.TIMEOUT]);
    const stopped = new AbortController();
    const late = engine.transferSync([read], { signal: stopped.signal });
    const meanwhile = new Uint8Array(SHARED);
    const request = { ...read, segment: working, local: meanwhile };
    assert.deepEqual(await engine.transferSync([request]), [0], "another namespace works on");
    assert.equal(crc32c(meanwhile, 0, SHARED), before);
    stopped.abort();
    assert.deepEqual(await late, [EngineCode.CANCELLED]);
    deliverPackets();
    const again = { ...read, local: new Uint8Array(SHARED) };
    assert.deepEqual(await engine.transferSync([again]), [0], "it is back");
    assert.equal(crc32c(again.local, 0, SHARED), before);
    assert(local.every((byte) => byte === 0xee), "bytes came after their transfer had ended");
    gone.detach();
    const [code] = await engine.transferSync([again]);
    assert.equal(code, EngineCode.SOCKET);
    assert.match(
      engine.explain(again, code),
      /; last failure: READ of \d+ bytes at \d+ of \/dev\/nvme\d+n1: Input\/output error$/,
    );
  },
);

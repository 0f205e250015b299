/** The transfer engine over transports that are libraries of their own, found by documents. */
import assert from "node:assert/strict";
import { EngineCode, TransferEngine, type TransferEngineOptions } from "../../te.ts";
import { fakeTransport } from "../support/fake_transport.ts";

const fake = fakeTransport();
const library = "path" in fake ? fake.path : "";

async function libfabricAbsent(): Promise<string | null> {
  try {
    await (await TransferEngine.initialize({ protocol: "libfabric" }))[Symbol.asyncDispose]();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function pick(bytes: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + seed) & 0xff);
}

/** Both ways, many at once, memory that comes late and memory that goes. */
async function exchange(options: TransferEngineOptions): Promise<void> {
  await using owner = await TransferEngine.initialize(options);
  await using user = await TransferEngine.initialize(options);
  assert.equal(owner.transports[0], options.protocol);
  const served = await owner.registerMemory(4 << 20);
  served.bytes.set(pick(4 << 20, 1));
  const local = await user.registerMemory(4 << 20);
  const segment = await user.openSegment(owner.localName);
  const all = { segment, remoteAddress: segment.buffers[0].address, local, length: 4 << 20 };
  assert.deepEqual(await user.transferSync([{ ...all, opcode: "read" }]), [0]);
  assert.deepEqual(local.bytes, served.bytes);
  local.bytes.set(pick(4 << 20, 9));
  const parts = Array.from({ length: 64 }, (_, i) => ({
    ...{ opcode: "write" as const, segment, local, localOffset: i * 65_536, length: 65_536 },
    remoteAddress: all.remoteAddress + BigInt(i * 65_536),
  }));
  assert.deepEqual(new Set(await user.transferSync(parts)), new Set([0]));
  assert.deepEqual(served.bytes, pick(4 << 20, 9));

  const late = await owner.registerMemory(65_536);
  late.bytes.fill(7);
  const again = await user.openSegment(owner.localName);
  const target = again.buffers.find(({ length }) => length === 65_536)!;
  const read = { opcode: "read" as const, segment: again, local, length: 65_536 };
  const lateRead = { ...read, remoteAddress: target.address };
  assert.deepEqual(await user.transferSync([lateRead]), [0]);
  assert(local.bytes.subarray(0, 65_536).every((byte) => byte === 7));
  await owner.unregisterMemory(late);
  const [gone] = await user.transferSync([lateRead]);
  assert.equal(gone, EngineCode.ADDRESS_NOT_REGISTERED);
  // What stays is reached as before.
  assert.deepEqual(await user.transferSync([{ ...all, opcode: "read" }]), [0]);
  assert.deepEqual(local.bytes, served.bytes);
}

const ways: { name: string; options: TransferEngineOptions; missing: string | null }[] = [
  {
    name: "a fake transport",
    options: { protocol: "barex", transportLibrary: library, transportOptions: "needs_memory" },
    missing: "missing" in fake ? fake.missing : null,
  },
];
ways.push({
  name: "libfabric's tcp",
  options: { protocol: "libfabric" },
  missing: await libfabricAbsent(),
});
for (const { name, options, missing } of ways) {
  Deno.test({
    name: `bytes go both ways over ${name}${missing === null ? "" : ` (skipped: ${missing})`}`,
    ignore: missing !== null,
    fn: () => exchange(options),
  });
}

Deno.test({
  name: "over a fake transport, what is overdue ends, and an engine without it is reached over TCP",
  ignore: "missing" in fake,
  async fn() {
    const options = { protocol: "fake", transportLibrary: library };
    await using owner = await TransferEngine.initialize(options);
    const stall = { ...options, transportOptions: "stall" };
    await using stalled = await TransferEngine.initialize(stall);
    await using plain = await TransferEngine.initialize();
    const served = await owner.registerMemory(65_536);
    served.bytes.fill(3);
    for (const [engine, expected] of [[stalled, EngineCode.TIMEOUT], [plain, 0]] as const) {
      const local = await engine.registerMemory(65_536);
      const segment = await engine.openSegment(owner.localName);
      const remoteAddress = segment.buffers[0].address;
      const read = { opcode: "read" as const, segment, remoteAddress, local, length: 65_536 };
      assert.deepEqual(await engine.transferSync([read], { timeoutMs: 200 }), [expected]);
    }
  },
});

Deno.test("what cannot be had is one line with a code", async () => {
  const folder = await Deno.makeTempDir();
  const text = `${folder}/text.so`;
  await Deno.writeTextFile(text, "no library");
  const cases: [TransferEngineOptions, number, RegExp][] = [
    [
      { protocol: "barex" },
      EngineCode.NOT_IMPLEMENTED,
      /"barex" cannot be had: .*libaccl_barex\.so/,
    ],
    [
      { protocol: "bogus" },
      EngineCode.NOT_IMPLEMENTED,
      /^protocol="bogus" is refused; allowed: tcp/,
    ],
    [{ protocol: "rpc_only" }, EngineCode.NOT_IMPLEMENTED, /forceTcp/],
    [
      { protocol: "barex", transportLibrary: text },
      EngineCode.DEVICE_NOT_FOUND,
      /"barex" cannot be had: .*text\.so cannot be loaded: /,
    ],
    [
      { protocol: "barex", transportLibrary: text, engine: "typescript" },
      EngineCode.DEVICE_NOT_FOUND,
      /the engine in TypeScript/,
    ],
    [
      { protocol: "libfabric", fabricProvider: "none_such" },
      EngineCode.DEVICE_NOT_FOUND,
      /libfabric\.so\.1 (cannot be loaded|has no provider none_such)/,
    ],
    [
      { protocol: "libfabric", fabricProvider: "shm" },
      EngineCode.DEVICE_NOT_FOUND,
      /libfabric\.so\.1 cannot be loaded|libfabric's provider shm does not end/,
    ],
    [{ fabricProvider: "tcp", protocol: "efa" }, EngineCode.INVALID_ARGUMENT, /^fabricProvider=/],
  ];
  if (library !== "") {
    const transportOptions = "absent";
    cases.push([
      { protocol: "barex", transportLibrary: library, transportOptions },
      EngineCode.DEVICE_NOT_FOUND,
      /cannot be had: fake: it was told to have no device$/,
    ]);
  }
  try {
    for (const [options, code, message] of cases) {
      await assert.rejects(TransferEngine.initialize(options), (error: Error) => {
        assert.match(error.message, message);
        assert.equal((error as Error & { code: number }).code, code, error.message);
        return true;
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

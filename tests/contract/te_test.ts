/** Runs the suite of transfer engines on both implementations and on every kind of metadata. */
import assert from "node:assert/strict";
import { TransferCode } from "../../client/transfer/engine.ts";
import { openLibrary } from "../../ffi/library.ts";
import { EngineCode, TransferEngine, type TransferEngineOptions } from "../../te.ts";
import { EngineServer, etcdAbsent, redisAbsent } from "../support/engine_servers.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { engineError, teSuite } from "./te_suite.ts";

const probe = openLibrary();
const noShim = "unavailable" in probe ? probe.unavailable : null;
if ("close" in probe) probe.close();

/** A place for names, opened for each test and closed after it. */
interface Place {
  name: string;
  missing: string | null;
  open(): Promise<{ metadata: string; close(): Promise<void> }>;
}

function served(scheme: string, missing: string | null, start: () => Promise<EngineServer>): Place {
  return {
    name: scheme,
    missing,
    async open() {
      const server = await start();
      const close = () => server[Symbol.asyncDispose]();
      return { metadata: `${scheme}://${server.address}`, close };
    },
  };
}

const places: Place[] = [
  {
    name: "P2P",
    missing: null,
    open: () => Promise.resolve({ metadata: "P2PHANDSHAKE", close: () => Promise.resolve() }),
  },
  {
    name: "HTTP",
    missing: null,
    async open() {
      const store = await ReferenceMetadata.start();
      return { metadata: store.url, close: () => store[Symbol.asyncDispose]() };
    },
  },
  served("etcd", etcdAbsent, EngineServer.etcd),
  served("redis", redisAbsent, EngineServer.redis),
];

for (const place of places) {
  for (const engine of ["native", "typescript"] as const) {
    const missing = place.missing ?? (engine === "native" ? noShim : null);
    let options: TransferEngineOptions = {};
    teSuite(
      (name, run) => {
        const why = missing === null ? "" : ` (skipped: ${missing})`;
        Deno.test({
          name: `${engine}, ${place.name}: ${name}${why}`,
          ignore: missing !== null,
          async fn() {
            const { metadata, close } = await place.open();
            options = { engine, metadata };
            try {
              await run();
            } finally {
              await close();
            }
          },
        });
      },
      () => Promise.resolve(options),
      { addresses: engine === "native" },
    );
  }
}

Deno.test("the codes are those of the engine below", () => {
  const { NOT_IMPLEMENTED, ...below } = TransferCode;
  for (const [name, code] of Object.entries({ ...below, NOT_IMPLEMENTED })) {
    assert.equal((EngineCode as Record<string, number>)[name], code, name);
  }
});

Deno.test("options that are none or wrong are refused", async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ host: "a" }, /^host="\.\.\." is refused; allowed: localServerName, /],
    [{ localServerName: "a b" }, /^localServerName="a b" is refused; allowed: host, /],
    [{ metadata: "ftp://h" }, /^metadata="ftp:\/\/h" is refused; allowed: P2PHANDSHAKE, /],
    [{ engine: "fast" }, /^engine="fast" is refused/],
    [{ ports: { first: 5, last: 4 } }, /^ports\.last=4 is refused; allowed: .* 5 to 65535/],
    [{ transferTimeoutMs: 0.5 }, /^transferTimeoutMs=0\.5 is refused/],
    [{ maxNotifications: -1 }, /^maxNotifications=-1 is refused/],
    [{ deviceName: "a b" }, /^deviceName="a b" is refused/],
    [{ deviceName: "mlx5_0" }, /^deviceName="mlx5_0" is refused; allowed: none with tcp/],
    [{ metadataLogin: { tlsCert: "x" } }, /^tlsCert="x" is refused; allowed: together/],
    [{ metadataLogin: { database: 256 } }, /^database=256 is refused/],
    [{ protocol: "shm" }, /^protocol="shm" is refused; allowed: tcp, rdma, none/],
  ];
  for (const [options, text] of cases) {
    await assert.rejects(
      TransferEngine.initialize(options as TransferEngineOptions),
      engineError(EngineCode.INVALID_ARGUMENT, text),
    );
  }
  await assert.rejects(
    TransferEngine.initialize({ metadata: "http://127.0.0.1:1/metadata" }),
    engineError(EngineCode.METADATA, /^Cannot start the transfer engine: .* cannot be asked/),
  );
});

Deno.test({
  name: `memory outside of JavaScript is registered by its address${
    noShim === null ? "" : ` (skipped: ${noShim})`
  }`,
  ignore: noShim !== null,
  async fn() {
    await using owner = await TransferEngine.initialize();
    await using user = await TransferEngine.initialize();
    const bytes = new Uint8Array(70_000);
    const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    const memory = await owner.registerMemory({ address, length: bytes.length });
    const segment = await user.openSegment(owner.localName);
    const local = crypto.getRandomValues(new Uint8Array(60_000));
    const request = { segment, remoteAddress: memory.address + 7n, local };
    assert.deepEqual(await user.transferSync([{ ...request, opcode: "write" }]), [0]);
    assert.deepEqual(bytes.subarray(7, 60_007), local);
    assert.deepEqual(memory.bytes.subarray(7, 60_007), local);
    const overlap = { address: address + 69_999n, length: 10 };
    await assert.rejects(
      owner.registerMemory(overlap),
      engineError(EngineCode.ADDRESS_OVERLAPPED, /registered already/),
    );
    await owner.unregisterMemory(memory);
    assert.deepEqual(await user.transferSync([{ ...request, opcode: "write" }]), [-3]);
  },
});

Deno.test("a name belongs to one living engine", async () => {
  await using store = await ReferenceMetadata.start();
  const options = { metadata: store.url, localServerName: "127.0.0.1:12345" };
  await using engine = await TransferEngine.initialize(options);
  assert.equal(engine.localName, "127.0.0.1:12345");
  await assert.rejects(
    TransferEngine.initialize(options),
    engineError(EngineCode.METADATA, /The name "127\.0\.0\.1:12345" is in use/),
  );
});

// A writer stops between the start of its put and its bytes, its memory is freed and given to another,
// and the writer goes on: nobody reads a wrong byte. Real nodes of both engines, and the wheel.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { Opcode, TransferCode, type TransferEngine } from "../../client/transfer/engine.ts";
import { P2pMetadata } from "../../client/transfer/metadata_store.ts";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import { TsTransferEngine } from "../../client/transfer/ts_engine.ts";
import { openLibrary } from "../../ffi/library.ts";
import { WINDOW_BYTES } from "../../proto/address_window.ts";
import { uuidBytes } from "../../proto/struct_pack/uuid.ts";
import type { BufferDescriptor } from "../../proto/types.ts";
import { loopModes, MasterProcess } from "../support/master_process.ts";
import { assertOk, MetadataNode } from "../support/metadata_node.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";

const BYTES = 4 * 2 ** 20;
const mode = loopModes.find(({ absent }) => absent === null)!;
const loaded = openLibrary();
const noShim = "unavailable" in loaded ? loaded.unavailable : null;
if (!("unavailable" in loaded)) loaded.close();
const wheel = await findWheel();

/** A client that begins puts, pings for a while, and writes whenever the test says so. */
class SlowWriter implements AsyncDisposable {
  readonly #node: MetadataNode;
  readonly #engine: TransferEngine;
  #address: BufferDescriptor | null = null;
  #peer = 0;

  constructor(master: MasterProcess, engine: TransferEngine) {
    this.#node = new MetadataNode(master.connect(), 77);
    this.#engine = engine;
    engine.setIdentity(uuidBytes(this.#node.clientId));
  }

  async begin(key: string): Promise<void> {
    await this.#node.ping();
    const started = await this.#node.start(key, BYTES);
    assertOk(started.code);
    const { location } = started.value![0];
    assert(location.kind === "memory");
    this.#address = location.buffer;
    const metadata = new P2pMetadata({ clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 });
    const { document, dataHost } = await metadata.lookup(this.#address.transportEndpoint);
    this.#peer = this.#engine.openPeer({
      ...{ host: dataHost, port: document.tcpDataPort, protocolVersion: 2 },
      localName: document.localName,
    });
  }

  /** Writes `length` bytes of 66 to where its last put goes. */
  write(length = BYTES): Promise<TransferCode> {
    return this.#engine.transferOne({
      ...{ opcode: Opcode.WRITE, peer: this.#peer, remoteAddress: this.#address!.bufferAddress },
      ...{ local: new Uint8Array(length).fill(66), localOffset: 0, length },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
  }
}

function startMaster(): Promise<MasterProcess> {
  return MasterProcess.start(mode, [
    ...["--client_ttl=2", "--put_wait_ms=40000", "--default_kv_lease_ttl=500"],
    "--eviction_high_watermark_ratio=1",
    "--eviction_ratio=0",
  ]);
}

function nodeOf(master: MasterProcess, engine: "native" | "typescript"): Promise<StoreClient> {
  return StoreClient.connect({
    ...{ masterServerAddress: `127.0.0.1:${master.rpcPort}`, engine, globalSegmentSize: BYTES },
    rpcTimeoutMs: 60_000,
  });
}

/** Which bytes a value has; arrays of this size are too much for the report of an assertion. */
function describe(value: Uint8Array | null): string {
  return value === null ? "nothing" : `${value.length} bytes of ${Array.from(new Set(value))}`;
}

for (const engine of ["native", "typescript"] as const) {
  const skipped = engine === "native" && noShim !== null ? ` (skipped: ${noShim})` : "";
  Deno.test({
    name: `a writer that went on after its memory was given away is refused, ${engine}${skipped}`,
    ignore: skipped !== "",
    async fn() {
      await using master = await startMaster();
      const node = await nodeOf(master, engine);
      await using writer = new SlowWriter(master, new TsTransferEngine());
      try {
        for (let round = 1; round <= 3; round++) {
          const [key, value] = [`key-${round}`, new Uint8Array(BYTES).fill(round)];
          await writer.begin(`lost-${round}`);
          assert.equal(await writer.write(BYTES / 2), TransferCode.OK);
          const startedMs = performance.now();
          await node.put(key, value);
          const ms = performance.now() - startedMs;
          assert(ms < 30_000, `the memory was back after ${ms} ms`);
          assert.equal(await writer.write(), TransferCode.ADDRESS_NOT_REGISTERED);
          assert.equal(describe(await node.get(key)), `${BYTES} bytes of ${round}`);
          await node.remove(key, { force: true });
        }
      } finally {
        await node.close();
      }
    },
  });
}

Deno.test({
  name: `a writer that has the memory mapped keeps it until it is gone${
    noShim === null ? "" : ` (skipped: ${noShim})`
  }`,
  ignore: noShim !== null,
  async fn() {
    await using master = await startMaster();
    const node = await nodeOf(master, "native");
    const library = openLibrary();
    assert(!("unavailable" in library));
    await using writer = new SlowWriter(master, new NativeTransferEngine(library));
    const metric = async (name: string) => {
      const text = await (await fetch(`${master.adminUrl}/metrics`)).text();
      return Number(new RegExp(`^${name} (\\d+)`, "m").exec(text)?.[1] ?? NaN);
    };
    try {
      await writer.begin("lost");
      assert.equal(await writer.write(BYTES / 2), TransferCode.OK);
      await until(async () => await metric("snowskin_fences_refused_total") === 1);
      assert.equal(await metric("snowskin_fences_confirmed_total"), 0);
      assert.equal(await writer.write(), TransferCode.OK, "it writes to nobody else's memory");
    } finally {
      await node.close();
    }
  },
});

Deno.test({
  name: `the wheel reads and writes memory in the next window${
    "python" in wheel ? "" : ` (skipped: ${wheel.reason})`
  }`,
  ignore: !("python" in wheel),
  async fn() {
    assert("python" in wheel);
    await using master = await startMaster();
    const node = await nodeOf(master, noShim === null ? "native" : "typescript");
    await using writer = new SlowWriter(master, new TsTransferEngine());
    const script = new URL("../support/wheel_window.py", import.meta.url).pathname;
    const calls = async (...calls: string[]) => {
      const { stdout } = await new Deno.Command(wheel.python, {
        args: ["-B", script, `127.0.0.1:${master.rpcPort}`, ...calls],
        stderr: "null",
      }).output();
      return new TextDecoder().decode(stdout).trim().split("\n").slice(-calls.length);
    };
    try {
      await writer.begin("lost");
      await node.put("ours", new Uint8Array(BYTES).fill(5));
      const seen = new MetadataNode(master.connect(), 78);
      const { value } = await seen.get("ours");
      const { location } = value!.replicas[0];
      assert(location.kind === "memory" && location.buffer.bufferAddress > BigInt(WINDOW_BYTES));
      assert.deepEqual(await calls("get:ours"), [`got ours ${BYTES} {5}`]);
      await node.remove("ours", { force: true });
      assert.deepEqual(await calls(`put:theirs:${BYTES}`, "get:theirs"), [
        ...["put theirs 0", `got theirs ${BYTES} {9}`],
      ]);
      assert.equal(describe(await node.get("theirs")), `${BYTES} bytes of 9`);
    } finally {
      await node.close();
    }
  },
});

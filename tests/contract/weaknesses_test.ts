/**
 * Aborts, stalls and open doors of the reference's transfer engine that no other test of ours is
 * about. Where the others are tested:
 *
 * | weakness                                         | tests                                       |
 * | ------------------------------------------------ | ------------------------------------------- |
 * | a notification that is an array aborts           | one_port_suite.ts, handshake_test.ts        |
 * | silent handshakes delay all others               | one_port_suite.ts, handshake_test.ts        |
 * | sockets listen everywhere whatever is asked      | node_ports_test.ts                          |
 * | anybody replaces documents                       | store_recovery_test.ts: they are put back   |
 * | a crashed node cannot come back                  | store_recovery_test.ts                      |
 * | refused writes without acknowledgement succeed   | transfer_engine_suite.ts, version 1         |
 * | real and stale addresses are served              | transfer_engine_suite.ts                    |
 * | a range is checked at its header only            | transfer_faults_suite.ts: regions go away   |
 * | no checksum                                      | value_checks_test.ts                        |
 * | small requests are not pipelined                 | transfer_faults_suite.ts: hundreds at once  |
 * | unknown opcodes are served                       | transfer_faults_suite.ts                    |
 * | half a header, half a body, a deaf reader stall  | transfer_faults_suite.ts                    |
 * | refused RDMA handshakes storm                    | tests/rdma/                                 |
 * | keys of documents are kept as they were escaped  | master/http/metadata_app_test.ts            |
 */
import assert from "node:assert/strict";
import process from "node:process";
import { StoreClient } from "../../client/store_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { Opcode, TransferCode } from "../../client/transfer/engine.ts";
import { requestDocument } from "../../client/transfer/handshake_client.ts";
import { openEngine } from "../../client/transfer/open_engine.ts";
import { startMaster } from "../../examples/local_cluster.ts";
import { loopModes } from "../support/master_process.ts";
import { RawClient, RawServer, requestBytes, statusBytes } from "./raw_peer.ts";

const engines = [
  { engine: "native", absent: loopModes[0].absent },
  { engine: "typescript", absent: null },
] as const;

function test(name: string, fn: (engine: "native" | "typescript") => Promise<void>): void {
  for (const { engine, absent } of engines) {
    const why = absent === null ? "" : ` (skipped: ${absent})`;
    Deno.test({
      ...{ name: `${engine} engine: ${name}${why}`, ignore: absent !== null },
      fn: () => fn(engine),
    });
  }
}

test("staging buffers of a client are published to nobody", async (engine) => {
  const { process: master, address: masterServerAddress } = await startMaster();
  await using _master = master;
  await using client = await StoreClient.connect({
    ...{ masterServerAddress, engine, globalSegmentSize: "4mb", localBufferSize: "4mb" },
  });
  using buffer = client.allocateBuffer(1 << 20);
  buffer.bytes.fill(7);
  const [host, port] = client.hostname.split(":");
  const asking = { clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 };
  const document = await requestDocument(host, Number(port), asking);
  assert(document !== null);
  const published = document.buffers.map(({ addr, length }) => ({ base: addr, size: length }));
  assert.deepEqual(published, client.segments.map(({ base, size }) => ({ base, size })));

  // Around the segment, where a buffer of this process might be, and at its start.
  const [{ base, size }] = published;
  const step = BigInt(1 << 20);
  for (const address of [base - step, base - 1n, base + BigInt(size), base + 8n * step, 1n]) {
    const raw = await RawClient.connect(Number(port));
    raw.send(requestBytes(Opcode.WRITE, 2, address, 1), Uint8Array.of(9));
    assert.deepEqual(await raw.receive(8), statusBytes(1), String(address));
    await raw[Symbol.asyncDispose]();
  }
  assert(buffer.bytes.every((byte) => byte === 7));
});

test("who waits for a peer uses no processor", async (engine) => {
  const server = await RawServer.listen();
  const opened = openEngine(engine === "native" ? {} : { native: "off" });
  assert.equal(opened.reason === null, engine === "native");
  const local = opened.engine.allocate(4096);
  const { port } = server;
  const peer = opened.engine.openPeer({ host: "127.0.0.1", port, protocolVersion: 2 });
  const ops = Array.from({ length: 16 }, () => ({
    ...{ opcode: Opcode.READ, peer, remoteAddress: 0n, length: 4096, local, localOffset: 0 },
  }));
  const before = process.cpuUsage();
  const codes = await opened.engine.transfer(ops, { timeoutMs: 1000 });
  const used = process.cpuUsage(before);
  assert(codes.every((code) => code === TransferCode.TIMEOUT));
  const busyMs = (used.user + used.system) / 1000;
  assert(busyMs < 500, `${busyMs} ms of processor time in a second of waiting`);
  await opened.engine[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

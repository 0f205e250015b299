// Goal: the older framing, which acknowledges nothing, moves the same bytes to and from a node of the
// wheel, and a write that it refuses is no success for us, as it is for a client of the wheel.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { Opcode, TransferCode } from "../../client/transfer/engine.ts";
import { requestDocument } from "../../client/transfer/handshake_client.ts";
import { openEngine } from "../../client/transfer/open_engine.ts";
import { ourMaster } from "../support/masters.ts";
import { findWheel } from "../support/wheel.ts";
import { startWheelPeer } from "./our_client.ts";

const wheel = await findWheel();
const why = "python" in wheel ? "" : ` (skipped: ${wheel.reason})`;
const MIB = 1 << 20;

for (const engine of ["native", "typescript"] as const) {
  const name = `writes without acknowledgement to a node of the wheel, ${engine} engine${why}`;
  Deno.test({ name, ignore: why !== "" }, async () => {
    assert("python" in wheel);
    const { process, address } = await ourMaster.start();
    await using _master = process;
    const { peer, hello } = await startWheelPeer(wheel, address, "P2PHANDSHAKE", 32 * MIB, {});
    await using _peer = peer;
    assert.equal(hello.code, 0);
    await using client = await StoreClient.connect({
      ...{ masterServerAddress: address, engine, tcpProtocolVersion: 1, forceTcp: true },
    });
    for (const length of [1, 5000, 3 * MIB]) {
      const value = new Uint8Array(length).map((_, i) => i * 3);
      assert.equal(await client.put(`k${length}`, value), "stored");
      assert.deepEqual(await client.get(`k${length}`), value);
      const theirs = await peer.ask<{ size: number }>({ do: "get", key: `k${length}` });
      assert.equal(theirs.size, length);
    }

    const [location] = (await client.replicas("k1"))!.map(({ location }) => location);
    assert(location.kind === "memory");
    const [host, port] = location.buffer.transportEndpoint.split(":");
    const asking = { clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 };
    const document = await requestDocument(host, Number(port), asking);
    const opened = openEngine(engine === "native" ? {} : { native: "off" });
    const target = opened.engine.openPeer({
      ...{ host, port: document!.tcpDataPort, protocolVersion: 1 },
    });
    const write = { opcode: Opcode.WRITE, peer: target, length: 4, local: new Uint8Array(4) };
    const code = await opened.engine.transferOne({
      ...write,
      remoteAddress: 4096n,
      localOffset: 0,
    });
    assert.equal(code, TransferCode.SOCKET);
    await opened.engine[Symbol.asyncDispose]();
  });
}

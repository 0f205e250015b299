import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { encodeHandshake, HandshakeType, PROBE_REPLY } from "../../proto/handshake.ts";
import { probeHandshake } from "./handshake_probe.ts";

/** A server that does `serve` with every connection, and its port. */
async function server(serve: (socket: Socket) => void): Promise<[Server, number]> {
  const listening = createServer((socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const address = listening.address();
  assert.ok(address !== null && typeof address === "object");
  return [listening, address.port];
}

async function close(listening: Server): Promise<void> {
  await new Promise((resolve) => listening.close(resolve));
}

const reply = (type: HandshakeType, body: Record<string, string>) =>
  encodeHandshake({ type, untyped: false, body });

Deno.test("a transfer engine that answers the probe is there", async () => {
  const received: number[] = [];
  const [listening, port] = await server((socket) => {
    socket.on("data", (chunk) => {
      received.push(...chunk);
      const answer = reply(HandshakeType.PROBE, { ...PROBE_REPLY as Record<string, string> });
      socket.write(answer.subarray(0, 5));
      socket.end(answer.subarray(5));
    });
  });
  assert.equal(await probeHandshake("127.0.0.1", port, 5000), true);
  assert.deepEqual(received, [3, 0, 0, 0, 0, 0, 0, 0, 3, 0x7b, 0x7d]);
  await close(listening);
});

Deno.test("one that answers with an alert, because it speaks TLS only, is there", async () => {
  const [listening, port] = await server((socket) => {
    socket.on("data", () => socket.end(Uint8Array.of(0x15, 3, 3, 0, 2, 2, 70)));
  });
  assert.equal(await probeHandshake("127.0.0.1", port, 5000), true);
  await close(listening);
});

Deno.test("another answer, an end without one and a closed port are nobody", async () => {
  const answers: Uint8Array[] = [
    reply(HandshakeType.PROBE, { status: "failed" }),
    reply(HandshakeType.METADATA, { status: "success" }),
    new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"),
    new Uint8Array(0),
  ];
  for (const answer of answers) {
    const [listening, port] = await server((socket) => socket.resume().end(answer));
    assert.equal(await probeHandshake("127.0.0.1", port, 5000), false);
    await close(listening);
    assert.equal(await probeHandshake("127.0.0.1", port, 5000), false);
  }
});

Deno.test("a process that takes the connection and stays silent is there", async () => {
  const sockets: Socket[] = [];
  const [listening, port] = await server((socket) => sockets.push(socket));
  assert.equal(await probeHandshake("127.0.0.1", port, 100), true);
  for (const socket of sockets) socket.destroy();
  await close(listening);
});

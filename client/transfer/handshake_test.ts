import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { HandshakeType, type Notification } from "../../proto/handshake.ts";
import type { JsonValue } from "../../proto/json_exact.ts";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import { type HandshakeListener, listenHandshakes } from "../../tests/support/handshakes.ts";
import { until } from "../../tests/support/until.ts";
import { systemClock } from "./clock.ts";
import { exchangeHandshake, probe, requestDocument, sendNotification } from "./handshake_client.ts";
import type { HandshakeServerOptions } from "./handshake_server.ts";

const HOST = "127.0.0.1";
const options = { clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 };
const document = {
  name: "127.0.0.1:15001",
  protocol: "tcp",
  buffers: [{ name: "127.0.0.1:15001", addr: 2n ** 63n + 1n, length: 4096 }],
  tcp_data_port: 16000,
  tcp_data_host: "127.0.0.1",
  tcp_proto_version: 2,
};

function listen(extra: Partial<HandshakeServerOptions> = {}): Promise<HandshakeListener> {
  return listenHandshakes(HOST, { ...options, document: () => document, ...extra });
}

/** Sends bytes as they are and resolves with everything that comes back until the end. */
function exchangeBytes(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port });
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (part) => text += part);
    socket.on("close", () => resolve(text));
    socket.on("error", (error) => text === "" ? resolve(text) : reject(error));
    socket.write(bytes);
  });
}

function frame(length: number, ...parts: (number | string)[]): Uint8Array {
  const body = parts.map((part) => typeof part === "number" ? String.fromCharCode(part) : part);
  const bytes = Uint8Array.from("\0".repeat(8) + body.join(""), (char) => char.charCodeAt(0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  return bytes;
}

Deno.test("a request for the document is answered with it, 64-bit addresses exact", async () => {
  const server = await listen();
  const received = await requestDocument(HOST, server.port, options);
  assert.equal(received?.buffers[0].addr, 2n ** 63n + 1n);
  assert.equal(received?.tcpDataPort, 16000);
  await server.close();
});

Deno.test("a node that publishes elsewhere answers null", async () => {
  const server = await listen({ document: () => null });
  assert.equal(await requestDocument(HOST, server.port, options), null);
  await server.close();
});

Deno.test("a connection handshake gets the empty answer of an engine without RDMA", async () => {
  const server = await listen();
  const wanted = '{"local_gid":"","local_lid":0,"local_nic_path":"","payload":"",' +
    '"peer_nic_path":"","qp_num":[],"reply_msg":""}';
  const typed = await exchangeBytes(server.port, frame(3, 0, "{}"));
  assert.equal(typed.slice(8), `\0${wanted}`);
  assert.equal(typed.charCodeAt(0), wanted.length + 1);
  const untyped = await exchangeBytes(server.port, frame(2, "{}"));
  assert.equal(untyped.slice(8), wanted);
  await server.close();
});

Deno.test("a notification reaches the callback, and one that it refuses is reported", async () => {
  const seen: Notification[] = [];
  const server = await listen({
    onNotify: (notification) => {
      if (notification.message === "bad") throw new Error("not wanted");
      seen.push(notification);
    },
  });
  await sendNotification(HOST, server.port, { name: "a", message: "hello" }, options);
  assert.deepEqual(seen, [{ name: "a", message: "hello" }]);
  await assert.rejects(
    sendNotification(HOST, server.port, { name: "a", message: "bad" }, options),
    /refused a notification/,
  );
  await server.close();
});

Deno.test("a probe tells a living node from a port where nobody answers", async () => {
  const server = await listen();
  assert.equal(await probe(HOST, server.port, options), true);
  await server.close();
  assert.equal(await probe(HOST, server.port, options), false);
});

Deno.test("malformed frames cost their connection only", async () => {
  const server = await listen();
  const frames = [
    frame(0),
    frame((1 << 20) + 1, 3, "{}"),
    frame(2 ** 40, 3, "{}"),
    frame(2, 3, "{"),
    frame(3, 2, "[]"),
    frame(11, 2, '{"name":1}'),
    frame(3, 0, "[]"),
    frame(5, "\xff\xfe\xfd\xfc\xfb"),
    frame(3, 9, "x{"),
  ];
  for (const bytes of frames) assert.equal(await exchangeBytes(server.port, bytes), "");
  assert.equal(await probe(HOST, server.port, options), true);
  await server.close();
});

Deno.test("silent connections delay nobody and are dropped when their time is up", async () => {
  const clock = new FakeClock();
  const server = await listen({ clock });
  const silent: Socket[] = [];
  let closed = 0;
  for (let i = 0; i < 20; i++) {
    const socket = connect({ host: HOST, port: server.port });
    socket.on("close", () => closed++);
    socket.on("error", () => {});
    socket.resume();
    await new Promise((resolve) => socket.once("connect", resolve));
    if (i % 2 === 0) socket.write(frame(100, 3, "{").subarray(0, 3));
    silent.push(socket);
  }
  await Promise.all(
    Array.from({ length: 100 }, () => requestDocument(HOST, server.port, options)),
  );
  assert.equal(closed, 0);
  await clock.advance(5000);
  await until(() => closed === silent.length);
  await server.close();
});

Deno.test("a request that arrives byte by byte is answered", async () => {
  const server = await listen();
  const socket = connect({ host: HOST, port: server.port, noDelay: true });
  const reply = new Promise<string>((resolve) => {
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (part) => text += part);
    socket.on("close", () => resolve(text));
  });
  for (const byte of frame(3, 3, "{}")) {
    await new Promise<void>((resolve) => socket.write(Uint8Array.of(byte), () => resolve()));
  }
  assert.equal((await reply).slice(9), '{"status":"success"}');
  await server.close();
});

Deno.test("a peer that stays silent, hangs up or answers another type fails the exchange", async () => {
  const replies: (string | null)[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => {
      const reply = replies.shift();
      if (reply === null) return;
      socket.end(reply === undefined ? "" : frame(reply.length, reply));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address() as { port: number };
  const ask = (clock: FakeClock) =>
    exchangeHandshake(HOST, port, HandshakeType.PROBE, {}, { ...options, clock });
  await assert.rejects(ask(new FakeClock()), /closed the connection during a handshake/);
  replies.push("\x01{}");
  await assert.rejects(ask(new FakeClock()), /answered a handshake of type 3 with another/);
  replies.push("\x03{");
  await assert.rejects(ask(new FakeClock()), /JSON/);
  replies.push(null);
  const clock = new FakeClock();
  const silent = ask(clock);
  await until(() => replies.length === 0);
  await Promise.all([
    assert.rejects(silent as Promise<JsonValue>, /took over 5000 ms/),
    clock.advance(5000),
  ]);
  await new Promise((resolve) => server.close(resolve));
});

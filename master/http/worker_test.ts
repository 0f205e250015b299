import assert from "node:assert/strict";
import { connect } from "node:net";
import { MemoryAdminCore, memoryReplica } from "../../tests/support/memory_admin_core.ts";
import { Random } from "../../tests/support/random.ts";
import { until } from "../../tests/support/until.ts";
import { HttpWorker } from "./core_bridge.ts";
import { ListenError } from "./listen.ts";
import type { HttpWorkerConfig } from "./worker_protocol.ts";

const config: HttpWorkerConfig = {
  admin: { host: "127.0.0.1", port: 0, insecure: false },
  tablesPath: null,
  snapshots: null,
  haPath: null,
  policies: null,
  auth: null,
  checkpointToken: null,
  metadata: { host: "127.0.0.1", port: 0 },
  log: { format: "text", minLevel: 0, prefix: true, summaryIntervalMs: null },
  clusterId: "c",
  startedAtMs: Date.now(),
  coreTimeoutMs: 5000,
  wakeFd: null,
  signals: [],
};

const linux = Deno.build.os === "linux";

function worker(core = new MemoryAdminCore()): HttpWorker {
  return new HttpWorker({
    core,
    onFault: (error) => assert.fail(String(error)),
    onExit: (error) => assert.fail(error),
  });
}

function url({ host, port }: { host: string; port: number }, path: string): string {
  return `http://${host}:${port}${path}`;
}

async function get(
  address: { host: string; port: number },
  path: string,
): Promise<[number, string]> {
  const response = await fetch(url(address, path));
  return [response.status, await response.text()];
}

Deno.test("both servers serve on ports of the system's choice, and stop", async () => {
  const core = new MemoryAdminCore();
  core.add("k", [memoryReplica(3, 2n ** 63n)]);
  const http = worker(core);
  http.answerInEventLoop();
  const { admin, metadata } = await http.start(config);
  assert.ok(metadata !== null && admin.port > 0 && metadata.port > 0);
  assert.deepEqual(await get(admin, "/role"), [200, "leader"]);
  assert.match((await get(admin, "/query_key?key=k"))[1], /"buffer_address_":9223372036854775808,/);
  assert.equal((await get(admin, "/query_segment?segment=x"))[0], 500);
  assert.match((await get(admin, "/metrics"))[1], /snowskin_resident_memory_bytes [1-9]/);
  assert.deepEqual(await get(metadata, "/health"), [200, "OK"]);

  const document = url(metadata, "/metadata?key=mooncake/ram/a:1");
  await (await fetch(document, { method: "PUT", body: "{}" })).text();
  assert.equal((await get(metadata, "/metadata?key=mooncake%2Fram%2Fa%3A1"))[1], "{}");
  http.forgetSegment("a:1");
  await until(async () => (await get(metadata, "/metadata?key=mooncake/ram/a:1"))[0] === 404);

  await http.stop();
  await assert.rejects(fetch(url(admin, "/role")));
  await assert.rejects(fetch(url(metadata, "/health")));
});

Deno.test("a thread that does not return to its event loop answers with drain", async () => {
  const http = worker();
  const { admin } = await http.start({ ...config, metadata: null });
  let answer: [number, string] | null = null;
  const asked = get(admin, "/role").then((received) => answer = received);
  let drained = 0;
  await until(() => {
    drained += http.drain();
    return answer !== null;
  });
  await asked;
  assert.deepEqual(answer, [200, "leader"]);
  assert.ok(drained > 0);
  await http.stop();
});

Deno.test({
  name: "a call ends the wait of a thread that sleeps on an eventfd" +
    (linux ? "" : " (skipped: eventfds are Linux's)"),
  ignore: !linux,
  async fn() {
    const libc = Deno.dlopen(
      "libc.so.6",
      {
        eventfd: { parameters: ["u32", "i32"], result: "i32" },
        read: { parameters: ["i32", "buffer", "usize"], result: "isize", nonblocking: true },
        close: { parameters: ["i32"], result: "i32" },
      } as const,
    );
    const fd = libc.symbols.eventfd(0, 0);
    const http = worker();
    const { admin } = await http.start({ ...config, wakeFd: fd });
    const woken = libc.symbols.read(fd, new Uint8Array(8), 8n);
    const answer = get(admin, "/role");
    assert.equal(await woken, 8n);
    await until(() => http.drain() > 0);
    let answered = false;
    const done = answer.finally(() => answered = true);
    await until(() => http.drain() > 0 || answered);
    assert.deepEqual(await done, [200, "leader"]);
    await http.stop();
    libc.symbols.close(fd);
    libc.close();
  },
});

Deno.test("a core that does not answer in time gives 503", async () => {
  const http = worker();
  const { admin } = await http.start({ ...config, coreTimeoutMs: 50 });
  const [status, text] = await get(admin, "/health");
  assert.equal(status, 503);
  assert.match(text, /the master is not answering/);
  await http.stop();
});

Deno.test("a port in use is told with server, host and port, and nothing stays open", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const failure = async (changes: Partial<HttpWorkerConfig>) => {
    const http = worker();
    const error = await http.start({ ...config, ...changes }).then(
      () => assert.fail("it listens"),
      (error) => error,
    );
    await http.stop();
    assert.ok(error instanceof ListenError);
    const { server, host, inUse } = error.failure;
    return [server, host, error.failure.port, inUse];
  };
  assert.deepEqual(await failure({ metadata: { host: "127.0.0.1", port } }), [
    ...["metadata", "127.0.0.1", port, true],
  ]);
  assert.deepEqual(await failure({ admin: { host: "127.0.0.1", port, insecure: false } }), [
    ...["admin", "127.0.0.1", port, true],
  ]);
  assert.deepEqual(await failure({ admin: { host: "192.0.2.1", port: 0, insecure: false } }), [
    ...["admin", "192.0.2.1", 0, false],
  ]);
  taken.close();
});

Deno.test("a worker that fails at its start is told", async () => {
  const http = worker();
  const broken = { ...config, log: null as unknown as HttpWorkerConfig["log"] };
  await assert.rejects(http.start(broken), /The HTTP worker failed: .*null/);
  await http.stop();
});

Deno.test("a call that goes wrong, or whose result cannot be sent, is told and gives 500", async () => {
  const core = new MemoryAdminCore();
  core.listSegments = () => {
    throw new TypeError("broken");
  };
  core.segmentDetails = () => [() => {}] as never;
  const faults: unknown[] = [];
  const http = new HttpWorker({
    ...{ core, onFault: (error) => faults.push(error), onExit: (error) => assert.fail(error) },
  });
  http.answerInEventLoop();
  const { admin } = await http.start(config);
  assert.equal((await get(admin, "/get_all_segments"))[0], 500);
  assert.equal((await get(admin, "/get_segments_detail"))[0], 500);
  assert.equal(faults.length, 2);
  assert.deepEqual(await get(admin, "/role"), [200, "leader"]);
  await http.stop();
});

Deno.test("garbage on both ports disturbs nobody", async () => {
  const http = worker();
  http.answerInEventLoop();
  const { admin, metadata } = await http.start(config);
  assert.ok(metadata);
  const random = new Random(7);
  const garbage = () => Uint8Array.from({ length: 64 }, () => random.below(256));
  await Promise.all(
    [admin, metadata].flatMap((to) =>
      Array.from({ length: 50 }, () => sendAndLeave(to, garbage()))
    ),
  );
  assert.deepEqual(await get(admin, "/role"), [200, "leader"]);
  assert.deepEqual(await get(metadata, "/health"), [200, "OK"]);
  await http.stop();
});

Deno.test("the metadata server's host is honoured", async () => {
  const http = worker();
  http.answerInEventLoop();
  const { metadata } = await http.start({ ...config, metadata: { host: "127.0.0.2", port: 0 } });
  assert.ok(metadata);
  assert.deepEqual(await get(metadata, "/health"), [200, "OK"]);
  await assert.rejects(fetch(url({ ...metadata, host: "127.0.0.1" }, "/health")));
  await http.stop();
});

Deno.test("uploads that announce 4 GB and never send it are refused and hold nothing up", async () => {
  const http = worker();
  http.answerInEventLoop();
  const { metadata } = await http.start(config);
  assert.ok(metadata);
  const head = "PUT /metadata?key=a HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000000\r\n\r\n";
  const before = Deno.memoryUsage().rss;
  const answers = await Promise.all(Array.from({ length: 50 }, () => firstAnswer(metadata, head)));
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.deepEqual(await get(metadata, "/health"), [200, "OK"]);
  assert.ok(Deno.memoryUsage().rss - before < 64 << 20);
  await http.stop();
});

/** Sends `text` on a connection of its own and returns the first bytes that come back. */
function firstAnswer(to: { host: string; port: number }, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(to.port, to.host, () => socket.write(text));
    socket.on("data", (chunk) => {
      socket.destroy();
      resolve(chunk.toString("latin1"));
    });
    socket.on("error", reject);
  });
}

/** Sends bytes and closes. */
function sendAndLeave(to: { host: string; port: number }, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(to.port, to.host, () => socket.end(bytes));
    socket.on("error", () => {});
    socket.on("data", () => {});
    socket.on("close", () => resolve());
  });
}

import assert from "node:assert/strict";
import { isCrossSite, isLoopback, readBody } from "./request_guard.ts";

const limits = { maxBytes: 10, timeoutMs: 5000 };

function put(body: BodyInit, headers: Record<string, string> = {}): Request {
  return new Request("http://h/", { method: "PUT", body, headers });
}

Deno.test("loopback addresses of both families are this machine", () => {
  for (const host of ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "::ffff:127.0.0.1"]) {
    assert.ok(isLoopback(host), host);
  }
  for (const host of ["10.0.0.1", "128.0.0.1", "::2", "127.0.0.1.example", "localhost", ""]) {
    assert.ok(!isLoopback(host), host);
  }
});

Deno.test("only a page from elsewhere is cross-site", () => {
  const request = (origin?: string) =>
    new Request("http://h/", { headers: { host: "m:9003", ...(origin && { origin }) } });
  assert.ok(!isCrossSite(request()));
  assert.ok(!isCrossSite(request("http://m:9003")));
  assert.ok(isCrossSite(request("http://evil.example")));
  assert.ok(isCrossSite(request("null")));
});

Deno.test("a body up to the limit is read whole", async () => {
  assert.deepEqual(
    await readBody(put("0123456789"), limits),
    new TextEncoder().encode("0123456789"),
  );
  assert.deepEqual(await readBody(put(""), limits), new Uint8Array(0));
  const empty = new Request("http://h/", { method: "PUT" });
  assert.deepEqual(await readBody(empty, limits), new Uint8Array(0));
});

Deno.test("an announced length above the limit is refused before anything is read", async () => {
  let pulled = 0;
  const body = new ReadableStream({ pull: () => void pulled++ }, { highWaterMark: 0 });
  const request = put(body, { "content-length": "4000000000" });
  assert.equal(await readBody(request, limits), "too large");
  assert.equal(pulled, 0);
});

Deno.test("an endless body is cut off at the limit", async () => {
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      sent += 4;
      controller.enqueue(new Uint8Array(4));
    },
  }, { highWaterMark: 0 });
  assert.equal(await readBody(put(body), limits), "too large");
  assert.ok(sent <= 16, `${sent} bytes were taken`);
});

Deno.test("a body that stops arriving is given up", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(4)),
    cancel: () => void (cancelled = true),
  });
  assert.equal(await readBody(put(body), { maxBytes: 10, timeoutMs: 20 }), "too slow");
  assert.ok(cancelled);
});

Deno.test("a body that breaks off is refused", async () => {
  const body = new ReadableStream({ start: (controller) => controller.error(new Error("reset")) });
  assert.equal(await readBody(put(body), limits), "broken");
});

import assert from "node:assert/strict";
import { metadataApp } from "./metadata_app.ts";
import { MetadataStore } from "./metadata_store.ts";

function app(options: Partial<Parameters<typeof metadataApp>[0]> = {}) {
  const served = metadataApp({ store: new MetadataStore(() => Promise.resolve(true)), ...options });
  return async (method: string, path: string, body?: BodyInit): Promise<[number, string]> => {
    const init = { method, ...(body !== undefined && { body }) };
    const response = await served.fetch(new Request(`http://h${path}`, init));
    return [response.status, await response.text()];
  };
}

Deno.test("put, get and delete answer as the reference does", async () => {
  const request = app();
  assert.deepEqual(await request("GET", "/metadata?key=x"), [404, "metadata not found"]);
  assert.deepEqual(await request("PUT", "/metadata?key=x", '{"a":1}'), [200, "metadata updated"]);
  assert.deepEqual(await request("GET", "/metadata?key=x"), [200, '{"a":1}']);
  assert.deepEqual(await request("DELETE", "/metadata?key=x"), [200, "metadata deleted"]);
  assert.deepEqual(await request("DELETE", "/metadata?key=x"), [404, "metadata not found"]);
  assert.deepEqual(await request("GET", "/health"), [200, "OK"]);
});

Deno.test("a request without a key is refused", async () => {
  const request = app();
  for (const method of ["GET", "PUT", "DELETE"]) {
    for (const path of ["/metadata", "/metadata?key=", "/metadata?other=1"]) {
      assert.deepEqual(await request(method, path), [400, "Missing key parameter"]);
    }
  }
});

Deno.test("keys are listed by their beginning", async () => {
  const request = app();
  for (const key of ["mooncake/ram/b%C3%BC", "mooncake/ram/a", "other"]) {
    await request("PUT", `/metadata?key=${key}`, "doc");
  }
  const listed = await request("GET", "/metadata?prefix=mooncake%2F");
  assert.deepEqual(listed, [200, '["mooncake/ram/a","mooncake/ram/bü"]']);
  assert.deepEqual(await request("GET", "/metadata?prefix=x"), [200, "[]"]);
  assert.equal((JSON.parse((await request("GET", "/metadata?prefix="))[1])).length, 3);
});

Deno.test("an escaped slash in either case and a plain one name the same document", async () => {
  const request = app();
  await request("PUT", "/metadata?key=mooncake%2Fram%2F127.0.0.1%3A1", "doc");
  for (const key of ["mooncake%2fram%2f127.0.0.1%3a1", "mooncake/ram/127.0.0.1:1"]) {
    assert.deepEqual(await request("GET", `/metadata?key=${key}`), [200, "doc"]);
  }
});

Deno.test("a taken name is refused while its owner answers", async () => {
  const request = app();
  const document = (port: number) => JSON.stringify({ ip_or_host_name: "h", rpc_port: port });
  const path = "/metadata?key=mooncake%2Frpc_meta%2Fz";
  assert.deepEqual(await request("PUT", path, document(1)), [200, "metadata updated"]);
  assert.deepEqual(await request("PUT", path, document(1)), [200, "metadata unchanged"]);
  assert.deepEqual(await request("PUT", path, document(2)), [
    ...[400, "Duplicate rpc_meta key not allowed"] as const,
  ]);
});

Deno.test("values are any bytes and come back as JSON documents", async () => {
  const served = metadataApp({ store: new MetadataStore(() => Promise.resolve(true)) });
  const value = Uint8Array.of(0, 255, 10);
  const url = "http://h/metadata?key=%ff%00";
  await served.fetch(new Request(url, { method: "PUT", body: value }));
  const response = await served.fetch(new Request(url));
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.deepEqual(await response.bytes(), value);
});

Deno.test("other methods are answered 405 and other paths 404", async () => {
  const served = metadataApp({ store: new MetadataStore(() => Promise.resolve(true)) });
  for (const method of ["POST", "PATCH", "OPTIONS"]) {
    const response = await served.fetch(new Request("http://h/metadata?key=a", { method }));
    assert.equal(response.status, 405);
    assert.equal(response.headers.get("allow"), "GET, HEAD, PUT, DELETE");
  }
  assert.equal((await served.fetch(new Request("http://h/health", { method: "PUT" }))).status, 405);
  assert.equal((await served.fetch(new Request("http://h/"))).status, 404);
});

Deno.test("a value, a key or a total above the limit is refused with the limit", async () => {
  const limits = { maxKeys: 1, maxKeyBytes: 8, maxValueBytes: 4, maxTotalBytes: 100 };
  const request = app({ store: new MetadataStore(() => Promise.resolve(true), limits) });
  assert.deepEqual(await request("PUT", "/metadata?key=a", "12345"), [
    ...[413, "value too large; allowed: 4 bytes"] as const,
  ]);
  assert.deepEqual(await request("PUT", "/metadata?key=123456789", "1"), [
    ...[414, "key too long; allowed: 8 bytes"] as const,
  ]);
  assert.deepEqual(await request("PUT", "/metadata?key=a", "1234"), [200, "metadata updated"]);
  assert.deepEqual(await request("PUT", "/metadata?key=b", "1"), [
    ...[507, "no room; allowed: 1 keys"] as const,
  ]);
});

Deno.test("a body that does not arrive is given up, and uploads at once are bounded", async () => {
  const request = app({ bodyTimeoutMs: 30, maxBodies: 1 });
  const slow = request("PUT", "/metadata?key=a", new ReadableStream());
  assert.deepEqual(await request("PUT", "/metadata?key=b", "1"), [503, "too many uploads at once"]);
  assert.deepEqual(await slow, [408, "the body did not arrive in time"]);
  assert.deepEqual(await request("PUT", "/metadata?key=b", "1"), [200, "metadata updated"]);
});

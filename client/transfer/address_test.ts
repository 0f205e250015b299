import assert from "node:assert/strict";
import { formatHostPort, hasZone, isLoopback, parseHostPort } from "./address.ts";

Deno.test("an address is a host with or without a port", () => {
  assert.deepEqual(parseHostPort("127.0.0.1:50051"), { host: "127.0.0.1", port: 50051 });
  assert.deepEqual(parseHostPort("node-7.pool"), { host: "node-7.pool", port: null });
  assert.deepEqual(parseHostPort("[::1]:80"), { host: "::1", port: 80 });
  assert.deepEqual(parseHostPort("[fe80::1]"), { host: "fe80::1", port: null });
  assert.deepEqual(parseHostPort("fe80::1"), { host: "fe80::1", port: null });
  assert.deepEqual(parseHostPort("::1"), { host: "::1", port: null });
});

Deno.test("what is not an address gives null", () => {
  for (
    const text of [
      "",
      ":80",
      "a:",
      "a:0",
      "a:65536",
      "a:b",
      "a b:1",
      "http://a:1",
      "a/b",
      "[::1",
      "[abc]:1",
      "1:2:3",
      "[fe80::1%eth0]:1",
      "fe80::1%eth0",
      "a%b",
    ]
  ) {
    assert.equal(parseHostPort(text), null, text);
  }
});

Deno.test("an address with a zone is told from other nonsense", () => {
  for (const text of ["fe80::1%eth0", "[fe80::1%eth0]:50051", "fe80::1%1"]) assert(hasZone(text));
  for (const text of ["::1", "[::1]:5", "100%", "a%b", "[%]"]) assert(!hasZone(text), text);
});

Deno.test("a formatted address parses back to itself", () => {
  for (const [host, port] of [["10.0.0.1", 1], ["::1", 65535], ["a-b", 80]] as const) {
    assert.deepEqual(parseHostPort(formatHostPort(host, port)), { host, port });
  }
});

Deno.test("loopback hosts are told from others", () => {
  for (const host of ["localhost", "127.0.0.1", "127.3.2.1", "::1"]) assert(isLoopback(host), host);
  for (const host of ["10.0.0.1", "0.0.0.0", "localhost.example", "127.0.0.1.example"]) {
    assert(!isLoopback(host), host);
  }
});

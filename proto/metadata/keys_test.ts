import assert from "node:assert/strict";
import { escapeKey, rpcMetaKey, segmentKey } from "./keys.ts";

Deno.test("keys have the reference's prefixes", () => {
  assert.equal(segmentKey("127.0.0.1:52671"), "mooncake/ram/127.0.0.1:52671");
  assert.equal(segmentKey("disk/a"), "mooncake/disk/a");
  assert.equal(segmentKey("//host"), "mooncake/ram/host");
  assert.equal(rpcMetaKey("host:1"), "mooncake/rpc_meta/host:1");
  assert.equal(rpcMetaKey("host:1", { clusterId: "east" }), "mooncake/east/rpc_meta/host:1");
  assert.equal(segmentKey("host", { clusterId: "east/" }), "mooncake/east/ram/host");
  assert.throws(() => segmentKey("/"), RangeError);
  assert.throws(() => rpcMetaKey(""), RangeError);
});

Deno.test("everything but letters, digits and four marks is escaped in upper case", () => {
  assert.equal(
    escapeKey("mooncake/ram/127.0.0.1:52671"),
    "mooncake%2Fram%2F127.0.0.1%3A52671",
  );
  assert.equal(escapeKey("aZ09-._~"), "aZ09-._~");
  assert.equal(escapeKey("!'()*+ ü"), "%21%27%28%29%2A%2B%20%C3%BC");
});

import assert from "node:assert/strict";
import { ProtocolError } from "../error.ts";
import { formatRpcMeta, parseRpcMeta } from "./rpc_meta.ts";

const GOLDEN = '{"ip_or_host_name":"127.0.0.1","rpc_port":15948}';

Deno.test("the reference's rpc_meta parses and is written back to the same bytes", () => {
  const meta = parseRpcMeta(new TextEncoder().encode(GOLDEN));
  assert.deepEqual(meta, { host: "127.0.0.1", port: 15948 });
  assert.equal(formatRpcMeta(meta), GOLDEN);
});

Deno.test("an rpc_meta without a host or with a bad port is refused", () => {
  for (
    const text of [
      "[]",
      "{}",
      GOLDEN.replace("127.0.0.1", ""),
      GOLDEN.replace("15948", "0"),
      GOLDEN.replace("15948", "65536"),
      GOLDEN.replace("15948", '"15948"'),
      GOLDEN.replace('"127.0.0.1"', "7"),
    ]
  ) assert.throws(() => parseRpcMeta(text), ProtocolError, text);
});

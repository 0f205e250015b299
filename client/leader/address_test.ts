import assert from "node:assert/strict";
import { parseMasterAddress } from "./address.ts";

Deno.test("every form of a master address is read", () => {
  const cases: [string, ReturnType<typeof parseMasterAddress>][] = [
    ["h:1", { kind: "one", host: "h", port: 1 }],
    ["[::1]:5", { kind: "one", host: "::1", port: 5 }],
    ["a:1, b:2", { kind: "list", addresses: ["a:1", "b:2"] }],
    ["etcd://a:1", { kind: "etcd", endpoints: ["a:1"] }],
    ["etcd://a:1;https://b:2,c:3", { kind: "etcd", endpoints: ["a:1", "https://b:2", "c:3"] }],
    ["redis://h:6379/2", { kind: "redis", url: "redis://h:6379/2" }],
    ["rediss://h", { kind: "redis", url: "rediss://h" }],
    ["k8s://prod", { kind: "k8s", namespace: "prod" }],
  ];
  for (const [text, address] of cases) assert.deepEqual(parseMasterAddress(text), address, text);
});

Deno.test("what is no master address is refused, and so are passwords in one", () => {
  const refused = [
    ...["", "h", "h:0", "h:1,", "a:1,b", "etcd://", "etcd://a", "etcd://a:1,,b:2", "srv://x:1"],
    ...[
      "redis://u:p@h:1",
      "redis://:p@h:1",
      "redis://h/x",
      "k8s://",
      "k8s://Bad_Name",
      "http://h:1",
    ],
  ];
  for (const text of refused) assert.equal(parseMasterAddress(text), null, text);
});

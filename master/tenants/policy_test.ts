import assert from "node:assert/strict";
import { PolicyFile, readPolicies } from "./policy_file.ts";
import { formatPolicies, parsePolicies, PolicyError, quotaBytes } from "./policy_yaml.ts";

Deno.test("a quota file is read as the reference reads it", () => {
  const text = `version: 1
tenants:
  - name: alpha
    quota: 32MB
  - {name: "a b:c/d", quota: 5}
  - {name: 007, quota: 9223372036854775807}
  - {name: ä, quota: "2TB"}
`;
  assert.deepEqual(Array.from(parsePolicies(text)), [
    ["alpha", 33554432n],
    ["a b:c/d", 5n],
    ["007", 9223372036854775807n],
    ["ä", 2199023255552n],
  ]);
  assert.equal(parsePolicies("version: 1\ntenants: []").size, 0);
});

Deno.test("a quota is a number of bytes, or of KB to TB", () => {
  assert.equal(quotaBytes("1"), 1n);
  assert.equal(quotaBytes("3KB"), 3072n);
  for (
    const bad of ["", "0", "-1", "1.5GB", "1 GB", "1gb", "1GiB", "KB", "8388608TB", "9".repeat(30)]
  ) {
    assert.equal(quotaBytes(bad), null, bad);
  }
});

Deno.test("what is wrong with a quota file is said in one line", () => {
  for (
    const [text, why] of [
      ["", /not a map/],
      ["a: [", /./],
      ["version: 2\ntenants: []", /version 2; allowed: 1/],
      ["tenants: []", /version is missing/],
      ["version: 1", /not a list/],
      ["version: 1\ntenants: [{quota: 1}]", /has no name/],
      ["version: 1\ntenants: [{name: a}]", /"a" has no quota/],
      ["version: 1\ntenants: [{name: a, quota: 1GiB}]", /quota 1GiB; allowed/],
      ["version: 1\ntenants: [{name: _a, quota: 1}]", /"_a": not a name/],
      ["version: 1\ntenants: [{name: a, quota: 1}, {name: a, quota: 2}]", /"a" is there twice/],
    ] as const
  ) {
    assert.throws(() => parsePolicies(text), (error) => {
      assert(error instanceof PolicyError);
      assert.match(error.message, why);
      assert(!error.message.includes("\n"));
      return true;
    });
  }
});

Deno.test("what is written is what is read, in the order of the names", () => {
  assert.equal(formatPolicies(new Map()), "version: 1\n\ntenants: []\n");
  const policies = new Map([["b", 2n ** 63n - 1n], ['a "\\ ü', 1n]]);
  const text = formatPolicies(policies);
  assert.equal(
    text,
    'version: 1\n\ntenants:\n  - name: "a \\"\\\\ ü"\n    quota: 1\n' +
      '  - name: "b"\n    quota: 9223372036854775807\n',
  );
  assert.deepEqual(parsePolicies(text), new Map([...policies].reverse()));
});

Deno.test("a quota file is replaced as a whole, or stays what it was", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/tenants.yaml`;
  assert.equal(readPolicies(path, { missing: true }).size, 0);
  assert.throws(() => readPolicies(path, { missing: false }), /there is no such file/);
  const file = new PolicyFile(path, new Map());
  await Promise.all(
    ["a", "b", "c"].map((name, i) => file.inTurn(() => file.set(name, BigInt(i + 1)))),
  );
  await file.set("b", null);
  assert.deepEqual(Array.from(readPolicies(path, { missing: false })), [["a", 1n], ["c", 3n]]);
  await Deno.mkdir(`${path}.partial`);
  await assert.rejects(file.set("d", 4n));
  assert.equal(file.get("d"), null);
  assert.deepEqual(Array.from(readPolicies(path, { missing: false })), [["a", 1n], ["c", 3n]]);
  await Deno.remove(directory, { recursive: true });
});

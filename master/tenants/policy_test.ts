import assert from "node:assert/strict";
import { NO_RULES, type TenantRules } from "../core/tenant_rules.ts";
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

const RULED = `version: 1
tenants:
  - name: a
    quota: 1GB
    models: [llama-3-8b, "qwen/qwen3 ü", 7, unknown]
    ops_per_second: 20000
    bytes_per_second: 2GB
  - {name: b, quota: 1, models: []}
  - {name: c, quota: 1, models: null, ops_per_second:}
  - {name: d, quota: 1, bytes_per_second: 5}
`;

Deno.test("a quota file says what tenants are held to besides", () => {
  const rules = new Map<string, TenantRules>();
  assert.equal(parsePolicies(RULED, rules).size, 4);
  assert.deepEqual(Array.from(rules), [
    ["a", {
      models: ["llama-3-8b", "qwen/qwen3 ü", "7", "unknown"],
      ...{ opsPerSecond: 20_000, bytesPerSecond: 2 * 2 ** 30 },
    }],
    ["b", { ...NO_RULES, models: [] }],
    ["d", { ...NO_RULES, bytesPerSecond: 5 }],
  ]);
  const again = new Map<string, TenantRules>();
  const text = formatPolicies(parsePolicies(RULED), rules);
  assert.deepEqual(parsePolicies(text, again), parsePolicies(RULED));
  assert.deepEqual(again, rules);
  for (
    const [member, why] of [
      ["models: llama", /"a": models llama; allowed: a list of at most 1024 texts/],
      ['models: [""]', /allowed: a list/],
      ["models: [[a]]", /allowed: a list/],
      [`models: ["${"m".repeat(257)}"]`, /texts of 1 to 256 bytes/],
      ["ops_per_second: 0", /ops_per_second 0; allowed: a whole number from 1 to 2\^50/],
      ["ops_per_second: 1.5", /allowed: a whole number/],
      ["ops_per_second: many", /allowed: a whole number/],
      ["bytes_per_second: 1MiB", /bytes_per_second 1MiB; allowed: .*KB, MB, GB or TB/],
      ["bytes_per_second: 2048TB", /allowed: a whole number/],
    ] as const
  ) {
    const bad = `version: 1\ntenants: [{name: a, quota: 1, ${member}}]`;
    assert.throws(() => parsePolicies(bad), (error) => {
      assert(error instanceof PolicyError);
      assert.match(error.message, why);
      return true;
    }, member);
  }
});

Deno.test("what tenants are held to is kept with their quotas and goes with them", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/tenants.yaml`;
  const file = new PolicyFile(path, new Map([["a", 1n], ["b", 2n]]));
  const ruled = { models: ["m"], opsPerSecond: 3, bytesPerSecond: null };
  const read = () => {
    const rules = new Map<string, TenantRules>();
    return [Array.from(readPolicies(path, { missing: false }, rules)), Array.from(rules)];
  };
  await file.setRules("b", ruled);
  await file.set("a", 5n);
  assert.deepEqual(read(), [[["a", 5n], ["b", 2n]], [["b", ruled]]]);
  await file.set("b", null);
  await file.set("b", 7n);
  assert.deepEqual(read(), [[["a", 5n], ["b", 7n]], []]);
  assert.deepEqual(file.rules("b"), NO_RULES);
  await Deno.remove(directory, { recursive: true });
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

import assert from "node:assert/strict";
import fc from "fast-check";
import { chosenSeed, Random } from "../tests/support/random.ts";
import { ProtocolError } from "./error.ts";
import { type JsonValue, parseJsonExact, stringifyJsonExact } from "./json_exact.ts";

/** Ordinary objects, no -0 and no bigint, for comparing with `JSON.parse`. */
function plain(value: JsonValue): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const copy = {};
  for (const [name, item] of Object.entries(value)) {
    Object.defineProperty(copy, name, {
      value: plain(item),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return copy;
}

Deno.test("every JSON text parses as JSON.parse does, but for the exactness of integers", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), fc.nat(3), (text, indent) => {
      const spaced = JSON.stringify(JSON.parse(text), null, indent);
      fc.pre(!/\d{19}/.test(spaced));
      assert.deepEqual(plain(parseJsonExact(spaced)), plain(JSON.parse(spaced)));
    }),
    { seed: chosenSeed(), numRuns: 500 },
  );
});

Deno.test("integers of 64 bits stay exact in both directions", () => {
  const text = '{"addr":18446744073709551615,"low":-9223372036854775808,"safe":9007199254740991}';
  const value = parseJsonExact(text);
  assert.deepEqual({ ...(value as object) }, {
    addr: 18446744073709551615n,
    low: -9223372036854775808n,
    safe: 9007199254740991,
  });
  assert.equal(stringifyJsonExact(value), text);
  assert.equal(parseJsonExact("9007199254740993"), 9007199254740993n);
  assert.throws(() => parseJsonExact("18446744073709551616"), ProtocolError);
  assert.throws(() => parseJsonExact("-9223372036854775809"), ProtocolError);
});

Deno.test("names are written sorted and without spaces", () => {
  const value = { b: [1, null, true], a: { "ü\n": "x", "": 0.5 } };
  assert.equal(stringifyJsonExact(value), '{"a":{"":0.5,"ü\\n":"x"},"b":[1,null,true]}');
  assert.throws(() => stringifyJsonExact({ a: NaN }), TypeError);
});

Deno.test("what is not JSON is refused", () => {
  const broken = [
    "",
    " ",
    "{",
    "[1,]",
    "{,}",
    '{"a"}',
    '{"a":1,}',
    "{a:1}",
    "'a'",
    '"a',
    '"a\\',
    '"a\\"',
    '"\n"',
    '"\\x"',
    '"\\u12"',
    "01",
    "+1",
    "1.",
    ".5",
    "1e",
    "-",
    "1e400",
    "nul",
    "truex",
    "1 2",
    "// no\n1",
    "\ufeff1",
    "1".repeat(500),
  ];
  for (const text of broken) assert.throws(() => parseJsonExact(text), ProtocolError, text);
  assert.throws(() => parseJsonExact(Uint8Array.of(0x22, 0xff, 0x22)), ProtocolError);
});

Deno.test("size and depth are limited", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  assert.doesNotThrow(() => parseJsonExact(nested(32)));
  assert.throws(() => parseJsonExact(nested(33)), ProtocolError);
  assert.throws(() => parseJsonExact(nested(100_000)), ProtocolError);
  assert.doesNotThrow(() => parseJsonExact(`[${"[],".repeat(100)}[]]`));
  assert.throws(() => parseJsonExact("1234", { maxBytes: 3 }), ProtocolError);
  const long = `"${"\\\\".repeat(400_000)}"`;
  assert.equal((parseJsonExact(long) as string).length, 400_000);
});

Deno.test("a member named __proto__ is a member and the last of two counts", () => {
  const value = parseJsonExact('{"__proto__":{"polluted":1},"a":1,"a":2}') as object;
  assert.deepEqual(Object.keys(value), ["__proto__", "a"]);
  assert.equal((value as { a: number }).a, 2);
  assert.equal(({} as { polluted?: number }).polluted, undefined);
});

Deno.test("20000 damaged texts parse or give a ProtocolError", () => {
  const seed = chosenSeed();
  const random = new Random(seed);
  const text = stringifyJsonExact({
    buffers: [{ addr: 140033096937536, length: 18446744073709551615n, name: 'a"\\\u0001ü' }],
    flags: [true, false, null, -1.5e-7],
    name: "127.0.0.1:60399",
  });
  for (let i = 0; i < 20_000; i++) {
    const units = [...text];
    for (let edits = 1 + random.below(4); edits > 0; edits--) {
      const at = random.below(units.length);
      const insert = random.pick([
        '"',
        "\\",
        "{",
        "[",
        "]",
        "}",
        ",",
        ":",
        "9",
        "e",
        "-",
        "\0",
        "",
      ]);
      units.splice(at, random.below(3), insert);
    }
    const damaged = units.join("");
    try {
      const value = parseJsonExact(damaged);
      assert.deepEqual(parseJsonExact(stringifyJsonExact(value)), value);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `seed ${seed}, text ${i}: ${damaged}: ${error}`);
      if (/64 bits|out of range/.test(error.message)) continue;
      assert.throws(() => JSON.parse(damaged), `seed ${seed}, text ${i}: ${damaged}`);
    }
  }
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesOf } from "../../../tests/support/core_driver.ts";
import { Random } from "../../../tests/support/random.ts";
import { byteText, compilePattern } from "../key_pattern.ts";
import { type KeyMatcher, Verdict } from "./matcher.ts";

function matcherOf(pattern: string): KeyMatcher {
  const matcher = compilePattern(bytesOf(pattern));
  assert(typeof matcher !== "string", `${pattern} ${matcher}`);
  return matcher;
}

/** With more of these inside of one another V8 takes minutes for a dozen bytes. */
const UNBOUNDED = /[*+]|\{2,\}/g;
const MOST_UNBOUNDED = 6;

/** Patterns that mean the same to V8, and that it matches in bounded time in short keys. */
const { pattern } = fc.letrec<{ pattern: string; term: string; atom: string }>((tie) => ({
  pattern: fc.array(fc.array(tie("term"), { maxLength: 4 }), { minLength: 1, maxLength: 3 })
    .map((choices) => choices.map((terms) => terms.join("")).join("|")),
  term: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom("^", "$", "\\b", "\\B"),
    fc.tuple(tie("atom"), fc.constantFrom("", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "+?"))
      .map(([atom, repeated]) => atom + repeated),
  ),
  atom: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("a", "b", "/", "1", ".", "\\d", "\\w", "\\W", "[ab]", "[^a1]", "[a-b/]", "[^]"),
    fc.tuple(fc.constantFrom("(", "(?:"), tie("pattern")).map(([open, inner]) =>
      `${open}${inner})`
    ),
    fc.tuple(fc.constantFrom("(?=", "(?!"), tie("pattern"))
      .map(([open, inner]) => `(?:${open}${inner}))`),
  ),
}));

const key = fc.string({ unit: fc.constantFrom("a", "b", "/", "1", "_", "\n", "é"), maxLength: 12 });

Deno.test("an expression is found where V8 finds it, in whatever pieces it is looked for", () => {
  const property = fc.property(
    ...[pattern, fc.array(key, { maxLength: 8 }), fc.nat(6), fc.nat(3)] as const,
    (pattern, keys, work, before) => {
      fc.pre((pattern.match(UNBOUNDED) ?? []).length <= MOST_UNBOUNDED);
      const matcher = compilePattern(bytesOf(pattern));
      if (typeof matcher === "string") return assert.match(matcher, /more than/);
      const expression = new RegExp(pattern);
      for (const key of keys) {
        const bytes = bytesOf(key);
        const end = before + bytes.length;
        const around = bytesOf("b".repeat(before) + key + "a");
        let verdict: number = matcher.test(around, before, end, { left: work === 0 ? 1e9 : work });
        while (verdict === Verdict.UNDECIDED) verdict = matcher.resume(bytes, { left: work });
        assert.equal(verdict === Verdict.MATCH, expression.test(byteText(bytes)), key);
      }
    },
  );
  fc.assert(property, { numRuns: 1000 });
});

/** Units of work until a key is decided. */
function workOf(matcher: KeyMatcher, key: Uint8Array): number {
  const work = { left: 1e12 };
  assert.notEqual(matcher.test(key, 0, key.length, work), Verdict.UNDECIDED);
  return 1e12 - work.left;
}

Deno.test("the work for a key grows with its length, whatever the pattern", () => {
  const patterns = [
    ...["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){12}$", "^(([a-z])+.)+[A-Z]([a-z])+$"],
    ...["(?=(a+)+$)a*c", "(x+x+)+y", "(\\w*\\b)*!", "a*".repeat(300) + "b"],
  ];
  for (const pattern of patterns) {
    const [short, long] = [5_000, 10_000].map((length) =>
      workOf(matcherOf(pattern), new Uint8Array(length).fill(0x61).fill(0x21, length - 1))
    );
    assert(long <= 2.2 * short, `${pattern}: ${short}, then ${long}`);
  }
});

Deno.test("a pattern that needs more states than are kept is matched all the same", () => {
  const matcher = matcherOf("^[ab]{16}a[ab]*$");
  const drawn = new Random(7);
  const random = new Uint8Array(200_000).map(() => 0x61 + drawn.below(2));
  for (let start = 0; start + 1000 <= random.length; start += 1000) {
    const expected = random[start + 16] === 0x61;
    const verdict = matcher.test(random, start, start + 1000, { left: Infinity });
    assert.equal(verdict === Verdict.MATCH, expected, `from ${start}`);
  }
});

Deno.test("a slice of the work ends soon after the work has run out", () => {
  const matcher = matcherOf("(?:a|b)*a(?:a|b){2000}c");
  const drawn = new Random(7);
  const key = new Uint8Array(1 << 20).map(() => 0x61 + drawn.below(2));
  key[key.length - 1] = 0x63;
  let verdict: Verdict = Verdict.UNDECIDED;
  for (let slice = 0; slice < 20 && verdict === Verdict.UNDECIDED; slice++) {
    const work = { left: 100_000 };
    verdict = slice === 0 ? matcher.test(key, 0, key.length, work) : matcher.resume(key, work);
    assert(work.left > -200_000, `${-work.left} units too many`);
  }
});

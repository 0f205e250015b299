import assert from "node:assert/strict";
import { bytesOf } from "../../../tests/support/core_driver.ts";
import { compilePattern } from "../key_pattern.ts";
import { Verdict } from "./matcher.ts";

/** Whether a pattern is found in a key; `null` = it is refused. */
function found(pattern: string, key: string): boolean | null {
  const matcher = compilePattern(bytesOf(pattern));
  if (typeof matcher === "string") return null;
  const bytes = bytesOf(key);
  return matcher.test(bytes, 0, bytes.length, { left: Infinity }) === Verdict.MATCH;
}

/** As `std::regex_search` with GCC's library answers, which is what the reference uses. */
const asTheReference: [pattern: string, matching: string[], others: string[]][] = [
  ["", ["", "a"], []],
  ["a.c", ["xabcx", "a-c"], ["a\nc", "a\rc", "ac"]],
  ["^p..th$", ["päth"], ["pth", "path"]],
  ["[]", [], ["", "a", "]"]],
  ["[^]", ["\n", "a"], [""]],
  ["[]a]", [], ["]", "a"]],
  ["[a-]", ["a", "-"], ["b"]],
  ["[a-c-z]", ["b", "-", "z"], ["d"]],
  ["[+--]", ["+", ",", "-"], ["."]],
  ["[\\w-]", ["_", "-"], [" ", "."]],
  ["[^\\W\\d]", ["a", "_"], ["1", "-"]],
  ["[[:Digit:][:space:]]", ["7", "\t"], ["d"]],
  ["^[^[:space:][:upper:]]$", ["a"], ["A", " "]],
  ["[[:punct:]]", ["]", "_"], ["a", "é"]],
  ["[[]", ["["], [":"]],
  ["a]b}", ["a]b}"], ["ab"]],
  ["\\x61\\u0062\\-\\a", ["ab-a"], ["ab"]],
  ["^[\\b\\t]$", ["\b", "\t"], ["b", "t"]],
  ["\\bkey\\b", ["a key", "key-1"], ["keys", "_key"]],
  ["a\\Bb", ["ab"], ["a b"]],
  ["^\\s$", [" ", "\v"], ["\u00a0", "x"]],
  ["^(ab|c){2,3}$", ["abc", "cccc".slice(1), "ababab"], ["ab", "cccc"]],
  ["^a{2}b{0}c{1,}$", ["aac", "aacc"], ["ac", "aabc"]],
  ["^a*?b+?c??$", ["b", "aabbc"], ["ac"]],
  ["^a**+?$", ["", "aaa"], ["b"]],
  ["^(?:a|)$|^$x", ["a", ""], ["b"]],
  ["^(?!model/)", ["kv/1", ""], ["model/1"]],
  ["^model/(?=.*7)(?!.*8)", ["model/17"], ["model/18", "model/178", "x"]],
  ["(?=(?!ab).b)a?", ["bb"], ["ab"]],
  ["(a+)+$", ["aaa"], ["aab"]],
];

Deno.test("patterns mean what they mean to the reference", () => {
  for (const [pattern, matching, others] of asTheReference) {
    for (const key of matching) assert.equal(found(pattern, key), true, `${pattern} in ${key}`);
    for (const key of others) assert.equal(found(pattern, key), false, `${pattern} in ${key}`);
  }
});

Deno.test("what the reference refuses is refused, and why is told", () => {
  const refused: [pattern: string, why: RegExp][] = [
    ["(", /lacks a "\)"/],
    ["a)", /is not understood from byte 2 on/],
    ["[", /lacks a "]"/],
    ["*a", /from byte 1 on/],
    ["^*", /from byte 2 on/],
    ["(?=a)+", /from byte 6 on/],
    ["a{", /from its end on/],
    ["a{1", /from its end on/],
    ["a{,2}", /from byte 3 on/],
    ["a{2,1}", /repeats from 2 to 1 times/],
    ["a\\", /ends with a backslash/],
    ["(?<n>a)", /has "\(\?<", which is not known/],
    ["[b-a]", /a range in brackets, before byte 5/],
    ["[\\w-a]", /a range/],
    ["[a-\\d]", /a range/],
    ["[[:nonsense:]]", /names no class/],
    ["[\\B]", /has "\\B" in brackets/],
    ["\\x1", /no 2 hexadecimal digits/],
    ["\\u12g4", /no 4 hexadecimal digits/],
  ];
  for (const [pattern, why] of refused) assertRefused(pattern, why);
});

Deno.test("what cannot be matched in bounded time, or has two meanings, is refused", () => {
  assertRefused("(a)\\1", /has "\\1": what a group has matched cannot be asked for again/);
  assertRefused("\\cA", /has "\\c"; write control characters as "\\xNN"/);
  assertRefused("\\u4e2d", /has "\\u4e2d", which is more than one byte/);
  assertRefused("[[.hyphen.]]", /collation/);
  assertRefused("x".repeat(4097), /is longer than 4096 bytes/);
  assertRefused("(a{100}){101}", /has more than 10000 steps/);
  assertRefused("a{9999999999}", /has more than 10000 steps/);
  assertRefused("((?=a)b){65}", /looks ahead more than 64 times/);
  assertRefused("(".repeat(100) + ")".repeat(100), /nests more than 100 groups/);
  assertRefused("a*****", /more than 4 in a row/);
  assert.equal(found("b(a{100}){99}", "aa"), false);
  assert.equal(found("(){9999999999}", ""), true);
  assert.equal(found("(".repeat(99) + "b" + ")****".repeat(99), "a"), true);
});

function assertRefused(pattern: string, why: RegExp): void {
  const matcher = compilePattern(bytesOf(pattern));
  assert(typeof matcher === "string", `${pattern} is taken`);
  assert.match(matcher, why, pattern);
}

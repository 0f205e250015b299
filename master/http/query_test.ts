import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes, percentDecode, rawParameter, splitAtCommas } from "./query.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("the first parameter of a name is found, raw", () => {
  assert.equal(rawParameter("http://h/p?a=1&key=x%2Fy=z&key=2#f", "key"), "x%2Fy=z");
  assert.equal(rawParameter("http://h/p?key", "key"), "");
  assert.equal(rawParameter("http://h/p?key=", "key"), "");
  assert.equal(rawParameter("http://h/p?monkey=1", "key"), null);
  assert.equal(rawParameter("http://h/p", "key"), null);
  assert.equal(rawParameter("http://h/p?key=1#key=2", "key"), "1");
});

Deno.test("any bytes survive percent-encoding, in either case of the digits", () => {
  fc.assert(fc.property(fc.uint8Array(), fc.boolean(), (key, upper) => {
    const digits = (byte: number) => byte.toString(16).padStart(2, "0");
    const escaped = Array.from(key, (byte) => `%${digits(byte)}`).join("");
    assert.deepEqual(percentDecode(upper ? escaped.toUpperCase() : escaped), key);
  }));
});

Deno.test("text without escapes stays, and a malformed escape stands for itself", () => {
  for (const text of ["a/b:c", "%", "%4", "%zz", "a%2", "a+b", "é"]) {
    assert.deepEqual(percentDecode(text), bytes(text), text);
  }
  assert.deepEqual(percentDecode("a+b%2B", true), bytes("a b+"));
});

Deno.test("a list keeps empty parts", () => {
  const parts = (text: string) =>
    splitAtCommas(bytes(text)).map((part) => new TextDecoder().decode(part));
  assert.deepEqual(parts("a,,b"), ["a", "", "b"]);
  assert.deepEqual(parts("a"), ["a"]);
  assert.deepEqual(parts(","), ["", ""]);
});

Deno.test("bytes are ordered as unsigned numbers, prefixes first", () => {
  const sorted = [[], [0], [0, 1], [1], [127], [128], [255]].map((list) => Uint8Array.from(list));
  assert.deepEqual(sorted.toReversed().sort(compareBytes), sorted);
});

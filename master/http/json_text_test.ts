import assert from "node:assert/strict";
import { fraction, jsonText, sixDigits } from "./json_text.ts";

Deno.test("text outside ASCII and control characters are escaped in upper case", () => {
  assert.equal(
    jsonText('\x1f\x7f"\\/\b\f\r\t\n\0é漢😀'),
    '"\\u001F\x7f\\"\\\\/\\b\\f\\r\\t\\n\\u0000\\u00E9\\u6F22\\uD83D\\uDE00"',
  );
  assert.equal(jsonText("\\u00e9"), '"\\\\u00e9"');
});

Deno.test("whole numbers keep 64 bits and members keep their order", () => {
  const value = { b: 18_446_744_073_709_551_615n, a: [1, null, true, {}], "1": "x" };
  assert.equal(
    jsonText(value),
    '{"1":"x","b":18446744073709551615,"a":[1,null,true,{}]}',
  );
  assert.equal(jsonText(new Map([["b", 1], ["10", 2], ["9", 3]])), '{"b":1,"10":2,"9":3}');
});

Deno.test("fractions are written as the reference writes them", () => {
  const cases: [number, string][] = [
    [1.7854392528533936, "1.7854392528533936E0"],
    [0.00002384185791015625, "2.384185791015625E-5"],
    [100, "1E2"],
    [0, "0E0"],
  ];
  for (const [value, text] of cases) assert.equal(jsonText(fraction(value)), text);
});

Deno.test("six digits are kept, and a tie goes to the even one", () => {
  const cases: [number, string][] = [
    [0.0625, "0.0625"],
    [0.09765625, "0.0976562"],
    [16, "16"],
    [1 / 3, "0.333333"],
    [2 / 3, "0.666667"],
    [0.5, "0.5"],
    [12.3456789, "12.3457"],
    [1.0000055, "1.00001"],
  ];
  for (const [value, text] of cases) assert.equal(sixDigits(value), text);
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesOf } from "../../tests/support/core_driver.ts";
import { FoundLabels, KeyFormat, MAX_LABELLED_KEY_BYTES } from "./key_format.ts";

function read(format: string, key: string): [model: string | null, layer: number] {
  const found = new FoundLabels();
  const bytes = bytesOf(`..${key}..`);
  new KeyFormat(format).read(bytes, 2, bytes.length - 2, found);
  const { modelStart, modelEnd, layer } = found;
  const model = modelStart < 0 ? null : new TextDecoder().decode(
    bytes.subarray(modelStart, modelEnd),
  );
  return [model, layer];
}

Deno.test("keys of the engines tell their model and layer", () => {
  const lmcache = "{model}@{}@{}@{}@{}@{layer};{model}@{}@{}@{}";
  assert.deepEqual(read(lmcache, "meta/llama-3@4@2@9f1c@bf16@31"), ["meta/llama-3", 31]);
  assert.deepEqual(read(lmcache, "meta/llama-3@4@2@9f1c@bf16"), ["meta/llama-3", -1]);
  assert.deepEqual(read(lmcache, "meta/llama-3@4@2@9f1c@bf16@salt%x"), ["meta/llama-3", -1]);
  assert.deepEqual(read(lmcache, "a hash without a model"), [null, -1]);
  const vllm = "{model}@tp_rank:{}@pcp{}@dcp{}@pp_rank:{}@{}";
  assert.deepEqual(read(vllm, "qwen@tp_rank:0@pcp0@dcp0@pp_rank:1@group:0@ab"), ["qwen", -1]);
  const ascend = "{model}@{}@layer_id:{layer}@{}";
  assert.deepEqual(read(ascend, "m@pcp0@dcp0@group:1@layer_id:7@ab12"), ["m", 7]);
  const sglang = "{model}_{}_{}_k;{model}_{}_{}_v";
  assert.deepEqual(read(sglang, "tag_0123abcd_0_k"), ["tag", -1]);
  assert.deepEqual(read(sglang, "tag_0123abcd_0_v"), ["tag", -1]);
  assert.deepEqual(read(sglang, "tag_0123abcd_0_x"), [null, -1]);
});

Deno.test("each label is that of the first template that fits and names it", () => {
  const format = "{model}@{};{}_layer{layer}_{};{layer}:{}";
  assert.deepEqual(read(format, "m@x_layer12_y"), ["m", 12]);
  assert.deepEqual(read(format, "x_layer3_"), [null, 3]);
  assert.deepEqual(read(format, "m@x"), ["m", -1]);
  assert.deepEqual(read(format, "5:m@_layer6_"), ["5:m", 6]);
});

Deno.test("a field ends at the first place that fits, and texts do not overlap", () => {
  assert.deepEqual(read("{model}aab{}", "xaaab"), ["xa", -1]);
  assert.deepEqual(read("{model}ab", "ab"), [null, -1]);
  assert.deepEqual(read("a{model}a", "a"), [null, -1]);
  assert.deepEqual(read("aa{model}aa", "aaa"), [null, -1]);
  assert.deepEqual(read("aa{model}aa", "aaxaa"), ["x", -1]);
  assert.deepEqual(read("{}:{layer}", "m:000000012"), [null, 12]);
  for (const bad of ["m:", "m:1x", "m:-1", "m:1234567890", "1"]) {
    assert.deepEqual(read("{}:{layer}", bad), [null, -1], bad);
  }
  assert.deepEqual(read("{model}@{}", `${"m".repeat(256)}@`), ["m".repeat(256), -1]);
  assert.deepEqual(read("{model}@{}", `${"m".repeat(257)}@`), [null, -1]);
  const rest = (length: number) => `m@${"x".repeat(length - 2)}`;
  assert.deepEqual(read("{model}@{}", rest(MAX_LABELLED_KEY_BYTES)), ["m", -1]);
  assert.deepEqual(read("{model}@{}", rest(MAX_LABELLED_KEY_BYTES + 1)), [null, -1]);
});

Deno.test("what is wrong with a format is said, and what is allowed", () => {
  for (
    const [format, why] of [
      ["{}@{}", /"\{\}@\{\}": it names neither/],
      ["{model}@{};", /"": it names neither/],
      ["{model}{}", /nothing between \{model\} and \{\}/],
      ["{model}@{model}", /\{model\} is there twice/],
      ["{modell}@{}", /\{modell\} is no field; allowed: \{\}, \{model\} and \{layer\}/],
      ["{model}@{", /@\{ is no field/],
      [Array(9).fill("{model}").join(";"), /9 templates; allowed: 8/],
      [`{model}${"x".repeat(1024)}`, /too long; allowed: 1024 bytes/],
    ] as const
  ) {
    assert.throws(() => new KeyFormat(format), (error) => {
      assert(error instanceof RangeError);
      assert.match(error.message, why);
      return true;
    });
  }
});

Deno.test("a template fits what the same pattern with shortest matches fits", () => {
  const part = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 3 });
  const parts = fc.tuple(
    fc.option(part, { nil: "" }),
    fc.array(part, { maxLength: 2 }),
    fc.option(part, { nil: "" }),
  );
  const key = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 14 });
  fc.assert(fc.property(parts, key, ([first, middle, last], text) => {
    const template = `${first}{}${middle.map((literal) => `${literal}{}`).join("")}${last}`;
    const at = template.lastIndexOf("{}");
    const format = `${template.slice(0, at)}{model}${template.slice(at + 2)}`;
    const skipped = middle.map((literal) => `.*?${literal}`).join("");
    const expected = new RegExp(`^${first}${skipped}(.*)${last}$`).exec(text)?.[1] ?? "";
    assert.deepEqual(read(format, text), [expected === "" ? null : expected, -1]);
  }));
});

import assert from "node:assert/strict";
import { countWrong, fillBlock } from "./content.ts";
import { idealHits } from "./ideal_cache.ts";
import { generateRequests, parseTrace } from "./request.ts";

const main = new URL("main.ts", import.meta.url).pathname;

async function demo(args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout), error: decoder.decode(stderr) };
}

function row(text: string, name: string): string {
  const line = text.split("\n").find((one) => one.startsWith(name));
  assert(line, `the table has a row "${name}":\n${text}`);
  return line;
}

const small = ["--requests", "300", "--node-size", "24mib", "--lease-ms", "500"];

for (
  const [how, env] of [
    ["", {}],
    [" without the C shim", { SNOWSKIN_NATIVE: "off" }],
  ] as [string, Record<string, string>][]
) {
  Deno.test(`the demo${how} evicts, reads nothing wrong and comes close to an ideal cache`, async () => {
    const { code, text, error } = await demo(small, env);
    assert.equal(code, 0, error + text);
    assert.match(row(text, "wrong bytes"), / 0$/);
    const reached = Number(/reached ([\d.]+) of it/.exec(text)?.[1]);
    assert(reached >= 0.9, row(text, "  ideal LRU"));
    assert(Number(/(\d+) blocks/.exec(row(text, "evictions"))?.[1]) > 0);
    assert.equal(/Without the C shim/.test(text), how !== "" || !/tcp-native/.test(text));
  });
}

Deno.test("the demo replays a trace from a file", async () => {
  const trace = await Deno.makeTempFile({ suffix: ".jsonl" });
  const lines = generateRequests(60).map(({ blocks }) => JSON.stringify({ hash_ids: blocks }));
  await Deno.writeTextFile(trace, lines.join("\n") + "\n");
  const { code, text } = await demo(["--trace", trace]);
  await Deno.remove(trace);
  assert.equal(code, 0, text);
  assert.match(row(text, "requests"), /60 with/);
  assert.match(row(text, "wrong bytes"), / 0$/);
});

Deno.test("bad options of the demo are refused in one line", async () => {
  for (
    const [args, expected] of [
      [["--requests", "many"], /--requests is "many"; allowed/],
      [["--block-size", "3"], /--block-size is 3; allowed/],
      [["--node-size", "1kib"], /--node-size is 1024; allowed/],
      [["--trace", "/nowhere/trace.jsonl"], /--trace is "\/nowhere\/trace.jsonl"/],
      [["--colour"], /--colour/],
    ] as [string[], RegExp][]
  ) {
    const { code, error } = await demo(args);
    assert.equal(code, 2);
    assert.match(error, expected);
    assert.equal(error.trim().split("\n").length, 1, error);
  }
});

Deno.test("a line of a trace without ids is refused by its number", () => {
  assert.throws(() => parseTrace('{"hash_ids":[1,2]}\n{"hash_ids":"x"}\n'), /line 2/);
  assert.deepEqual(parseTrace('{"hash_ids":[1,2]}\n\n'), [{ blocks: [1, 2] }]);
});

Deno.test("the ideal cache counts prefixes and forgets the least recently used", () => {
  const requests = [[1, 2, 3], [1, 2, 4], [5, 6], [1, 2, 3]].map((blocks) => ({ blocks }));
  assert.deepEqual(idealHits(requests, Infinity), { blocks: 11, hits: 5 });
  assert.deepEqual(idealHits(requests, 2), { blocks: 11, hits: 2 });
});

Deno.test("a wrong word of a block is found", () => {
  const words = new Uint32Array(1024);
  fillBlock(7, words);
  assert.equal(countWrong(7, words), 0);
  words[500] ^= 1;
  assert.equal(countWrong(7, words), 1);
  assert(countWrong(8, words) > 1000);
});

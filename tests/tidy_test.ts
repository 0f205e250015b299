/**
 * Rules about the code base itself: which folder may import which, where clocks and sockets may be
 * read, how long a file may be, and what must not be left lying about.
 */
import assert from "node:assert/strict";
import { walk } from "./support/walk.ts";

const root = new URL("../", import.meta.url).pathname;

/**
 * Areas, most specific first, and what each may import besides itself. An area that is not listed
 * here makes the test fail, so that a new folder is placed on purpose.
 */
const areas: { prefix: string; may: string[] }[] = [
  { prefix: "proto/", may: [] },
  { prefix: "master/core/", may: ["proto/"] },
  { prefix: "master/", may: ["proto/", "ffi/", "master/core/"] },
  { prefix: "ffi/", may: [] },
  { prefix: "native/", may: ["ffi/", "tests/"] },
  { prefix: "client/transfer/", may: ["proto/", "ffi/"] },
  { prefix: "client/node/", may: ["proto/", "ffi/", "client/", "client/transfer/"] },
  { prefix: "client/connection/", may: ["ffi/", "client/transfer/"] },
  { prefix: "client/", may: ["proto/", "client/transfer/", "client/connection/"] },
  { prefix: "te/", may: ["proto/", "client/transfer/"] },
  { prefix: "te.ts", may: ["proto/", "client/transfer/", "te/"] },
  {
    prefix: "doctor/",
    may: [
      ...["proto/", "ffi/", "client/", "client/transfer/", "client/connection/", "client/node/"],
      "master/",
    ],
  },
  { prefix: "examples/transfer_engine/", may: ["te.ts"] },
  { prefix: "examples/", may: ["mod.ts", "client/", "client/transfer/", "ffi/"] },
  { prefix: "bench/", may: ["*"] },
  { prefix: "tests/", may: ["*"] },
  { prefix: "mod.ts", may: ["proto/", "client/", "client/transfer/"] },
  { prefix: "snowskin.ts", may: ["master/", "client/node/", "te/", "doctor/"] },
];

const sources = await walk(root, (path) => path.endsWith(".ts"));
const texts = new Map(
  await Promise.all(
    sources.map(async (path) => [path, await Deno.readTextFile(root + path)] as const),
  ),
);

function areaOf(path: string): { prefix: string; may: string[] } {
  const area = areas.find(({ prefix }) => path.startsWith(prefix));
  assert(area, `${path} lies in no known area: add it to tests/tidy_test.ts`);
  return area;
}

/** Relative imports of a file, as paths from the root. */
function importsOf(path: string, text: string): string[] {
  const specifiers = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^;"']*?["'](\.[^"']+)["']|\bimport\(\s*["'](\.[^"']+)["']/g,
  );
  return Array.from(
    specifiers,
    (match) => new URL(match[1] ?? match[2], `file:///${path}`).pathname.slice(1),
  );
}

function isTest(path: string): boolean {
  return path.endsWith("_test.ts") || path.endsWith(".bench.ts");
}

Deno.test("imports point one way", () => {
  const wrong: string[] = [];
  for (const [path, text] of texts) {
    if (isTest(path)) continue;
    const { prefix, may } = areaOf(path);
    for (const target of importsOf(path, text).filter((file) => file.endsWith(".ts"))) {
      const targetArea = areaOf(target).prefix;
      if (targetArea !== prefix && !may.includes(targetArea) && !may.includes("*")) {
        wrong.push(`${path} imports ${target}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("no imports go round in a circle", () => {
  const done = new Set<string>();
  const open: string[] = [];
  const visit = (path: string) => {
    if (done.has(path)) return;
    assert(
      !open.includes(path),
      `a circle: ${[...open.slice(open.indexOf(path)), path].join(" -> ")}`,
    );
    open.push(path);
    const text = texts.get(path) ?? "";
    const values = text.replace(/(?:^|\n)\s*(?:import|export) type\b[^;]*;/g, "");
    for (const target of importsOf(path, values)) if (texts.has(target)) visit(target);
    open.pop();
    done.add(path);
  };
  for (const path of texts.keys()) visit(path);
});

Deno.test("the core reads no clock, timer, socket or random number", () => {
  const forbidden =
    /\b(Date\.now|new Date\b|performance\.|Math\.random|setTimeout|setInterval|Deno\.|process\.|fetch\(|node:net|node:fs|crypto\.)/;
  const wrong: string[] = [];
  for (const [path, text] of texts) {
    if (!path.startsWith("master/core/") || isTest(path)) continue;
    const found = forbidden.exec(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""));
    if (found) wrong.push(`${path} uses ${found[0]}`);
  }
  assert.deepEqual(wrong, []);
});

Deno.test("files that Node runs do not name Deno", () => {
  const denoOnly = /^(client\/(node\/|transfer\/(native_engine|open_engine))|te\/cli\/)/;
  const wrong: string[] = [];
  for (const [path, text] of texts) {
    if (!/^(proto|client|te)\//.test(path) || denoOnly.test(path) || isTest(path)) continue;
    if (/\bDeno\.(?!test)/.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""))) wrong.push(path);
  }
  assert.deepEqual(wrong, []);
});

Deno.test("files stay short", () => {
  const long = Array.from(texts)
    .map(([path, text]) => ({ path, lines: text.split("\n").length }))
    .filter(({ path, lines }) => lines > (isTest(path) || path.startsWith("tests/") ? 700 : 500));
  assert.deepEqual(long, []);
});

Deno.test("nothing unfinished and no path of one machine is left in the files", async () => {
  const everything = await walk(
    root,
    (path) => /\.(ts|c|h|md|json|py|sh)$/.test(path) && !path.startsWith("proto/testdata/"),
  );
  const unfinished = new RegExp(["TO" + "DO", "FIX" + "ME", "X" + "XX:"].join("|"));
  const machine = new RegExp(
    `(?<![\\w.])/(${["wo" + "rk", "ro" + "ot", "ho" + "me"].join("|")})/[a-z]`,
  );
  const wrong: string[] = [];
  for (const path of everything) {
    const text = await Deno.readTextFile(root + path);
    for (const [i, line] of text.split("\n").entries()) {
      if (unfinished.test(line) || machine.test(line)) {
        wrong.push(`${path}:${i + 1}: ${line.trim()}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

import assert from "node:assert/strict";
import { Logger, type LoggerOptions } from "./logger.ts";

function log(options: Partial<LoggerOptions>, use: (logger: Logger) => void): string[] {
  const lines: string[] = [];
  const nowMs = new Date(2026, 10, 22, 14, 54, 23, 7).getTime() + 0.577;
  use(
    new Logger({
      ...{ source: "master_admin", json: false, minLevel: 0, prefix: true, pid: 228 },
      now: () => nowMs,
      write: (line) => lines.push(line),
      ...options,
    }),
  );
  return lines;
}

Deno.test("a text line starts as glog's do", () => {
  const [info, error] = log({}, (logger) => {
    logger.info("one\ntwo", { ignored: 1 });
    logger.error("bad");
  });
  assert.match(info, /^I1122 14:54:23\.00757[67] {3}228 master_admin:0\] one\\ntwo\n$/);
  assert.match(error, /^E1122 .* bad\n$/);
});

Deno.test("the prefix can be left out", () => {
  assert.deepEqual(log({ prefix: false }, (logger) => logger.info("x")), ["x\n"]);
});

Deno.test("lines below the lowest level are dropped", () => {
  const lines = log({ minLevel: 1, prefix: false }, (logger) => {
    logger.info("a");
    logger.warning("b");
    logger.error("c");
  });
  assert.deepEqual(lines, ["b\n", "c\n"]);
});

Deno.test("a JSON line holds time, level, source, message and the fields", () => {
  const [line] = log({ json: true, prefix: false }, (logger) => logger.warning("x\n", { n: 1 }));
  const { time, ...rest } = JSON.parse(line);
  assert.equal(line.indexOf("\n"), line.length - 1);
  assert.equal(new Date(time).getMilliseconds(), 7);
  assert.deepEqual(rest, { level: "warning", source: "master_admin", message: "x\n", n: 1 });
});

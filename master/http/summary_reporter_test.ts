import assert from "node:assert/strict";
import { Counter } from "../core/counters.ts";
import { Logger } from "../logger.ts";
import { backendOf, MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { SummaryReporter } from "./summary_reporter.ts";

function rig(format: "text" | "kep" | "json") {
  const core = new MemoryAdminCore();
  core.core[Counter.CAPACITY_BYTES] = 30 * 2 ** 30;
  const lines: string[] = [];
  const logger = new Logger({
    ...{ source: "master_admin", json: format === "json", minLevel: 0, prefix: true, pid: 228 },
    ...{ now: () => 0, write: (line) => lines.push(line) },
  });
  return {
    core,
    lines,
    reporter: new SummaryReporter({ backend: backendOf(core), logger, format }),
  };
}

const PREFIX = String.raw`^I\d{4} \d\d:\d\d:\d\d\.\d{6} {3}228 master_admin:0\] `;

Deno.test("the text line begins as the reference's does", async () => {
  const { lines, reporter } = rig("text");
  await reporter.report();
  assert.match(
    lines[0],
    new RegExp(
      `${PREFIX}Master Admin Metrics: role=leader, state=serving, service_ready=true, ` +
        String.raw`master=\{Mem Storage: 0 B / 30\.00 GB \(0\.0%\) \| .*\}, ha=\{.*\}\n$`,
    ),
  );
});

Deno.test("the short line is KEP-74's", async () => {
  const { lines, reporter } = rig("kep");
  await reporter.report();
  assert.match(
    lines[0],
    new RegExp(
      `${PREFIX}Master Metrics: Storage: 0 B / 30\\.00 GB \\(0\\.0%\\) \\| ` +
        "Keys: 0 \\(soft-pinned: 0\\)\\n$",
    ),
  );
});

Deno.test("the JSON line carries the numbers", async () => {
  const { lines, reporter } = rig("json");
  await reporter.report();
  const { level, metrics } = JSON.parse(lines[0]);
  assert.equal(level, "info");
  assert.equal(metrics.capacityBytes, 30 * 2 ** 30);
});

Deno.test("the summary's rates go back to the last line, or to the one before if that is new", async () => {
  const { core, reporter } = rig("text");
  const exist = () => core.registry.meter("ExistKey")!.served(1, 0);
  const rate = () =>
    /Exist=([\d.]+)\//.exec(reporter.summary(core.metricsSnapshot(), core.masterStatus))?.[1];
  await reporter.report();
  for (let i = 0; i < 10; i++) exist();
  core.nowMs = 5000;
  assert.equal(rate(), "2.00");
  await reporter.report();
  assert.equal(rate(), "2.00");
  core.nowMs = 6000;
  exist();
  assert.equal(rate(), "1.00");
});

Deno.test("without lines the rates go back to the start", async () => {
  const { core, lines, reporter } = rig("text");
  await reporter.start(null);
  core.registry.meter("Ping")!.served(1, 0);
  core.nowMs = 4000;
  assert.match(reporter.summary(core.metricsSnapshot(), core.masterStatus), /Ping=0\.25\/0\.25/);
  assert.deepEqual(lines, []);
});

Deno.test("a core that does not answer is a warning", async () => {
  const { core, lines, reporter } = rig("text");
  core.metricsSnapshot = () => {
    throw new Error("no answer");
  };
  await reporter.report();
  assert.match(lines[0], /^W.* No metrics: no answer\n$/);
});

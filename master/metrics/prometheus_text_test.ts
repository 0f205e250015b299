import assert from "node:assert/strict";
import { Counter } from "../core/counters.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { FAMILIES } from "./families.ts";
import { prometheusText } from "./prometheus_text.ts";

const info = { version: "1.2.3", clusterId: "c", rssBytes: 4096, uptimeSeconds: 1.5 };

function segment(name: string, allocatedBytes: number, capacityBytes: number) {
  return {
    ...{ name, id: "1-2", clientId: "3-4", base: 0n, size: capacityBytes, teEndpoint: "e" },
    ...{ protocol: "tcp", status: 1 as const, allocatedBytes, capacityBytes },
  };
}

/** Samples by name and labels; fails on a line that the format does not have. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  assert.ok(text.endsWith("\n"));
  for (const line of text.slice(0, -1).split("\n")) {
    const type = /^# TYPE ([a-z_0-9]+) (counter|gauge|histogram)$/.exec(line);
    if (type) {
      assert.ok(!types.has(type[1]), `${type[1]} twice`);
      types.set(type[1], type[2]);
      continue;
    }
    if (/^# HELP [a-z_0-9]+ \S.*$/.test(line)) continue;
    const sample =
      /^(([a-z_0-9]+)(?:\{[a-z_]+="(?:[^"\\]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\]|\\["\\n])*")*\})?) (\S+)$/
        .exec(line);
    assert.ok(sample, `not a sample: ${line}`);
    const family = sample[2].replace(/_(bucket|sum|count)$/, "");
    assert.ok(types.has(sample[2]) || types.get(family) === "histogram", `no type: ${line}`);
    assert.ok(!samples.has(sample[1]), `${sample[1]} twice`);
    assert.ok(Number.isFinite(Number(sample[3])), line);
    samples.set(sample[1], Number(sample[3]));
  }
  return samples;
}

Deno.test("every family has a name, a type, a help text and the samples of an idle master", () => {
  const samples = parse(prometheusText(new MemoryAdminCore().metricsSnapshot(), info));
  assert.equal(new Set(FAMILIES.map(({ name }) => name)).size, FAMILIES.length);
  for (const { name, type, help } of FAMILIES) {
    assert.match(help, /^\S.*\.$/, name);
    if (/^segment_|largest_free|^(mooncake|snowskin)_tenant_/.test(name)) continue;
    const sample = type === "histogram" ? `${name}_count` : name;
    assert.ok([...samples.keys()].some((key) => key.split("{")[0] === sample), name);
  }
  assert.equal(samples.get('snowskin_build_info{version="1.2.3",cluster_id="c"}'), 1);
  assert.equal(samples.get("snowskin_uptime_seconds"), 1.5);
});

Deno.test("counts of calls, of the core and of sizes are written under the reference's names", () => {
  const core = new MemoryAdminCore();
  core.registry.meter("ExistKey")!.served(1, 1);
  core.registry.meter("BatchExistKey")!.served(5, 2);
  core.registry.observeValueSize(4096);
  core.registry.observeValueSize(70_000_000);
  core.core[Counter.EVICTED_KEYS] = 7;
  core.activeClients = 3;
  const samples = parse(prometheusText(core.metricsSnapshot(), info));
  assert.equal(samples.get("master_exist_key_requests_total"), 1);
  assert.equal(samples.get("master_exist_key_failures_total"), 1);
  assert.equal(samples.get("master_batch_exist_key_partial_successes_total"), 1);
  assert.equal(samples.get("master_batch_exist_key_failed_items_total"), 2);
  assert.equal(samples.get("master_evicted_key_count"), 7);
  assert.equal(samples.get("master_evicted_key_count_mem"), 7);
  assert.equal(samples.get("master_active_clients"), 3);
  assert.equal(samples.get('master_value_size_bytes_bucket{le="4096.000000"}'), 1);
  assert.equal(samples.get('master_value_size_bytes_bucket{le="67108864.000000"}'), 1);
  assert.equal(samples.get('master_value_size_bytes_bucket{le="+Inf"}'), 2);
  assert.equal(samples.get("master_value_size_bytes_sum"), 70_004_096);
  assert.equal(samples.get("master_value_size_bytes_count"), 2);
});

Deno.test("label values are escaped, and segments of one name make one sample", () => {
  const core = new MemoryAdminCore();
  core.segments.push(segment('a"\\\n', 1, 10), segment("b", 5, 10), segment("b", 6, 20));
  const samples = parse(prometheusText(core.metricsSnapshot(), info));
  assert.equal(samples.get('segment_allocated_bytes{segment="a\\"\\\\\\n"}'), 1);
  assert.equal(samples.get('segment_allocated_bytes{segment="b"}'), 11);
  assert.equal(samples.get('segment_total_capacity_bytes{segment="b"}'), 30);
  assert.equal(samples.get('snowskin_largest_free_bytes{segment="b"}'), 14);
});

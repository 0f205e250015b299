import assert from "node:assert/strict";
import { CoreDriver, MIB } from "../tests/support/core_driver.ts";
import { defaultMasterConfig } from "../tests/support/master_config.ts";
import { toCoreConfig } from "./config.ts";
import { FLAGS } from "./flags.ts";
import { LIVE_FLAGS, LiveConfig } from "./live_config.ts";

function live(config = defaultMasterConfig()) {
  const lines: string[] = [];
  const driver = new CoreDriver();
  const settings = new LiveConfig({
    config,
    apply: (next) => driver.core.reconfigure(toCoreConfig(next, 0), 0),
    log: (line) => void lines.push(line),
  });
  return { driver, settings, lines };
}

Deno.test("a changed watermark is in force with the next tick, and shown and logged", () => {
  const { driver, settings, lines } = live();
  driver.mount(1, MIB);
  driver.put("a", MIB / 2);
  driver.settle();
  assert.deepEqual(driver.keys(), ["a"]);
  settings.change({ eviction_high_watermark_ratio: "0.25" }, false);
  driver.settle();
  assert.deepEqual(driver.keys(), []);
  assert.deepEqual(settings.shown().eviction_high_watermark_ratio, {
    ...{ value: 0.25, source: "changed", live: true },
  });
  assert.deepEqual(lines, ["--eviction_high_watermark_ratio: 0.9 -> 0.25 (changed)"]);
  settings.change({ eviction_high_watermark_ratio: null }, false);
  assert.deepEqual(settings.shown().eviction_high_watermark_ratio, {
    ...{ value: 0.9, source: "default", live: true },
  });
});

Deno.test("changes are made all or none, and refused by name", () => {
  const { settings, lines } = live();
  const cases: [changes: Record<string, string>, message: RegExp][] = [
    [{ put_wait_ms: "5", rpc_port: "1" }, /^--rpc_port: cannot be changed while the master runs/],
    [{ put_wait_ms: "5", eviction_ratio: "2" }, /^--eviction_ratio=2: not a number in range/],
    [{ key_format: "{model}@{}@" + "{layer" }, /^--key_format=.*@\{layer is no field; allowed: /],
    [{ model_aliases: "a=b;c" }, /^--model_aliases=a=b;c: "c": it is no pair of names/],
    [{ colour: "red" }, /^unknown flag "colour"; allowed: eviction_ratio, /],
    [{ client_ttl: "5" }, /^--client_ttl: cannot be changed/],
    [{ default_kv_soft_pin_ttl: "30h" }, /default_kv_soft_pin_ttl=108000000: does not fit/],
    [{ default_kv_lease_ttl: "11s" }, /allowed without a restart: at most 10000 ms/],
  ];
  for (const [changes, message] of cases) {
    assert.throws(() => settings.change(changes, false), { name: "FlagError", message });
  }
  assert.equal(settings.config.values.put_wait_ms, 50);
  assert.deepEqual(lines, []);
});

Deno.test("a change is kept unless the command line would win at the next start", () => {
  const { settings } = live(defaultMasterConfig({ put_wait_ms: 70 }));
  assert.throws(() => settings.change({ put_wait_ms: "5" }, true), {
    message: /put_wait_ms=5: cannot be kept, the command line says 70/,
  });
  assert.throws(() => settings.change({ default_kv_lease_ttl: "5s" }, true), {
    message: /cannot be kept/,
  });
  settings.change({ put_wait_ms: "5" }, false);
  settings.change({ eviction_ratio: "0.1" }, true);
  assert.equal(settings.config.rpc.putWaitMs, 5);
});

Deno.test("kept changes that do not fit any more are told and passed over", () => {
  const { settings, lines } = live(defaultMasterConfig({ put_wait_ms: 70 }));
  settings.restore({ put_wait_ms: "5", gone: "1", eviction_ratio: "0.2" });
  assert.equal(settings.config.values.put_wait_ms, 70);
  assert.deepEqual(settings.shown().eviction_ratio, {
    ...{ value: 0.2, source: "kept change", live: true },
  });
  assert.equal(lines.filter((line) => line.includes("passed over")).length, 2);
});

Deno.test("every flag that can be changed is one of the flags", () => {
  const names = FLAGS.map(({ name }) => name as string);
  assert.deepEqual(LIVE_FLAGS.filter((name) => !names.includes(name)), []);
});

Deno.test("what another master has kept is followed once, as far as this one's flags allow", () => {
  const { settings, lines } = live();
  settings.follow("put_wait_ms", "7");
  settings.follow("put_wait_ms", "7");
  assert.deepEqual(settings.shown().put_wait_ms, { value: 7, source: "kept change", live: true });
  assert.deepEqual(lines, ["--put_wait_ms: 50 -> 7 (kept change)"]);
  settings.follow("put_wait_ms", null);
  settings.follow("put_wait_ms", null);
  assert.deepEqual(settings.shown().put_wait_ms, { value: 50, source: "default", live: true });
  assert.equal(lines.length, 2);
  settings.follow("eviction_ratio", "2");
  settings.follow("no_such_flag", "1");
  assert.match(lines[2], /^a kept change is passed over: --eviction_ratio=2/);
  assert.match(lines[3], /^a kept change is passed over: unknown flag "no_such_flag"/);
});

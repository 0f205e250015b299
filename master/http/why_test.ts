import assert from "node:assert/strict";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import type { CoreConfig } from "../core/api.ts";
import { main } from "../why.ts";

function pool(changes: Partial<CoreConfig> = {}) {
  const driver = new CoreDriver({ evictionHighWatermarkRatio: 1, ...changes });
  const segment = driver.mount(1, MIB);
  const ask = adminCaller(new MemoryAdminCore(driver));
  const why = async (key: string) => (await ask("GET", `/v1/why?key=${key}`)).json;
  return { driver, segment, ask, why };
}

/** A key that has been put, and what ends it. */
const endings: Record<string, (p: ReturnType<typeof pool>) => [event: string, cause: string]> = {
  "a removed key": ({ driver }) => {
    driver.ok(driver.remove("k"));
    return ["removed", "removed"];
  },
  "a key removed by a pattern": ({ driver }) => {
    driver.removeByRegex("^k");
    return ["removed_by_pattern", "removed"];
  },
  "a key removed with all": ({ driver }) => {
    driver.removeAll();
    return ["removed_with_all", "removed"];
  },
  "a cleared key": ({ driver }) => {
    driver.core.batchReplicaClear(0, [bytesOf("k")], clientId(1), "", driver.nowMs);
    return ["cleared", "removed"];
  },
  "a key evicted for a put": ({ driver }) => {
    driver.put("other", MIB / 2);
    return ["evicted_for_put", "evicted"];
  },
  "a key of an expired client": ({ driver }) => {
    driver.pass(20_000, []);
    return ["owner_expired", "owner_expired"];
  },
  "a key of an unmounted segment": ({ driver, segment }) => {
    driver.ok(driver.core.cluster.unmountSegment(segment.id, clientId(1), driver.nowMs));
    driver.settle();
    return ["owner_unmounted", "owner_unmounted"];
  },
};

for (const [what, end] of Object.entries(endings)) {
  Deno.test(`why and why-miss know the cause of ${what}`, async () => {
    const p = pool();
    const { driver, ask, why } = p;
    driver.put("k", MIB * 3 / 4);
    const [event, cause] = end(p);
    driver.get("k");
    const life = await why("k");
    assert.equal(life.state, "missing");
    assert.equal(life.cause, cause);
    assert.equal(life.events[0].event, event);
    assert.equal(life.events[0].bytes, MIB * 3 / 4);
    assert(life.events[0].put_s > 0 && life.events[0].at_s >= life.events[0].put_s);
    const { json } = await ask("GET", "/v1/why-miss?last=1m");
    assert.deepEqual([json.misses, json.explained, json.causes[cause]], [1, 1, 1]);
  });
}

Deno.test("eviction by the watermark and for a put are told apart", async () => {
  const { driver, why } = pool({ evictionHighWatermarkRatio: 0.5 });
  driver.put("k", MIB * 3 / 4);
  driver.settle();
  assert.equal((await why("k")).events[0].event, "evicted");
});

Deno.test("a write that ends before it could be read is a failed write", async () => {
  const { driver, why } = pool();
  driver.ok(driver.start("revoked", 10));
  assert.deepEqual([(await why("revoked")).state, (await why("revoked")).cause], [
    "not_ready",
    null,
  ]);
  driver.ok(driver.revoke("revoked"));
  driver.ok(driver.start("silent", 10));
  driver.pass(601_000);
  for (const key of ["revoked", "silent"]) assert.equal((await why(key)).cause, "write_failed");
  const events = [(await why("revoked")).events[0], (await why("silent")).events[0]];
  assert.deepEqual(events.map(({ event }) => event), ["write_revoked", "write_expired"]);
  assert.deepEqual(events.map(({ put_s }) => put_s), [0, 0]);
});

Deno.test("the life line of a key goes over its ends, newest first", async () => {
  const { driver, why } = pool();
  driver.put("k", 100);
  driver.ok(driver.start("k", 200, { upsert: true }));
  driver.ok(driver.end("k"));
  driver.pass(11_000);
  driver.ok(driver.remove("k"));
  driver.put("k", 300);
  const life = await why("k");
  assert.deepEqual([life.state, life.cause, life.now.bytes], ["ready", null, 300]);
  assert.deepEqual(
    life.events.map(({ event, bytes }: { event: string; bytes: number }) => [event, bytes]),
    [["removed", 200], ["replaced", 100]],
  );
});

Deno.test("misses are explained by what had happened before them, not after", async () => {
  const { driver, ask } = pool();
  driver.get("k");
  driver.put("k", 10);
  driver.ok(driver.remove("k"));
  driver.exist("k");
  driver.ok(driver.start("w", 10));
  driver.get("w");
  const { json } = await ask("GET", "/v1/why-miss");
  assert.deepEqual(
    [json.lookups, json.misses, json.causes.never_stored, json.causes.removed],
    [3, 3, 1, 1],
  );
  assert.equal(json.causes.not_ready, 1);
  assert.equal((await ask("GET", "/v1/why-miss?tenant=default")).json.misses, 3);
});

Deno.test("the advice is about the most frequent cause", async () => {
  const { driver, ask } = pool();
  assert.equal((await ask("GET", "/v1/why-miss")).json.advice, "Nothing was missed.");
  for (let i = 0; i < 3; i++) driver.get(`never-${i}`);
  assert.match((await ask("GET", "/v1/why-miss")).json.advice, /were never stored here/);
});

Deno.test("misses that come too fast to be explained are counted as such", async () => {
  const { driver, ask } = pool();
  for (let i = 0; i < 10_000; i++) driver.exist(`k${i}`);
  const { json } = await ask("GET", "/v1/why-miss");
  assert.deepEqual([json.misses, json.explained], [10_000, 8192]);
});

Deno.test("of more ends than are remembered the last ones are known", async () => {
  const { driver, why } = pool({ lifeEvents: 16 });
  for (let i = 0; i < 100; i++) {
    driver.put(`k${i}`, 10);
    driver.ok(driver.remove(`k${i}`));
  }
  const causes: string[] = [];
  for (let i = 80; i < 100; i++) causes.push((await why(`k${i}`)).cause);
  assert.deepEqual(causes, [
    ...new Array(4).fill("never_stored"),
    ...new Array(16).fill("removed"),
  ]);
});

Deno.test("with --life_events=0 nothing is remembered and misses are not explained", async () => {
  const { driver, ask, why } = pool({ lifeEvents: 0 });
  driver.put("k", 10);
  driver.ok(driver.remove("k"));
  driver.get("k");
  assert.deepEqual([(await why("k")).events, (await why("k")).remembered_events], [[], 0]);
  const { status, json } = await ask("GET", "/v1/why-miss");
  assert.equal(status, 409);
  assert.match(json.error_message, /--life_events=0; allowed: 1 or more/);
});

Deno.test("bad questions are refused by name", async () => {
  const { ask } = pool();
  const key = await ask("GET", "/v1/why");
  assert.deepEqual([key.status, key.json.error_message], [400, "key: missing or empty"]);
  const last = await ask("GET", "/v1/why-miss?last=2h");
  assert.deepEqual([last.status, last.json.error_message], [400, "last=2h: allowed: 1m, 5m, 1h"]);
});

Deno.test("snowskin why prints life lines and causes", async () => {
  const { driver, ask } = pool();
  driver.put("a b+c", 10);
  driver.ok(driver.remove("a b+c"));
  driver.get("a b+c");
  const printed: string[] = [];
  const { log, error } = console;
  console.log = console.error = (line: string) => void printed.push(line);
  try {
    const fetcher = async (url: string) => {
      const { pathname, search } = new URL(url);
      const { text, status } = await ask("GET", pathname + search);
      return new Response(text, { status });
    };
    const run = (...args: string[]) => main(args, fetcher as typeof fetch);
    assert.deepEqual(
      [
        await run("a b+c"),
        await run("--misses", "--last=1m"),
        await run("--misses", "--last=2m"),
        await run(),
        await run("--colour"),
        await run("k", "--last=1m"),
      ],
      [0, 0, 1, 2, 2, 2],
    );
  } finally {
    Object.assign(console, { log, error });
  }
  assert.match(printed[0], /^a b\+c: missing\. It was removed\.\n {2}\S+Z {2}removed \(10 bytes/);
  assert.match(printed[1], /^last 1m: 1 of 1 lookups missed \(100\.0 %\)\n {2}removed +1\n/);
  assert.match(printed[2], /last=2m: allowed: 1m, 5m, 1h/);
});

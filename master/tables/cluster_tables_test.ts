// Goal: what a cluster shares is shown when the log holds it and not before, begins with what its first
// leader had, and goes home with a master that goes on alone.
// Method: a core, the gate of a leader and a log that is an array in memory; a second core follows it.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { bytesOf, CoreDriver } from "../../tests/support/core_driver.ts";
import { createKey, type KeyRecord } from "../auth/api_key.ts";
import { KeyRing } from "../auth/key_ring.ts";
import { KeyDatabase, KeyTable } from "../auth/key_table.ts";
import { FramedReplay } from "../core/replay.ts";
import { SmallTable, type TableChange } from "../core/small_tables.ts";
import type { LogGroup } from "../ha/fact_log.ts";
import { NO_RULES, type TenantRules } from "../core/tenant_rules.ts";
import { ReplicatedCore } from "../ha/replicated_core.ts";
import { GROUP_HEADER_BYTES } from "../journal/group_format.ts";
import { Replies } from "../rpc/replies.ts";
import { readPolicies } from "../tenants/policy_file.ts";
import { ClusterTables } from "./cluster_tables.ts";
import { entryText, keyChange, keyDropped, keyRecord } from "./entries.ts";
import { bringHome, type OwnTables } from "./handover.ts";
import { readLocalTables, replaceLocalTables } from "./local_tables.ts";

const admin = { role: "admin", tenant: null, label: "", expiresMs: null } as const;
const slow = { ...NO_RULES, opsPerSecond: 7 };
const listed = { models: ["m", "unknown"], opsPerSecond: 8, bytesPerSecond: 9 };
const nothing = { keys: [], offlineKeys: [], documents: [], settings: {} };

/** A master that leads over a log, or follows the log of another. */
class Seat {
  readonly core = new CoreDriver({ enableMultiTenants: true }).core;
  readonly log: LogGroup[] = [];
  readonly keys = new KeyRing(() => 0);
  readonly shown: TableChange[] = [];
  readonly settings: [string, string | null][] = [];
  readonly firstKeys: string[] = [];
  readonly warnings: string[] = [];
  readonly leading: ReplicatedCore;
  readonly tables: ClusterTables;

  constructor(own: Partial<OwnTables> = {}, log: readonly LogGroup[] = [], tablesPath = "") {
    this.core.tables.view.shared = true;
    const replay = new FramedReplay(this.core.state);
    for (const { bytes } of log) {
      replay.apply(bytes, GROUP_HEADER_BYTES, bytes.length, (why) => assert.fail(why));
    }
    this.leading = new ReplicatedCore({
      ...{ core: this.core, replies: new Replies(), clock: () => 0, refuseChanges() {} },
      send: (group) => this.log.push(group),
      onAcknowledged: () => this.tables.flush(),
      onRefusal() {},
    });
    this.tables = new ClusterTables({
      ...{ core: this.core, keys: this.keys, log: this.leading, tablesPath },
      own: {
        ...{ local: nothing, policies: null, requireAuth: false, info() {} },
        ...{ warn: (line) => this.warnings.push(line), ...own },
      },
      follow: (name, text) => this.settings.push([name, text]),
      publish: (changes) => this.shown.push(...changes),
      onFirstKey: (text) => this.firstKeys.push(text),
    });
  }

  async lead(): Promise<void> {
    this.leading.begin(0, Infinity);
    await this.tables.lead(Date.now(), () => {
      this.keep();
      return true;
    });
  }

  /** The log takes what was told. */
  keep(): void {
    this.leading.settle();
    this.leading.acknowledge(this.log.length);
  }

  set({ table, key, value }: TableChange): void {
    this.core.tables.set(table as SmallTable, key, value);
  }
}

function names(changes: TableChange[], table: number): (string | null)[] {
  return changes.filter((change) => change.table === table)
    .map(({ key, value }) => value === null ? null : entryText(key));
}

Deno.test("a change is shown when the log holds it, and before whoever asked for it is answered", async () => {
  const seat = new Seat();
  await seat.lead();
  const { text, record } = createKey(admin, 0);
  seat.keep();
  seat.set(keyChange(record));
  seat.leading.settle();
  seat.tables.flush();
  assert.equal(seat.keys.find(text), null);
  let answered = false;
  const kept = seat.leading.kept().then(() => answered = true);
  seat.leading.acknowledge(seat.log.length);
  assert.equal(answered, false);
  assert.equal(seat.keys.find(text)?.id, record.id);
  await kept;
  seat.set(keyDropped(record.id));
  assert.equal(seat.keys.find(text)?.id, record.id, "a failover could still take that back");
  seat.keep();
  assert.equal(seat.keys.find(text), null);
});

Deno.test("the first leader makes an admin key and says it once the log has it; no other does", async () => {
  const first = new Seat({ requireAuth: true });
  await first.lead();
  assert.deepEqual(first.firstKeys, []);
  first.keep();
  const [text] = first.firstKeys;
  assert.equal(first.keys.find(text)?.role, "admin");
  first.keep();
  assert.equal(first.firstKeys.length, 1);

  const second = new Seat({ requireAuth: true }, first.log);
  second.tables.flush();
  assert.equal(second.keys.find(text)?.role, "admin", "a standby knows it");
  await second.lead();
  second.keep();
  assert.deepEqual(second.firstKeys, []);
  assert.equal(second.log.length, 0, "a leader that has all changes nothing");

  const [record] = Array.from(
    second.core.tables.view.each(SmallTable.KEY),
    ({ value }) => keyRecord(value),
  );
  second.set(keyChange({ ...record, isDisabled: true }));
  second.keep();
  const third = new Seat({ requireAuth: true }, [...first.log, ...second.log]);
  await third.lead();
  third.keep();
  assert.equal(third.firstKeys.length, 1, "an admin key that is disabled opens nothing");
});

Deno.test("a cluster begins with what its first leader has, and with nothing of a later one", async () => {
  const { text, record } = createKey(admin, 0);
  const own = (quota: bigint): Partial<OwnTables> => ({
    local: {
      ...{ keys: [record], offlineKeys: [], settings: { put_wait_ms: "7" } },
      documents: [{ key: bytesOf("d"), value: bytesOf("v") }],
    },
    policies: { path: "quotas.yaml", quotas: new Map([["a", quota]]), rules: new Map() },
  });
  const first = new Seat(own(5n));
  await first.lead();
  assert.equal(first.core.tenants.use(bytesOf("a"))?.requested, 5n, "before clients are served");
  first.keep();
  assert.equal(first.keys.find(text)?.id, record.id);
  assert.deepEqual(names(first.shown, SmallTable.DOCUMENT), ["d"]);
  assert.deepEqual(first.settings, [["put_wait_ms", "7"]]);
  first.set(keyDropped(record.id));
  first.keep();

  const second = new Seat(own(6n), first.log);
  await second.lead();
  second.keep();
  second.tables.flush();
  assert.equal(second.keys.find(text), null, "what was revoked stays revoked");
  assert.equal(second.core.tenants.use(bytesOf("a"))?.requested, 5n);
  assert.match(second.warnings[0], /quotas\.yaml differs .* tenants "a"; change them with PUT/);
});

Deno.test("rules of tenants begin with the first leader's file and outlive leaders", async () => {
  const own = (rules: TenantRules): Partial<OwnTables> => ({
    policies: {
      ...{ path: "quotas.yaml", quotas: new Map([["a", 5n], ["b", 6n]]) },
      rules: new Map([["a", rules], ["b", slow]]),
    },
  });
  const rulesOf = ({ core }: Seat, name: string) => core.tenants.use(bytesOf(name))?.rules;
  const first = new Seat(own(slow));
  await first.lead();
  assert.deepEqual(rulesOf(first, "a"), slow, "before clients are served");
  const a = first.core.tenants.find(bytesOf("a"));
  assert.equal(first.core.tenants.setRules(bytesOf("a"), listed), ErrorCode.OK);
  first.core.tenants.setRules(bytesOf("b"), NO_RULES);
  first.keep();

  const second = new Seat(own(slow), first.log);
  assert.deepEqual([rulesOf(second, "a"), rulesOf(second, "b")], [listed, NO_RULES], "a standby");
  await second.lead();
  assert.deepEqual([rulesOf(second, "a"), rulesOf(second, "b")], [listed, NO_RULES]);
  assert.match(second.warnings[0], /differs .* tenants "a", "b"; change them with PUT/);
  assert.equal(second.log.length, 0, "a leader that has all changes nothing");
  assert.equal(second.core.tenants.admit(a, 9, false, 0), a);
  assert.equal(second.core.tenants.admit(a, 1, false, 0), ErrorCode.RATE_LIMITED);
  assert.equal(second.core.tenants.removeQuota(bytesOf("a")), ErrorCode.OK);
  second.keep();

  const third = new Seat({}, [...first.log, ...second.log]);
  assert.equal(rulesOf(third, "a"), undefined);
  third.core.tenants.setQuota(bytesOf("a"), 5n);
  assert.deepEqual(rulesOf(third, "a"), NO_RULES, "they went with the registration");
});

Deno.test("a leader warns of lists that let nothing be written once it has all settings", async () => {
  const seat = new Seat({
    local: { ...nothing, settings: { put_wait_ms: "7" } },
    policies: {
      ...{ path: "quotas.yaml", quotas: new Map([["a", 5n]]) },
      rules: new Map([["a", { ...NO_RULES, models: ["m"] }]]),
    },
  });
  await seat.lead();
  seat.keep();
  assert.deepEqual(seat.settings, [["put_wait_ms", "7"]]);
  assert.match(seat.warnings.join(), /can write nothing: --key_format tells no model/);
  seat.tables.flush();
  assert.equal(seat.warnings.length, 1);
});

Deno.test("the tables of a cluster replace the files of a master that goes on alone, once", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const tablesPath = `${directory}/tables.kv`;
    const policyPath = `${directory}/tenants.yaml`;
    const [old, shared] = [createKey(admin, 0).record, createKey(admin, 0).record];
    const stale = { key: bytesOf("stale"), value: new Uint8Array(200_000) };
    await replaceLocalTables(tablesPath, {
      ...{ keys: [old], documents: [stale], settings: { put_wait_ms: "1", minloglevel: "1" } },
    });
    const before = await readLocalTables(tablesPath, true);
    assert.deepEqual(before.documents.map(({ key }) => entryText(key)), ["stale"]);

    const policies = {
      ...{ path: policyPath, quotas: new Map([["a", 5n], ["b", 6n]]) },
      rules: new Map([["a", slow], ["b", slow]]),
    };
    const seat = new Seat({ local: before, policies });
    await seat.lead();
    seat.set(keyChange(shared));
    seat.set(keyDropped(old.id));
    seat.set({ table: SmallTable.DOCUMENT, key: bytesOf("stale"), value: null });
    seat.set({ table: SmallTable.DOCUMENT, key: bytesOf("new"), value: bytesOf("v") });
    seat.set({ table: SmallTable.SETTING, key: bytesOf("minloglevel"), value: null });
    seat.core.tenants.removeQuota(bytesOf("b"));
    seat.core.tenants.setRules(bytesOf("a"), listed);

    const options = { tablesPath, commit: () => true, info() {} };
    const { core } = seat;
    assert.equal(await bringHome(core, { ...options, policyPath: null }), null);
    assert.deepEqual(await readLocalTables(tablesPath, true), {
      ...{ keys: [shared], offlineKeys: [], settings: { put_wait_ms: "1" } },
      documents: [{ key: bytesOf("new"), value: bytesOf("v") }],
    });
    const left = names(Array.from(core.tables.view.each()), SmallTable.KEY);
    assert.deepEqual(left, []);
    const home = await bringHome(core, { ...options, policyPath });
    const expected = { quotas: new Map([["a", 5n]]), rules: new Map([["a", listed]]) };
    assert.deepEqual(home, expected, "they have waited for a start with tenants");
    const rules = new Map();
    assert.deepEqual(readPolicies(policyPath, { missing: false }, rules), expected.quotas);
    assert.deepEqual(rules, expected.rules);
    assert.deepEqual(Array.from(core.tables.view.each()), []);
    assert.equal(await bringHome(core, { ...options, policyPath }), null);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a key that was made while no master ran is taken in by the next one that leads", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const tablesPath = `${directory}/tables.kv`;
    const { text, record } = createKey(admin, 0);
    {
      using database = await KeyDatabase.open(tablesPath);
      await database.addOffline(record);
    }
    const log = new Seat();
    await log.lead();
    log.keep();
    const local = await readLocalTables(tablesPath, false);
    const seat = new Seat({ local, requireAuth: true }, log.log, tablesPath);
    await seat.lead();
    assert.equal(seat.keys.find(text)?.id, record.id);
    seat.keep();
    assert.deepEqual(seat.firstKeys, []);
    const after: KeyRecord[] = (await readLocalTables(tablesPath, false)).offlineKeys;
    assert.deepEqual(after, [], "it is the cluster's now");

    {
      using database = await KeyDatabase.open(tablesPath);
      await database.addOffline(record);
    }
    await using lone = await KeyTable.open(tablesPath);
    assert.deepEqual(lone.records, [record]);
    assert.deepEqual((await readLocalTables(tablesPath, false)).offlineKeys, []);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a key is the same as an entry and back", () => {
  const { record } = createKey({ ...admin, label: "ü", expiresMs: 9 }, 5);
  const { key, value } = keyChange(record);
  assert.deepEqual(keyRecord(value!), record);
  assert.equal(entryText(key), record.id);
});

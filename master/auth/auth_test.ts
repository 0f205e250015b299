import assert from "node:assert/strict";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { bytesOf, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { KeyDoor } from "../rpc/key_door.ts";
import { NamedDoor, TenantAccess } from "../rpc/tenant_door.ts";
import { createKey, isKeyOf, KEY_LENGTH, keyId, keyStart, type KeyWish } from "./api_key.ts";
import { AuditLog } from "./audit_log.ts";
import { KeyRing } from "./key_ring.ts";
import { KeyTable } from "./key_table.ts";
import { isDisabled, isUserName, userOf, usersOf } from "./users.ts";

const wish = (changes: Partial<KeyWish> = {}): KeyWish => ({
  ...{ role: "client", tenant: "a", label: "", expiresMs: null },
  ...changes,
});

Deno.test("a key is known by its text alone, and its record does not hold it", () => {
  const { text, record } = createKey(wish(), 5);
  assert.equal(text.length, KEY_LENGTH);
  assert.equal(keyId(text), record.id);
  assert(isKeyOf(record, text));
  assert(!isKeyOf(record, text.slice(0, -1) + (text.endsWith("A") ? "B" : "A")));
  assert(!JSON.stringify(Array.from(record.hash)).includes(text.slice(-20)));
  assert.notDeepEqual(createKey(wish(), 5).record.salt, record.salt);
  for (const bad of ["", "mk_", text + "x", text.slice(1), text.replace("mk_", "MK_")]) {
    assert.equal(keyId(bad), null);
  }
});

Deno.test("a key is found behind the name of a tenant, or alone", () => {
  const { text } = createKey(wish(), 0);
  const at = (whole: string) => keyStart(bytesOf(whole), 0, bytesOf(whole).length);
  assert.equal(at(text), 0);
  assert.equal(at(`a:b:${text}`), 4);
  assert.equal(at(`a${text}`), -1);
  assert.equal(at("a:mk_short"), -1);
  assert.equal(at(""), -1);
});

function opened(...wishes: KeyWish[]) {
  const { core } = new CoreDriver({ enableMultiTenants: true });
  for (const name of ["a", "b", "default"]) core.tenants.setQuota(bytesOf(name), BigInt(MIB));
  const keys = wishes.map((one) => createKey(one, 0));
  const ring = new KeyRing(() => 1000);
  ring.replace(keys.map(({ record }) => record));
  const door = new KeyDoor(ring, new NamedDoor(core), true);
  const enter = (text: string, access: TenantAccess = TenantAccess.CREATE) => {
    const bytes = bytesOf(`<${text}>`);
    const result = door.enter(bytes, 1, bytes.length - 1, access);
    return result < 0
      ? errorName(result)
      : new TextDecoder().decode(core.state.tenants.name(result));
  };
  return { core, ring, door, enter, texts: keys.map(({ text }) => text), keys };
}

Deno.test("a key opens the name space of its tenant only", () => {
  const { enter, texts: [own, reading, admin, operator] } = opened(
    wish(),
    wish({ role: "read-only" }),
    wish({ role: "admin", tenant: null }),
    wish({ role: "operator", tenant: null }),
  );
  for (let i = 0; i < 2; i++) {
    assert.equal(enter(`a:${own}`), "a");
    assert.equal(enter(own), "a");
    assert.equal(enter(`b:${own}`), "PERMISSION_DENIED");
    assert.equal(enter(`default:${own}`), "PERMISSION_DENIED");
    assert.equal(enter(`a:${reading}`, TenantAccess.READ), "a");
    assert.equal(enter(`a:${reading}`, TenantAccess.CHANGE), "PERMISSION_DENIED");
    assert.equal(enter(`a:${reading}`, TenantAccess.CREATE), "PERMISSION_DENIED");
    assert.equal(enter(`b:${admin}`), "b");
    assert.equal(enter(admin), "default");
    assert.equal(enter(`c:${admin}`), "TENANT_NOT_REGISTERED");
    assert.equal(enter(`a:${operator}`, TenantAccess.READ), "PERMISSION_DENIED");
    for (
      const none of ["a", "", "a:", `a:${createKey(wish(), 0).text}`, `a:${own}x`, `a:x${own}`]
    ) {
      assert.equal(enter(none, TenantAccess.READ), "UNAUTHENTICATED", none);
    }
  }
});

Deno.test("a key that ends, is rotated or is taken back is refused at once", () => {
  const { ring, enter, texts: [brief, lasting], keys } = opened(
    wish({ expiresMs: 2000 }),
    wish({ expiresMs: 9000 }),
  );
  assert.equal(enter(`a:${brief}`), "a");
  assert.equal(enter(`a:${lasting}`), "a");
  ring.tick(1999);
  assert.equal(enter(`a:${brief}`), "a");
  ring.tick(2000);
  assert.equal(enter(`a:${brief}`), "UNAUTHENTICATED");
  assert.equal(enter(`a:${lasting}`), "a");
  const next = createKey(wish(), 0);
  ring.replace([keys[1].record, next.record]);
  assert.equal(enter(`a:${lasting}`), "a");
  assert.equal(enter(`a:${next.text}`), "a");
  ring.replace([next.record]);
  assert.equal(enter(`a:${lasting}`), "UNAUTHENTICATED");
  assert.equal(enter(`a:${next.text}`), "a");
});

Deno.test("a call without a key is taken from whom the master has told to make it", () => {
  const { door, core, texts: [text] } = opened(wish());
  const tenant = core.internTenant(bytesOf("a"), 0, 1);
  assert.equal(door.enterOrdered(bytesOf("a"), () => true), tenant);
  assert.equal(door.enterOrdered(bytesOf("a"), () => false), ErrorCode.UNAUTHENTICATED);
  assert.equal(door.enterOrdered(bytesOf("_a"), () => true), ErrorCode.UNAUTHENTICATED);
  assert.equal(door.enterOrdered(bytesOf(`a:${text}`), () => false), tenant);
  assert.equal(door.enterOrdered(bytesOf(`b:${text}`), () => true), ErrorCode.PERMISSION_DENIED);
  assert.equal(door.enterUnnamed(), ErrorCode.UNAUTHENTICATED);
  assert.equal(door.enterAll(), ErrorCode.UNAUTHENTICATED);
});

Deno.test("keys outlive the process, changed and without their secrets", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/tables.kv`;
  const first = await KeyTable.open(path);
  const { text, record } = await first.create(wish({ label: "x" }), 7);
  const gone = await first.create(wish(), 8);
  await first.set({ ...record, expiresMs: 99 });
  await first.delete(gone.record.id);
  await first[Symbol.asyncDispose]();
  const second = await KeyTable.open(path);
  assert.deepEqual(second.records, [{ ...record, expiresMs: 99 }]);
  await second[Symbol.asyncDispose]();
  for await (const { name } of Deno.readDir(directory)) {
    const bytes = await Deno.readFile(`${directory}/${name}`);
    assert(!new TextDecoder("latin1").decode(bytes).includes(text.slice(-43)), name);
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("keys that change together are kept together, hundreds of them", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/tables.kv`;
  const longest = wish({ user: "ü".repeat(256), label: "ü".repeat(256), tenant: "ü".repeat(512) });
  const records = Array.from({ length: 450 }, () => createKey(longest, 7).record);
  {
    await using table = await KeyTable.open(path);
    await table.setAll(records);
    await table.setAll(records.map((record) => ({ ...record, isDisabled: true })));
    assert(table.records.every(isDisabled));
  }
  {
    await using table = await KeyTable.open(path);
    assert.equal(table.records.length, 450);
    assert(table.records.every(isDisabled));
  }
  await Deno.remove(directory, { recursive: true });
});

Deno.test("all keys of a user that is disabled end, and come back when it is enabled", () => {
  const mine = wish({ user: "alice" });
  const { enter, ring, texts, keys } = opened(mine, wish(), wish({ user: "bob" }), mine);
  const [alice, nobody, bob, alice2] = texts.map((text) => `a:${text}`);
  assert.deepEqual([alice, nobody, bob, alice2].map((text) => enter(text)), Array(4).fill("a"));
  const records = keys.map(({ record }) => record);
  const disabled = records.map((record) =>
    record.user === "alice" ? { ...record, isDisabled: true } : record
  );
  ring.replace(disabled);
  assert.deepEqual([alice, nobody, bob, alice2].map((text) => enter(text)), [
    ...["UNAUTHENTICATED", "a", "a", "UNAUTHENTICATED"],
  ]);
  const shown = usersOf(disabled).map(({ name, isDisabled, keys }) => [
    ...[name, isDisabled, keys.length],
  ]);
  assert.deepEqual(shown, [["alice", true, 2], ["bob", false, 1]]);
  ring.replace(records);
  assert.equal(enter(alice2), "a");
});

Deno.test("a user is that of one tenant, or of none", () => {
  const records = [
    wish({ user: "x" }),
    wish({ user: "x", tenant: "b" }),
    wish({ user: "x", tenant: null, role: "admin" }),
    wish({ user: null }),
    wish(),
  ].map((one) => createKey(one, 0).record);
  assert.deepEqual(usersOf(records).map(({ tenant, name }) => [tenant, name]), [
    ...[[null, "x"], ["a", "x"], ["b", "x"]],
  ]);
  assert.deepEqual(userOf(records, "b", "x")?.keys, [records[1]]);
  assert.deepEqual(userOf(records, null, "x")?.keys, [records[2]]);
  assert.equal(userOf(records, "c", "x"), null);
  for (const bad of ["", "a\nb", "x".repeat(257), 7, null]) assert(!isUserName(bad));
  assert(isUserName("alice@example.com ü"));
});

Deno.test("an audit log begins a new file at its limit and keeps five old ones", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/audit.log`;
  const entry = {
    ...{ timeMs: 0, key: "k", role: "admin", peer: "::1", method: "POST", target: "/x" },
    ...{ user: null, status: 200 },
  };
  for (let i = 0; i < 20; i++) {
    using log = new AuditLog(path, 300);
    log.append({ ...entry, timeMs: i });
  }
  const names = Array.from(Deno.readDirSync(directory), ({ name }) => name).sort();
  assert.deepEqual(names, ["audit.log", ...[1, 2, 3, 4, 5].map((i) => `audit.log.${i}`)]);
  const last = (await Deno.readTextFile(path)).trim().split("\n").at(-1)!;
  const { timeMs: _time, ...rest } = entry;
  assert.deepEqual(JSON.parse(last), { time: "1970-01-01T00:00:00.019Z", ...rest });
  await Deno.remove(directory, { recursive: true });
});

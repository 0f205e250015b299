import assert from "node:assert/strict";
import { DEFAULT_METADATA_LIMITS, MetadataStore, type Probe } from "./metadata_store.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const never: Probe = () => assert.fail("nobody is to be probed");
const meta = (host: string, port: number) =>
  bytes(JSON.stringify({ ip_or_host_name: host, rpc_port: port }));
const name = bytes("mooncake/rpc_meta/node");

Deno.test("documents are stored, replaced and deleted", async () => {
  const store = new MetadataStore(never);
  assert.equal(store.get(bytes("a")), null);
  assert.equal(await store.put(bytes("a"), bytes("1")), "updated");
  assert.equal(await store.put(bytes("a"), bytes("22")), "updated");
  assert.deepEqual(store.get(bytes("a")), bytes("22"));
  assert.equal(store.totalBytes, 3);
  assert.equal(await store.delete(bytes("a")), true);
  assert.equal(await store.delete(bytes("a")), false);
  assert.deepEqual([store.size, store.totalBytes], [0, 0]);
});

Deno.test("a key may be any bytes", async () => {
  const store = new MetadataStore(never);
  const keys = [[0], [0, 0], [0xff, 0xfe], [0xc3, 0xbf], [0xff]].map((key) => Uint8Array.from(key));
  for (const [i, key] of keys.entries()) await store.put(key, Uint8Array.of(i));
  for (const [i, key] of keys.entries()) assert.deepEqual(store.get(key), Uint8Array.of(i));
});

Deno.test("keys, values, their number and their total are bounded", async () => {
  const store = new MetadataStore(never, {
    ...{ maxKeys: 2, maxKeyBytes: 4, maxValueBytes: 8, maxTotalBytes: 12 },
  });
  assert.equal(await store.put(bytes("12345"), bytes("x")), "key too long");
  assert.equal(await store.put(bytes("a"), bytes("123456789")), "value too large");
  assert.equal(await store.put(bytes("a"), bytes("12345678")), "updated");
  assert.equal(await store.put(bytes("b"), bytes("123")), "full");
  assert.equal(await store.put(bytes("b"), bytes("12")), "updated");
  assert.equal(await store.put(bytes("c"), bytes("")), "too many keys");
  assert.equal(await store.put(bytes("a"), bytes("1")), "updated");
  assert.equal(await store.put(bytes("b"), bytes("12345678")), "updated");
  assert.equal(store.totalBytes, 11);
  assert.deepEqual(store.get(bytes("a")), bytes("1"));
});

Deno.test("a name whose owner answers stays taken", async () => {
  const probed: unknown[] = [];
  const store = new MetadataStore((host, port) => {
    probed.push([host, port]);
    return Promise.resolve(true);
  });
  assert.equal(await store.put(name, meta("10.0.0.1", 15_001)), "updated");
  assert.equal(await store.put(name, meta("10.0.0.1", 15_001)), "unchanged");
  assert.equal(await store.put(name, meta("10.0.0.1", 15_002)), "name in use");
  assert.deepEqual(probed, [["10.0.0.1", 15_001]]);
  assert.deepEqual(store.get(name), meta("10.0.0.1", 15_001));
});

Deno.test("a name whose owner is gone goes to its successor", async () => {
  const store = new MetadataStore(() => Promise.resolve(false));
  await store.put(name, meta("10.0.0.1", 15_001));
  assert.equal(await store.put(name, meta("10.0.0.1", 15_002)), "updated");
  assert.deepEqual(store.get(name), meta("10.0.0.1", 15_002));
});

Deno.test("a document that names nobody, or the same address, needs no probe", async () => {
  const store = new MetadataStore(never);
  for (const text of ["garbage", "{}", '{"ip_or_host_name":"","rpc_port":1}', "null"]) {
    assert.equal(await store.put(name, bytes(text)), "updated");
  }
  await store.put(name, meta("10.0.0.1", 15_001));
  const spaced = bytes('{ "rpc_port": 15001, "ip_or_host_name": "10.0.0.1" }');
  assert.equal(await store.put(name, spaced), "updated");
});

Deno.test("of two successors that ask at once, the second has to ask the first", async () => {
  const answers: ((alive: boolean) => void)[] = [];
  const probed: number[] = [];
  const store = new MetadataStore((_host, port) => {
    probed.push(port);
    return new Promise((resolve) => answers.push(resolve));
  });
  await store.put(name, meta("10.0.0.1", 1));
  const second = store.put(name, meta("10.0.0.1", 2));
  const third = store.put(name, meta("10.0.0.1", 3));
  for (const answer of answers.splice(0)) answer(false);
  assert.equal(await second, "updated");
  await Promise.resolve();
  for (const answer of answers.splice(0)) answer(true);
  assert.equal(await third, "name in use");
  assert.deepEqual(probed, [1, 1, 2]);
});

Deno.test("probes are bounded: beyond 16 at once a name stays taken", async () => {
  const pending: ((alive: boolean) => void)[] = [];
  const store = new MetadataStore(() => new Promise((resolve) => pending.push(resolve)));
  const key = (i: number) => bytes(`rpc_meta/${i}`);
  for (let i = 0; i <= 16; i++) await store.put(key(i), meta("10.0.0.1", 1));
  const waiting = Array.from({ length: 16 }, (_, i) => store.put(key(i), meta("10.0.0.1", 2)));
  assert.equal(await store.put(key(16), meta("10.0.0.1", 2)), "name in use");
  for (const answer of pending) answer(false);
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["updated"]));
});

Deno.test("what a segment published is forgotten, and nothing else", async () => {
  const store = new MetadataStore(never, DEFAULT_METADATA_LIMITS);
  for (const key of ["ram/a:1", "rpc_meta/a:1", "ram/a:12", "x/y"]) {
    await store.put(bytes(`mooncake/${key}`), bytes("{}"));
  }
  assert.equal(store.forgetSegment("a:1"), 2);
  assert.equal(store.forgetSegment("a:1"), 0);
  assert.equal(store.forgetSegment("x/y"), 1);
  assert.equal(store.size, 1);
});

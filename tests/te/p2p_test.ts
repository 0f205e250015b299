/** Content that spreads between stores of one process: what is refused, repaired and taken back. */
import assert from "node:assert/strict";
import { freePort, startMaster } from "../../examples/local_cluster.ts";
import { EngineCode, type P2pOptions, P2pStore, TransferEngine } from "../../te.ts";
import { fill, same } from "../contract/engine_pair.ts";
import { engineError } from "../contract/te_suite.ts";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { MemoryMetadata } from "../support/memory_metadata.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;
const PIECE = 64 << 10;
const { INVALID_ARGUMENT, METADATA, CANCELLED, TIMEOUT } = EngineCode;

function contentOf(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  fill(bytes, seed);
  return bytes;
}

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Stores that meet at one service. */
async function meeting() {
  const service = await MemoryMetadata.start();
  const stores: P2pStore[] = [];
  return {
    service,
    async open(options: Partial<P2pOptions> = {}): Promise<P2pStore> {
      const store = await P2pStore.open({ metadata: service.url, beatMs: 50, ...options });
      stores.push(store);
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store[Symbol.asyncDispose]();
      assert.deepEqual([...service.values.keys()].filter((key) => key.includes("p2p")), []);
      await service[Symbol.asyncDispose]();
    },
  };
}

async function spread(metadata: string): Promise<void> {
  await inFolder(async (folder) => {
    const first = contentOf(3 * MIB + 17, 1);
    const second = contentOf(5, 2);
    await Deno.writeFile(`${folder}/weights.bin`, first);
    await Deno.writeFile(`${folder}/config.json`, second);
    await Deno.writeFile(`${folder}/empty`, new Uint8Array(0));
    await using seeder = await P2pStore.open({ metadata });
    await using getter = await P2pStore.open({ metadata });
    const paths = ["weights.bin", "config.json", "empty"].map((name) => `${folder}/${name}`);
    const seeded = await seeder.seed("org/model v1", paths.map((path) => ({ path })), {
      pieceLength: PIECE,
    });
    const replica = await getter.get("org/model v1", { directory: `${folder}/there` });
    assert.equal(replica.digest, seeded.digest);
    assert(same(await Deno.readFile(`${folder}/there/weights.bin`), first));
    assert(same(await Deno.readFile(`${folder}/there/config.json`), second));
    assert.equal((await Deno.stat(`${folder}/there/empty`)).size, 0);
    assert.deepEqual(
      replica.sources.receivedBytes,
      new Map([[seeder.engine.localName, first.length + second.length]]),
    );
    const [listed] = await getter.list("org/");
    assert.deepEqual([listed.name, listed.length], ["org/model v1", first.length + 5]);
    assert.deepEqual(
      listed.holders.toSorted((a, b) => a.segment < b.segment ? -1 : 1),
      [seeder, getter].map(({ engine }) => ({ segment: engine.localName, answers: true }))
        .toSorted((a, b) => a.segment < b.segment ? -1 : 1),
    );
    await seeded.withdraw();
    await using third = await P2pStore.open({ metadata });
    const arrays = [new Uint8Array(first.length), new Uint8Array(5), new Uint8Array(0)];
    await third.get("org/model v1", { arrays });
    assert(same(arrays[0], first));
    await replica.withdraw();
    await third[Symbol.asyncDispose]();
    assert.deepEqual(await getter.list(), [], "the last holder takes the name with it");
  });
}

testWith(etcdAbsent, "files spread over etcd", async () => {
  await using etcd = await EngineServer.etcd();
  await spread(`etcd://${etcd.address}`);
});

testWith(redisAbsent, "files spread over Redis", async () => {
  await using redis = await EngineServer.redis();
  await spread(`redis://${redis.address}`);
});

Deno.test("files spread over the HTTP server of a master", async () => {
  const port = await freePort();
  const { process } = await startMaster([
    ...["--enable_http_metadata_server=true", "--http_metadata_server_host=127.0.0.1"],
    `--http_metadata_server_port=${port}`,
  ]);
  await using _master = process;
  await spread(`http://127.0.0.1:${port}/metadata`);
});

for (const options of [{ engine: "typescript" as const }, { forceTcp: true }]) {
  Deno.test(`files spread with ${JSON.stringify(options)}`, async () => {
    await using place = await meeting();
    await inFolder(async (folder) => {
      const bytes = contentOf(MIB + 1, 3);
      await Deno.writeFile(`${folder}/a`, bytes);
      const seeder = await place.open(options);
      const getter = await place.open(options);
      await seeder.seed("a", [{ path: `${folder}/a` }], { pieceLength: PIECE, checksum: "crc32c" });
      await getter.get("a", { directory: `${folder}/b` });
      assert(same(await Deno.readFile(`${folder}/b/a`), bytes));
      await using third = await place.open(options);
      await seeder[Symbol.asyncDispose]();
      await third.get("a", { directory: `${folder}/c` });
      assert(same(await Deno.readFile(`${folder}/c/a`), bytes), "from who has got it");
    });
  });
}

Deno.test("a name with other content is refused while somebody holds it", async () => {
  await using place = await meeting();
  const a = await place.open();
  const b = await place.open();
  const bytes = contentOf(MIB, 4);
  const source = (content: Uint8Array<ArrayBuffer>) => [{ name: "x", bytes: content }];
  await a.seed("n", source(bytes), { pieceLength: PIECE });
  await assert.rejects(
    b.seed("n", source(contentOf(MIB, 5))),
    engineError(
      INVALID_ARGUMENT,
      /^The name "n" has other content: 1 files of 1048576 bytes \([0-9a-f]{12}\), held by 127/,
    ),
  );
  await assert.rejects(
    a.seed("n", source(bytes)),
    engineError(INVALID_ARGUMENT, /holds "n" already/),
  );
  const again = await b.seed("n", source(bytes.slice()));
  assert.equal(again.pieceLength, PIECE, "the same content is cut as it is known");
  await a[Symbol.asyncDispose]();
  await again.withdraw();
  await b.seed("n", source(contentOf(MIB, 5)));
});

Deno.test("wrong pieces are seen and fetched elsewhere", async () => {
  await using place = await meeting();
  const liar = await place.open();
  const honest = await place.open();
  const getter = await place.open({ random: () => 0 });
  const bytes = contentOf(2 * MIB, 6);
  const spoiled = bytes.slice();
  await liar.seed("n", [{ name: "x", bytes: spoiled }], { pieceLength: PIECE });
  await honest.seed("n", [{ name: "x", bytes }]);
  for (let at = 0; at < spoiled.length; at += PIECE) spoiled[at] ^= 1;
  const arrays = [new Uint8Array(2 * MIB)];
  const { sources } = await getter.get("n", { arrays });
  assert(same(arrays[0], bytes));
  assert(sources.wrongPieces > 0);
  assert.deepEqual([...sources.receivedBytes.keys()], [honest.engine.localName]);
  await honest[Symbol.asyncDispose]();
  await getter[Symbol.asyncDispose]();
  const last = await place.open();
  await assert.rejects(
    last.get("n", { arrays: [new Uint8Array(2 * MIB)] }, { stallTimeoutMs: 300 }),
    engineError(TIMEOUT, /^No piece of "n" came for 300 ms; missing: 32 of 32, .* sent wrong\)$/),
  );
});

Deno.test("a download goes on from what an earlier one has left", async () => {
  await using place = await meeting();
  await inFolder(async (folder) => {
    const seeder = await place.open();
    const getter = await place.open();
    const bytes = contentOf(2 * MIB, 7);
    await seeder.seed("n", [{ name: "x", bytes }], { pieceLength: PIECE });
    const stop = new AbortController();
    await assert.rejects(
      getter.get("n", { directory: folder }, { signal: AbortSignal.abort() }),
      engineError(CANCELLED, /^The download of "n" was stopped/),
    );
    const half = bytes.slice();
    half.fill(0, MIB);
    await Deno.writeFile(`${folder}/x.part`, half);
    const replica = await getter.get("n", { directory: folder }, { signal: stop.signal });
    assert.equal(replica.sources.foundBytes, MIB);
    assert(same(await Deno.readFile(`${folder}/x`), bytes));
    await replica.withdraw();
    const whole = await getter.get("n", { directory: folder });
    assert.equal(whole.sources.foundBytes, 2 * MIB);
    await whole.withdraw();
    await Deno.writeFile(`${folder}/x`, half);
    await assert.rejects(
      getter.get("n", { directory: folder }),
      engineError(INVALID_ARGUMENT, /\/x is there with other content; "overwrite" replaces it$/),
    );
    await getter.get("n", { directory: folder }, { overwrite: true });
    assert(same(await Deno.readFile(`${folder}/x`), bytes));
  });
});

Deno.test("what a peer stores in a shared file does not reach the file", async () => {
  await using place = await meeting();
  await inFolder(async (folder) => {
    const seeder = await place.open({ forceTcp: true });
    const bytes = contentOf(MIB, 12);
    await Deno.writeFile(`${folder}/x`, bytes);
    await seeder.seed("n", [{ path: `${folder}/x` }]);
    await using meddler = await TransferEngine.initialize({
      ...{ metadata: place.service.url, forceTcp: true },
    });
    const segment = await meddler.openSegment(seeder.engine.localName);
    const { address } = segment.buffers.find(({ length }) => length === MIB)!;
    const local = new Uint8Array(MIB);
    const write = { opcode: "write", segment, remoteAddress: address, local } as const;
    assert.deepEqual(await meddler.transferSync([write]), [EngineCode.OK]);
    assert(same(await Deno.readFile(`${folder}/x`), bytes));
    const getter = await place.open();
    await assert.rejects(
      getter.get("n", { directory: `${folder}/there` }, { stallTimeoutMs: 200 }),
      engineError(TIMEOUT, / sent wrong\)$/),
      "and who gets it sees that",
    );
  });
});

Deno.test("a file that changes is shared no more", async () => {
  await using place = await meeting();
  await inFolder(async (folder) => {
    const store = await place.open();
    const path = `${folder}/x`;
    await Deno.writeFile(path, contentOf(MIB, 8));
    const replica = await store.seed("n", [{ path }]);
    const file = await Deno.open(path, { write: true });
    await file.write(Uint8Array.of(1));
    file.close();
    await Deno.utime(path, 1, 1);
    assert.equal(await replica.ended, `${path} was changed`);
    await until(async () => (await store.list()).length === 0);
  });
});

Deno.test("a name is taken back everywhere, also from those who are fetching it", async () => {
  await using place = await meeting();
  const seeder = await place.open();
  const getter = await place.open();
  const other = await place.open();
  const bytes = contentOf(2 * MIB, 9);
  const seeded = await seeder.seed("n", [{ name: "x", bytes }], { pieceLength: PIECE });
  await getter.get("n", { arrays: [new Uint8Array(2 * MIB)] });
  assert.equal(await other.unseed("n"), 2);
  assert.equal(await seeded.ended, "somebody took the name back");
  assert.deepEqual(await other.list(), []);
  await assert.rejects(other.unseed("n"), engineError(METADATA, /^Nobody shares "n"$/));

  // Nobody has the pieces that this one waits for.
  const spoiled = bytes.slice();
  const liar = await seeder.seed("n", [{ name: "x", bytes: spoiled }]);
  spoiled.fill(0);
  const waiting = getter.get("n", { arrays: [new Uint8Array(2 * MIB)] });
  await until(async () => (await other.list())[0]?.holders.length === 2);
  const refused = assert.rejects(
    waiting,
    engineError(CANCELLED, /^The download of "n" was stopped: somebody took the name back$/),
  );
  await other.unseed("n");
  await refused;
  assert.equal(await liar.ended, "somebody took the name back");
});

Deno.test("documents that are lost are put back, and a name can be waited for", async () => {
  await using place = await meeting();
  const seeder = await place.open();
  const getter = await place.open();
  const bytes = contentOf(MIB, 10);
  const waiting = getter.get("n", { arrays: [new Uint8Array(MIB)] }, { waitMs: 60_000 });
  await seeder.seed("n", [{ name: "x", bytes }]);
  assert.equal((await waiting).length, MIB);
  const kept = [...place.service.values.keys()].filter((key) => key.includes("p2p"));
  assert.equal(kept.length, 3);
  for (const key of kept) place.service.values.delete(key);
  await until(() => kept.every((key) => place.service.values.has(key)));
});

Deno.test("what the dead have said is removed, that of the living is not", async () => {
  await using place = await meeting();
  const seeder = await place.open();
  const getter = await place.open();
  const bytes = contentOf(MIB, 11);
  await seeder.seed("n", [{ name: "x", bytes }]);
  bytes.fill(0); // So that the getter does not come to an end.
  const { values } = place.service;
  const own = [...values.keys()].find((key) => key.includes("holder"))!;
  const name = seeder.engine.localName;
  const [dead, other] = ["127.0.0.1:1", "127.0.0.1:2"].map((segment) => {
    const key = own.replace(name, segment);
    values.set(key, values.get(own)!.replace(name, segment));
    return key;
  });
  const stopped = assert.rejects(
    getter.get("n", { arrays: [new Uint8Array(MIB)] }),
    engineError(CANCELLED, /somebody took the name back$/),
  );
  let beat = 1000;
  await until(() => {
    values.set(other, values.get(own)!.replace(name, "127.0.0.1:2").replace(/\d+/, `${beat++}`));
    return !values.has(dead);
  });
  assert(values.has(own));
  assert(values.has(other), "nobody answers there, and yet there are signs of life");
  await getter.unseed("n");
  await stopped;
});

Deno.test("wrong use of a p2p store is one line", async () => {
  await assert.rejects(
    P2pStore.open({}),
    engineError(INVALID_ARGUMENT, /^metadata="P2PHANDSHAKE" is refused; allowed: a service that/),
  );
  await assert.rejects(
    P2pStore.open({ metadata: "http://127.0.0.1:1/m", beatMs: 1 }),
    engineError(INVALID_ARGUMENT, /^beatMs=1 is refused/),
  );
  await using place = await meeting();
  const store = await place.open();
  const bytes = contentOf(100, 1);
  const source = { name: "x", bytes };
  const cases: [() => Promise<unknown>, EngineCode, RegExp][] = [
    [() => store.seed("", [source]), INVALID_ARGUMENT, /^name="" is refused; allowed: 1 to 200/],
    [() => store.seed("n", []), INVALID_ARGUMENT, /^sources="none" is refused/],
    [
      () => store.seed("n", [{ name: "../x", bytes }]),
      INVALID_ARGUMENT,
      /^name="\.\.\/x" is refused/,
    ],
    [
      () => store.seed("n", [source, source]),
      INVALID_ARGUMENT,
      /^sources="x" is refused; allowed: each/,
    ],
    [
      () => store.seed("n", [source, { path: "/x" }]),
      INVALID_ARGUMENT,
      /^sources="both" is refused/,
    ],
    [
      () => store.seed("n", [{ path: "/nonexistent/x" }]),
      INVALID_ARGUMENT,
      /^Cannot share \/nonexistent/,
    ],
    [
      () => store.seed("n", [{ path: "/tmp" }]),
      INVALID_ARGUMENT,
      /^Cannot share \/tmp: it is no file/,
    ],
    [
      () => store.seed("n", [source], { pieceLength: 1 }),
      INVALID_ARGUMENT,
      /^pieceLength=1 is refused/,
    ],
    [() => store.get("n", { directory: "" }), METADATA, /^Nobody shares "n"$/],
    [() => store.get("n", { directory: "/x" }, { parallel: 0 }), INVALID_ARGUMENT, /^parallel=0/],
  ];
  for (const [run, code, text] of cases) await assert.rejects(run(), engineError(code, text));
  await store.seed("n", [source]);
  const other = await place.open();
  await assert.rejects(
    other.get("n", { arrays: [new Uint8Array(99)] }),
    engineError(INVALID_ARGUMENT, /^arrays="\[99\] bytes" is refused; allowed: \[100\] bytes$/),
  );
  await assert.rejects(
    other.get("n", { directory: "/proc/nowhere" }),
    engineError(INVALID_ARGUMENT, /^Cannot write into \/proc\/nowhere: /),
  );
  const key = [...place.service.values.keys()].find((one) => one.includes("manifest"))!;
  for (const text of ["{}", "no JSON", place.service.values.get(key)!.replace('"x"', '"/etc/x"')]) {
    place.service.values.set(key, text);
    await assert.rejects(
      other.get("n", { arrays: [new Uint8Array(100)] }),
      engineError(METADATA, /^What is kept of "n" cannot be read: /),
    );
  }
  place.service.values.delete(key);
});

/** Segments that are files (nvmeof): the suite of engines, and engines that share them by name. */
import assert from "node:assert/strict";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import { Opcode, TransferCode } from "../../client/transfer/engine.ts";
import { openLibrary } from "../../ffi/library.ts";
import { EngineCode, TransferEngine, type TransferEngineOptions } from "../../te.ts";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { fill, same } from "./engine_pair.ts";
import { fileOf, FileServer } from "./file_server.ts";
import { engineError } from "./te_suite.ts";
import { transferEngineSuite } from "./transfer_engine_suite.ts";

const MIB = 1 << 20;
const probe = openLibrary();
const noShim = "unavailable" in probe ? probe.unavailable : null;
if ("close" in probe) probe.close();

function test(name: string, fn: () => Promise<void>): void {
  const why = noShim === null ? "" : ` (skipped: ${noShim})`;
  Deno.test({ name: `${name}${why}`, ignore: noShim !== null, fn });
}

function openNative(): NativeTransferEngine {
  const library = openLibrary();
  if ("unavailable" in library) throw new Error(library.unavailable);
  return new NativeTransferEngine(library);
}

const folders = [{ of: "a file", dir: undefined }, { of: "a file in memory", dir: "/dev/shm" }];
for (const { of, dir } of folders) {
  transferEngineSuite((name, run) => test(`${of}: ${name}`, run), {
    client: { name: "native", open: openNative },
    server: { name: "files", open: () => new FileServer(dir) },
    version: 2,
    fileOf,
  });
}

test("ranges beyond a segment are refused, those over two of its files are not", async () => {
  await using server = new FileServer();
  await using client = openNative();
  const files = [5000, 3 * MIB, 1].map((length) => server.allocate(length, { publish: true }));
  files.forEach(({ bytes }, i) => fill(bytes, i));
  const peer = client.openPeer({
    ...{ host: "", port: 0, protocolVersion: 2, files: files.map(fileOf) },
  });
  const end = 5000 + 3 * MIB + 1;
  const whole = new Uint8Array(end);
  const op = { opcode: Opcode.READ, peer, local: whole, localOffset: 0 };
  assert.equal(await client.transferOne({ ...op, remoteAddress: 0n, length: end }), 0);
  let at = 0;
  for (const { bytes } of files) {
    assert(same(whole.subarray(at, at + bytes.length), bytes));
    at += bytes.length;
  }
  for (const remoteAddress of [BigInt(end), BigInt(end) - 7n, (1n << 64n) - 8n]) {
    for (const opcode of [Opcode.READ, Opcode.WRITE]) {
      const code = await client.transferOne({ ...op, opcode, remoteAddress, length: 8 });
      assert.equal(code, TransferCode.ADDRESS_NOT_REGISTERED);
    }
  }
  assert.throws(
    () =>
      client.openPeer({
        host: "",
        port: 0,
        protocolVersion: 2,
        files: [{ path: "/nonexistent", length: 7 }],
      }),
    /^Error: "\/nonexistent" cannot be used: No such file or directory; allowed: a block device or a file of at least 7 bytes, which this process may read$/,
  );
});

test("transfers with many segments and a memory peer share a batch", async () => {
  await using server = new FileServer();
  await using owner = openNative();
  await using client = openNative();
  const memory = owner.allocate(1000, { publish: true });
  fill(memory.bytes, 99);
  const { port } = await owner.listen({ host: "127.0.0.1" });
  const local = client.allocate(21_000);
  const regions = Array.from({ length: 20 }, () => server.allocate(1000, { publish: true }));
  const ops = regions.map((region, i) => {
    fill(region.bytes, i);
    const address = { host: "", port: 0, protocolVersion: 2 as const, files: [fileOf(region)] };
    const peer = client.openPeer(address);
    return {
      opcode: Opcode.READ,
      peer,
      remoteAddress: 0n,
      length: 1000,
      local,
      localOffset: i * 1000,
    };
  });
  const peer = client.openPeer({ host: "127.0.0.1", port, protocolVersion: 2 });
  const last = {
    opcode: Opcode.READ,
    peer,
    remoteAddress: memory.remoteBase!,
    length: 1000,
    local,
  };
  const codes = await client.transfer([...ops, { ...last, localOffset: 20_000 }]);
  assert.deepEqual(new Set(codes), new Set([TransferCode.OK]));
  [...regions, memory].forEach(({ bytes }, i) =>
    assert(same(local.bytes.subarray(i * 1000, (i + 1) * 1000), bytes))
  );
});

/** A metadata server, a folder, and engines with the transport. */
class World implements AsyncDisposable {
  readonly #store: ReferenceMetadata | null;
  readonly folder = Deno.makeTempDirSync();
  readonly #engines: TransferEngine[] = [];
  #port = 21_100 + Math.floor(Math.random() * 500);

  private constructor(store: ReferenceMetadata | null, readonly metadata: string) {
    this.#store = store;
  }

  /** With a metadata server of its own, or the one given. */
  static async open(metadata?: string): Promise<World> {
    if (metadata !== undefined) return new World(null, metadata);
    const store = await ReferenceMetadata.start();
    return new World(store, store.url);
  }

  async engine(options: TransferEngineOptions = {}): Promise<TransferEngine> {
    const engine = await TransferEngine.initialize({
      ...{ metadata: this.metadata, localServerName: `127.0.0.1:${this.#port++}` },
      ...{ protocol: "nvmeof", ...options },
    });
    this.#engines.push(engine);
    return engine;
  }

  file(name: string, bytes: number): string {
    const path = `${this.folder}/${name}`;
    const content = new Uint8Array(bytes);
    fill(content, bytes);
    Deno.writeFileSync(path, content);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const engine of this.#engines) await engine[Symbol.asyncDispose]();
    await this.#store?.[Symbol.asyncDispose]();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

test("an engine registers files, and others read and write them at their own paths", async () => {
  await using world = await World.open();
  const owner = await world.engine();
  const user = await world.engine();
  const localPaths = {
    [`${world.folder}/a`]: `${world.folder}/a`,
    [`${world.folder}/b`]: `${world.folder}/link`,
  };
  const told = await world.engine({ localPaths });
  const [a, b] = [world.file("a", 100_000), world.file("b", 50_000)];
  Deno.symlinkSync(a, `${world.folder}/user-a`);
  Deno.symlinkSync(b, `${world.folder}/link`);
  await owner.registerFiles("nvmeof/pool", [
    {
      path: a,
      localPaths: { [user.localName]: `${world.folder}/user-a`, [told.localName]: "/nonexistent" },
    },
    { path: b, length: 40_000, localPaths: { [user.localName]: b } },
  ]);
  assert.deepEqual(owner.transports, ["tcp", "shm", "nvmeof"]);
  const text = await (await fetch(`${world.metadata}?key=mooncake%2Fnvmeof%2Fpool`)).json();
  assert.equal(text.protocol, "nvmeof");
  assert.equal(text.server_name, owner.localName);
  assert.deepEqual(text.buffers[1], {
    ...{
      file_path: b,
      length: 40_000,
      local_path_map: { [user.localName]: b, [owner.localName]: b },
    },
  });

  const expected = new Uint8Array(140_000);
  expected.set(Deno.readFileSync(a));
  expected.set(Deno.readFileSync(b).subarray(0, 40_000), 100_000);
  for (const engine of [owner, user, told]) {
    const segment = await engine.openSegment("nvmeof/pool");
    assert.deepEqual(segment.buffers, [
      { address: 0n, length: 100_000 },
      { address: 100_000n, length: 40_000 },
    ]);
    const memory = await engine.registerMemory(140_000);
    const request = { segment, remoteAddress: 0n, local: memory };
    assert.deepEqual(await engine.transferSync([{ ...request, opcode: "read" }]), [0]);
    assert(same(memory.bytes, expected));
    const piece = new Uint8Array(9000);
    fill(piece, expected[7]);
    expected.set(piece, 95_500);
    const batch = engine.submitTransfer([
      { ...request, opcode: "write", local: piece, remoteAddress: 95_500n },
      { ...request, opcode: "read", local: new Uint8Array(1), remoteAddress: 140_000n },
    ]);
    assert.deepEqual(await batch.wait(), [0, EngineCode.ADDRESS_NOT_REGISTERED]);
    assert.deepEqual(batch.poll().map(({ state }) => state), ["completed", "failed"]);
    const signal = AbortSignal.abort();
    const late = await engine.transferSync([{ ...request, opcode: "read" }], { signal });
    assert.deepEqual(late, [EngineCode.CANCELLED]);
  }
  assert(same(Deno.readFileSync(a), expected.subarray(0, 100_000)));
  assert.equal(Deno.statSync(b).size, 50_000);

  await owner.unregisterFiles("nvmeof/pool");
  await assert.rejects(
    owner.unregisterFiles("nvmeof/pool"),
    engineError(EngineCode.ADDRESS_NOT_REGISTERED, /No files are registered as "nvmeof\/pool"/),
  );
  await assert.rejects(
    user.openSegment("nvmeof/pool"),
    engineError(EngineCode.METADATA, /has no segment "nvmeof\/pool"/),
  );
});

test("memory and files are moved by one engine, and files go with who registered them", async () => {
  await using world = await World.open();
  const user = await world.engine({ protocol: "tcp" });
  const path = world.file("a", 8192);
  {
    await using owner = await world.engine();
    const lent = await owner.registerMemory(4096);
    await owner.registerFiles("nvmeof/a", [{ path, localPaths: { "127.0.0.1": path } }]);
    await assert.rejects(
      user.openSegment("nvmeof/a"),
      engineError(EngineCode.INVALID_ARGUMENT, /installTransport\("nvmeof"\) does that$/),
    );
    await user.installTransport("nvmeof");
    await user.installTransport("nvmeof");
    const files = await user.openSegment("nvmeof/a");
    const memory = await user.openSegment(owner.localName);
    const local = new Uint8Array(4096);
    const codes = await user.transferSync([
      { opcode: "read", segment: files, remoteAddress: 4096n, local },
    ]);
    assert.deepEqual(codes, [0]);
    const request = {
      opcode: "write" as const,
      segment: memory,
      remoteAddress: lent.address,
      local,
    };
    assert.deepEqual(await user.transferSync([request]), [0]);
    assert(same(lent.bytes, Deno.readFileSync(path).subarray(4096)));
    user.closeSegment(files);
  }
  await assert.rejects(
    user.openSegment("nvmeof/a"),
    engineError(EngineCode.METADATA, /has no segment "nvmeof\/a"/),
  );
});

test("a document of the reference's scripts is read", async () => {
  await using world = await World.open();
  const path = world.file("a", 5000);
  const buffer = { length: 5000, file_path: "/mnt/nvme0", local_path_map: { "127.0.0.1": path } };
  const body = JSON.stringify({ server_name: "node9", protocol: "nvmeof", buffers: [buffer] });
  const url = `${world.metadata}?key=mooncake%2Fnvmeof%2Fnode9`;
  await (await fetch(url, { method: "PUT", body })).text();
  const user = await world.engine();
  const segment = await user.openSegment("nvmeof/node9");
  const local = new Uint8Array(5000);
  const request = { opcode: "read" as const, segment, remoteAddress: 0n, local };
  assert.deepEqual(await user.transferSync([request]), [0]);
  assert(same(local, Deno.readFileSync(path)));
  await assert.rejects(
    user.registerFiles("nvmeof/node9", [{ path }]),
    engineError(EngineCode.METADATA, /The name "nvmeof\/node9" is in use for files of node9 /),
  );
});

for (
  const [name, missing, start] of [
    ["etcd", etcdAbsent, EngineServer.etcd],
    ["redis", redisAbsent, EngineServer.redis],
  ] as const
) {
  testWith(
    missing ?? noShim,
    `${name} keeps the documents of files, of one owner each`,
    async () => {
      await using server = await start();
      await using world = await World.open(`${name}://${server.address}`);
      const path = world.file("a", 5000);
      const localPaths = { "127.0.0.1": path };
      const [owner, other] = [await world.engine(), await world.engine()];
      const both = await Promise.allSettled(
        [owner, other].map((engine) => engine.registerFiles("nvmeof/a", [{ path, localPaths }])),
      );
      assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
      const [loser, winner] = both[0].status === "rejected" ? [owner, other] : [other, owner];
      await winner.registerFiles("nvmeof/a", [{ path, length: 4096, localPaths }]);
      const segment = await loser.openSegment("nvmeof/a");
      assert.deepEqual(segment.buffers, [{ address: 0n, length: 4096 }]);
      await winner[Symbol.asyncDispose]();
      await loser.registerFiles("nvmeof/a", [{ path }]);
      await segment.refresh();
      const local = new Uint8Array(904);
      const read = { opcode: "read" as const, segment, remoteAddress: 4096n, local };
      assert.deepEqual(await loser.transferSync([read]), [0], "the end of the file is there now");
    },
  );
}

test("what is wrong with files is one line that names path, host and what is allowed", async () => {
  await using world = await World.open();
  const owner = await world.engine();
  const other = await world.engine();
  const path = world.file("a", 5000);
  const there = { [other.localName]: `${world.folder}/none` };
  await owner.registerFiles("nvmeof/lost", [{ path, localPaths: there }]);
  await owner.registerFiles("nvmeof/a", [{ path }]);
  const { INVALID_ARGUMENT, DEVICE_NOT_FOUND, METADATA } = EngineCode;
  await assert.rejects(
    other.openSegment("nvmeof/lost"),
    engineError(
      DEVICE_NOT_FOUND,
      /^Cannot open segment "nvmeof\/lost" at 127\.0\.0\.1:\d+: "[^"]+\/none" cannot be used: No such file or directory; allowed: a block device or a file of at least 5000 bytes, which this process may read$/,
    ),
  );
  await assert.rejects(
    other.openSegment("nvmeof/a"),
    engineError(
      DEVICE_NOT_FOUND,
      new RegExp(
        `host ${other.localName} is told no path for "${path}" of ${owner.localName}; paths are ` +
          `known for: ${owner.localName}; allowed: one for this host in the segment's ` +
          "local_path_map, or localPaths$",
      ),
    ),
  );
  await assert.rejects(
    other.registerFiles("nvmeof/a", [{ path }]),
    engineError(METADATA, /The name "nvmeof\/a" is in use for files of 127\.0\.0\.1:\d+ /),
  );
  const cases: [string, unknown[], EngineCode, RegExp][] = [
    ["pool", [{ path }], INVALID_ARGUMENT, /^name="pool" is refused; allowed: nvmeof\/ and/],
    ["nvmeof/", [{ path }], INVALID_ARGUMENT, /^name="nvmeof\/" is refused/],
    ["nvmeof/x", [], INVALID_ARGUMENT, /^files=0 is refused; allowed: 1 to 4096/],
    ["nvmeof/x", [{ path: "a" }], INVALID_ARGUMENT, /^path="a" is refused; .*absolute path/],
    ["nvmeof/x", [{ path, length: 5001 }], INVALID_ARGUMENT, /^length=5001 .* 1 to 5000/],
    ["nvmeof/x", [{ path, length: 0.5 }], INVALID_ARGUMENT, /^length=0\.5 is refused/],
    ["nvmeof/x", [{ path, localPaths: { h: "b" } }], INVALID_ARGUMENT, /^localPaths\["h"\]="b"/],
    [
      "nvmeof/x",
      [{ path: "/nonexistent" }],
      DEVICE_NOT_FOUND,
      /: "\/nonexistent" cannot be used: No/,
    ],
    ["nvmeof/x", [{ path: world.folder }], DEVICE_NOT_FOUND, /it is a folder; allowed: a block/],
    ["nvmeof/x", [{ path: "/dev/null" }], DEVICE_NOT_FOUND, /it is a character device; allowed/],
  ];
  for (const [name, files, code, text] of cases) {
    await assert.rejects(
      owner.registerFiles(name, files as { path: string }[]),
      engineError(code, text),
    );
  }
  const p2p = await world.engine({ metadata: "P2PHANDSHAKE" });
  await assert.rejects(
    p2p.registerFiles("nvmeof/x", [{ path }]),
    engineError(INVALID_ARGUMENT, /^metadata="P2PHANDSHAKE" is refused; allowed: for files, http/),
  );
  const plain = await world.engine({ protocol: "tcp" });
  await assert.rejects(
    plain.registerFiles("nvmeof/x", [{ path }]),
    engineError(INVALID_ARGUMENT, /installTransport\("nvmeof"\)/),
  );
  await assert.rejects(
    world.engine({ engine: "typescript" }),
    engineError(DEVICE_NOT_FOUND, /^Transport "nvmeof" cannot be had: the engine in TypeScript/),
  );
  await assert.rejects(
    world.engine({ localPaths: { "/a": "" } }),
    engineError(
      INVALID_ARGUMENT,
      /^localPaths\["\/a"\]="" is refused; allowed: a path of this host$/,
    ),
  );
});

test("nobody but who opens files by their name is led to a file", async () => {
  await using world = await World.open();
  const path = world.file("a", 5000);
  const user = await world.engine();
  const safe = await world.engine({ localPaths: { "/dev/nvme0n1": path } });
  const buffers = [{ length: 5000, file_path: "/f", local_path_map: { "127.0.0.1": path } }];
  const body = JSON.stringify({ name: "h:1", protocol: "nvmeof", buffers });
  for (const key of ["ram/127.0.0.1:1", "nvmeof/a"]) {
    const url = `${world.metadata}?key=${encodeURIComponent(`mooncake/${key}`)}`;
    await (await fetch(url, { method: "PUT", body })).text();
  }
  await assert.rejects(
    user.openSegment("127.0.0.1:1"),
    engineError(EngineCode.METADATA, /document of "127\.0\.0\.1:1" names files, and its name does/),
  );
  await user.openSegment("nvmeof/a");
  await assert.rejects(
    safe.openSegment("nvmeof/a"),
    engineError(
      EngineCode.DEVICE_NOT_FOUND,
      /is told no path for "\/f" of its owner; localPaths names: \/dev\/nvme0n1$/,
    ),
  );
});

test("a file that fails is told, with its path", async () => {
  await using world = await World.open();
  const owner = await world.engine();
  const path = world.file("a", 50_000);
  await owner.registerFiles("nvmeof/a", [{ path }]);
  const segment = await owner.openSegment("nvmeof/a");
  Deno.truncateSync(path, 100);
  const local = new Uint8Array(1000);
  const request = { opcode: "read" as const, segment, remoteAddress: 20_000n, local };
  assert.deepEqual(await owner.transferSync([request]), [EngineCode.SOCKET]);
  assert.match(
    owner.explain(request, EngineCode.SOCKET),
    /ended with SOCKET -102; last failure: READ of 1000 bytes at 20000 of \/.*\/a: Input\/output error$/,
  );
});

test("files of an owner that was killed can be registered by another one", async () => {
  await using world = await World.open();
  const path = world.file("a", 5000);
  const next = await world.engine();
  const put = async (key: string, value: unknown) => {
    const url = `${world.metadata}?key=${encodeURIComponent(key)}`;
    await (await fetch(url, { method: "PUT", body: JSON.stringify(value) })).text();
  };
  await put("mooncake/rpc_meta/dead:1", { ip_or_host_name: "127.0.0.1", rpc_port: 1 });
  const buffers = [{ length: 5000, file_path: path, local_path_map: {} }];
  await put("mooncake/nvmeof/a", { server_name: "dead:1", protocol: "nvmeof", buffers });
  await next.registerFiles("nvmeof/a", [{ path }]);
  const segment = await next.openSegment("nvmeof/a");
  assert.equal(segment.buffers.length, 1);
});

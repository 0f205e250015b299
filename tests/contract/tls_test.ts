/** TLS between transfer engines, and between stores: who is let in, who is refused and what is said. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import { StoreClient, type StoreOptions } from "../../mod.ts";
import { EngineCode, TransferEngine, type TransferEngineOptions } from "../../te.ts";
import { NativeTransferEngine } from "../../client/transfer/native_engine.ts";
import { freePort, LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { makeNodeCertificates } from "../support/certificates.ts";
import { EngineServer, opensslAbsent, redisAbsent } from "../support/engine_servers.ts";
import { until } from "../support/until.ts";
import { type EngineKind, fill, same } from "./engine_pair.ts";
import { engineError, teSuite } from "./te_suite.ts";
import { transferEngineSuite } from "./transfer_engine_suite.ts";

const MIB = 1 << 20;
const HOST = "127.0.0.1";
const probe = openLibrary();
const absent = opensslAbsent ?? ("unavailable" in probe ? probe.unavailable : null);
if ("close" in probe) probe.close();
const directory = absent === null ? await Deno.makeTempDir() : "";
if (absent === null) await makeNodeCertificates(directory);
Deno.test.afterAll(async () => {
  if (directory !== "") await Deno.remove(directory, { recursive: true });
});

const path = (name: string) => `${directory}/${name}`;
function files(name = "node", ca = "ca") {
  return { certFile: path(`${name}.pem`), keyFile: path(`${name}.key`), caFile: path(`${ca}.pem`) };
}
function settings(name = "node", ca = "ca") {
  const { certFile, keyFile, caFile } = files(name, ca);
  return { tlsCertFile: certFile, tlsKeyFile: keyFile, tlsCaFile: caFile };
}
function flagsOf(name: string): string[] {
  const { certFile, keyFile, caFile } = files(name);
  return [`--tls_cert_file=${certFile}`, `--tls_key_file=${keyFile}`, `--tls_ca_file=${caFile}`];
}
function pem(name: string) {
  return { cert: readFileSync(path(`${name}.pem`)), key: readFileSync(path(`${name}.key`)) };
}

function test(name: string, fn: () => Promise<void>, missing = absent): void {
  const reason = missing === null ? "" : ` (skipped: ${missing})`;
  Deno.test({ name: `TLS: ${name}${reason}`, ignore: missing !== null, fn });
}

const secure: EngineKind = {
  name: "native with TLS",
  open(options) {
    const library = openLibrary();
    if ("unavailable" in library) throw new Error(library.unavailable);
    return new NativeTransferEngine(library, { ...options, tls: files() });
  },
};
for (const version of [2, 1] as const) {
  transferEngineSuite((name, fn) => test(`version ${version}: ${name}`, fn), {
    ...{ client: secure, server: secure, version },
  });
}
teSuite(
  (name, fn) => test(`te: ${name}`, fn),
  () => Promise.resolve({ tls: files(), forceTcp: true }),
  { addresses: true },
);

let nextPort = 21_500 + Math.floor(Math.random() * 500);
function open(options: TransferEngineOptions = {}): Promise<TransferEngine> {
  const localServerName = `${HOST}:${nextPort++}`;
  return TransferEngine.initialize({ localServerName, forceTcp: true, ...options });
}

/** Reads one byte of the first memory of a segment; the code. */
async function readOne(user: TransferEngine, name: string): Promise<{ code: number; why: string }> {
  const segment = await user.openSegment(name);
  const remoteAddress = segment.buffers[0].address;
  const local = new Uint8Array(1);
  const request = { opcode: "read" as const, segment, remoteAddress, local, length: 1 };
  const [code] = await user.transferSync([request]);
  return { code, why: user.explain(request, code) };
}

test("48 MiB on many lanes arrive whole, and same-host memory needs no TLS", async () => {
  for (const forceTcp of [true, false]) {
    await using owner = await open({ tls: files(), forceTcp });
    await using user = await open({ tls: files(), forceTcp });
    const theirs = await owner.registerMemory(48 * MIB);
    const mine = await user.registerMemory(48 * MIB);
    fill(theirs.bytes, 3);
    const segment = await user.openSegment(owner.localName);
    const lengths = [20 * MIB, ...Array.from({ length: 28 }, () => MIB)];
    let at = 0;
    const requests = lengths.map((length) => {
      const localOffset = at;
      at += length;
      const remoteAddress = theirs.address + BigInt(localOffset);
      return { opcode: "read" as const, segment, remoteAddress, local: mine, localOffset, length };
    });
    assert.deepEqual(new Set(await user.transferSync(requests)), new Set([0]));
    assert(same(theirs.bytes, mine.bytes));
    assert.equal(owner.stats().connections > 0, forceTcp);
  }
});

test("each side refuses one whose certificate is of another authority", async () => {
  const lines: string[] = [];
  await using owner = await open({ tls: files(), log: (line) => lines.push(line) });
  await owner.registerMemory(MIB);
  await using stranger = await open({ tls: files("other", "other-ca") });
  await assert.rejects(
    stranger.openSegment(owner.localName),
    engineError(
      EngineCode.METADATA,
      /Cannot shake hands with 127\.0\.0\.1:\d+ over TLS: self-signed certificate in/,
    ),
  );
  assert.equal(await stranger.probe(owner.localName), false);
  await until(() => lines.length > 0);
  assert.match(lines[0], /^TLS: refused a connection of 127\.0\.0\.1:\d+: .*unknown ca/);
});

test("a certificate that does not cover the host is refused", async () => {
  await using owner = await open({ tls: files("elsewhere") });
  await using user = await open({ tls: files() });
  await assert.rejects(
    user.openSegment(owner.localName),
    engineError(EngineCode.METADATA, /over TLS: Hostname\/IP does not match certificate/),
  );
});

test("plain and TLS tell each other apart in one line each, without delay", async () => {
  const lines: string[] = [];
  await using owner = await open({ tls: files(), log: (line) => lines.push(line) });
  await owner.registerMemory(MIB);
  await using plainOwner = await open();
  await plainOwner.registerMemory(MIB);
  await using plain = await open();
  await using user = await open({ tls: files() });
  const begun = performance.now();
  await assert.rejects(
    plain.openSegment(owner.localName),
    engineError(EngineCode.METADATA, /shake hands with 127\.0\.0\.1:\d+: it speaks TLS only$/),
  );
  await assert.rejects(
    user.openSegment(plainOwner.localName),
    engineError(EngineCode.METADATA, /over TLS: .*\(does it speak TLS\?\)$/),
  );
  assert.equal(await plain.probe(owner.localName), true, "it is there, if not for us");
  assert(performance.now() - begun < 4000);
  await until(() => lines.length > 0);
  assert.match(lines[0], /^TLS: refused a connection of 127\.0\.0\.1:\d+: it speaks no TLS$/);
});

test("documents of a metadata service tell them apart before a connection", async () => {
  await using redis = await EngineServer.redis();
  const metadata = `redis://${HOST}:${redis.port}`;
  await using owner = await open({ metadata, tls: files() });
  await owner.registerMemory(MIB);
  await using plainOwner = await open({ metadata });
  await plainOwner.registerMemory(MIB);
  await using plain = await open({ metadata });
  await using user = await open({ metadata, tls: files() });
  const refused = await readOne(plain, owner.localName);
  assert.equal(refused.code, EngineCode.METADATA);
  assert.match(refused.why, /speaks TLS only, and this process has none$/);
  const other = await readOne(user, plainOwner.localName);
  assert.equal(other.code, EngineCode.METADATA);
  assert.match(other.why, /speaks no TLS, and this process nothing else$/);
  assert.equal((await readOne(user, owner.localName)).code, 0);
  // Here the data connection is the first to find out.
  await using stranger = await open({ metadata, tls: files("other", "other-ca") });
  const { code, why } = await readOne(stranger, owner.localName);
  assert.equal(code, EngineCode.ENDPOINT);
  assert.match(
    why,
    /ENDPOINT -201: TLS: the peer's certificate is refused: self-signed certificate/,
  );
}, absent ?? redisAbsent);

test("nobody gets in without a certificate, or with TLS 1.2", async () => {
  const lines: string[] = [];
  await using owner = await open({ tls: files(), log: (line) => lines.push(line) });
  const port = Number(owner.localName.split(":")[1]);
  const ca = readFileSync(path("ca.pem"));
  const attempts = [
    [{ ca }, /CertificateRequired|certificate required/],
    [{ ca, ...pem("node"), maxVersion: "TLSv1.2" as const }, /ProtocolVersion|protocol version/],
    [{ ca, ...pem("expired") }, /CertificateExpired|certificate expired/],
  ] as const;
  for (const [options, said] of attempts) {
    const error = await new Promise<Error>((resolve) => {
      const socket = connectTls({ host: HOST, port, ...options });
      socket.on("data", () => resolve(new Error("it answered")));
      socket.on("error", resolve);
      socket.on("secureConnect", () => socket.write(new Uint8Array(24).fill(1)));
    });
    assert.match(error.message, said);
  }
  await until(() => lines.length > 1);
  assert(lines.every((line) => line.startsWith("TLS: refused a connection of 127.0.0.1:")));
});

test("a peer that dawdles in the handshake is dropped and delays nobody", async () => {
  await using owner = await open({ tls: files(), handshakeTimeoutMs: 1500 });
  await owner.registerMemory(MIB);
  await using user = await open({ tls: files() });
  const port = Number(owner.localName.split(":")[1]);
  const sockets = Array.from({ length: 30 }, (_, i) => {
    const socket = connect({ host: HOST, port });
    socket.on("connect", () => i % 2 && socket.write(Uint8Array.of(22, 3, 1, 2, 0, 1, 0)));
    return new Promise<void>((resolve) => socket.on("close", () => resolve()).resume());
  });
  assert.equal((await readOne(user, owner.localName)).code, 0);
  const begun = performance.now();
  await Promise.all(sockets);
  assert(performance.now() - begun < 10_000);
  assert.equal((await readOne(user, owner.localName)).code, 0);
});

test("a peer that takes connections and says nothing is given up in time", async () => {
  const silent = createServer((socket) => socket.resume());
  await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
  const { port } = silent.address() as { port: number };
  await using user = await open({ tls: files(), handshakeTimeoutMs: 300 });
  await assert.rejects(
    user.openSegment(`${HOST}:${port}`),
    engineError(EngineCode.METADATA, /took over 300 ms/),
  );
  const library = openLibrary();
  assert(!("unavailable" in library));
  await using engine = new NativeTransferEngine(library, { connectTimeoutMs: 300, tls: files() });
  const peer = engine.openPeer({ host: HOST, port, protocolVersion: 2 });
  const op = { opcode: 0 as const, peer, remoteAddress: 1n, length: 9, localOffset: 0 };
  assert.equal(await engine.transferOne({ ...op, local: new Uint8Array(9) }), EngineCode.ENDPOINT);
  silent.close();
});

test("files that are none are one line that names them", async () => {
  const wrong: [TransferEngineOptions, RegExp][] = [
    [{ tls: files("none") }, /^TLS cannot be had: ".*none\.pem" cannot be read: .*ENOENT/],
    [{ tls: files("node", "none") }, /^TLS cannot be had: ".*none\.pem" cannot be read: .*ENOENT/],
    [{ tls: files("expired") }, /"(.*)expired\.pem" is out of date: its certificate has expired/],
    [{ tls: files("node", "other-ca") }, /node\.pem" would be refused by peers with ".*other-ca/],
    [{ tls: { ...files(), keyFile: path("other.key") } }, /other\.key" is not the key of/],
    [{ tls: { ...files(), certFile: path("node.key") } }, /node\.key" holds no certificate/],
    [{ tls: { ...files(), keyFile: "" } }, /tls\.keyFile="" is refused; allowed: the path of/],
    [{ tls: files(), engine: "typescript" }, /TLS needs the engine in C: SNOWSKIN_NATIVE is off/],
  ];
  for (const [options, said] of wrong) {
    await assert.rejects(open(options), engineError(EngineCode.INVALID_ARGUMENT, said));
  }
  for (const protocol of ["rdma", "libfabric", "efa"]) {
    await assert.rejects(
      open({ tls: files(), protocol }),
      engineError(EngineCode.DEVICE_NOT_FOUND, /it is not encrypted, and tls is asked for/),
    );
  }
});

test("files that are replaced count for new connections, once they go together", async () => {
  const own = await Deno.makeTempDir({ dir: directory });
  const parts = ["pem", "key"];
  const copy = (name: string, part: string) =>
    Deno.copyFile(path(`${name}.${part}`), `${own}/own.${part}`);
  for (const part of parts) await copy("node", part);
  const lines: string[] = [];
  const tls = { certFile: `${own}/own.pem`, keyFile: `${own}/own.key`, caFile: path("ca.pem") };
  await using owner = await open({ tls, log: (line) => lines.push(line) });
  await owner.registerMemory(MIB);
  await using user = await open({ tls: files() });
  assert.equal((await readOne(user, owner.localName)).code, 0);
  await copy("elsewhere", "pem");
  await until(() => lines.some((line) => /the old files stay: .*is not the key/.test(line)));
  await using other = await open({ tls: files() });
  assert.equal((await readOne(other, owner.localName)).code, 0);
  await copy("elsewhere", "key");
  await until(() => lines.includes("TLS: new certificates are in use"));
  await using third = await open({ tls: files() });
  await assert.rejects(third.openSegment(owner.localName), /does not match certificate/);
  const segment = await other.openSegment(owner.localName).catch(() => null);
  assert.equal(segment, null, "handshakes are new connections");
});

test("stores with TLS exchange values, and one without gets a line and no value", async () => {
  const { process: master, address } = await startMaster();
  await using _ends = master;
  const flags = flagsOf("node");
  await using _node = await startNode(address, 64 * MIB, { flags });
  const connectTo = (options: StoreOptions) =>
    StoreClient.connect({ masterServerAddress: address, forceTcp: true, ...options });
  await using client = await connectTo(settings());
  const value = new Uint8Array(17 * MIB);
  fill(value, 9);
  assert.equal(await client.put("k", value), "stored");
  assert(same(await client.get("k") as Uint8Array, value));
  await using plain = await connectTo({});
  await assert.rejects(plain.get("k"), /127\.0\.0\.1:\d+: it speaks TLS only/);
  await using stranger = await connectTo(settings("other", "other-ca"));
  await assert.rejects(stranger.get("k"), /over TLS: self-signed certificate in/);
  assert(same(await client.get("k") as Uint8Array, value));
});

test("a node that is killed in the middle fails the transfer, and no other hangs", async () => {
  const { process: master, address } = await startMaster();
  await using _ends = master;
  const flags = flagsOf("node");
  await using node = await startNode(address, 128 * MIB, { flags });
  await using client = await StoreClient.connect({
    ...{ masterServerAddress: address, forceTcp: true, ...settings(), opBudgetMs: 10_000 },
  });
  const value = new Uint8Array(32 * MIB);
  await client.put("k", value);
  const reads = Array.from({ length: 8 }, () => client.get("k").then(() => true, () => false));
  await reads[0];
  node.kill("SIGKILL");
  const begun = performance.now();
  await Promise.all(reads);
  assert.equal(await client.get("k").then(() => true, () => false), false);
  assert(performance.now() - begun < 15_000);
});

test("a node says what is wrong with its files, or with OpenSSL, and ends", async () => {
  const { process: master, address } = await startMaster();
  await using _ends = master;
  const main = new URL("../../client/node/main.ts", import.meta.url).pathname;
  const rows: [string[], Record<string, string>, RegExp][] = [
    [
      ["--tls_cert_file=x"],
      {},
      /^snowskin store: --tls_cert_file="x" is refused; .*with tlsKeyFile/,
    ],
    [
      flagsOf("expired"),
      {},
      /^snowskin store: TLS cannot be had: ".*expired\.pem" is out of date/,
    ],
    [
      flagsOf("node"),
      { SNOWSKIN_SSL_LIBRARY: "libnosuchssl.so.3" },
      /^snowskin store: TLS cannot be had: libnosuchssl\.so\.3 cannot be loaded/,
    ],
  ];
  for (const [flags, env, said] of rows) {
    const node = new LocalProcess("node", Deno.execPath(), [
      ...["run", "-A", main, `--master=${address}`, "--segment_size=4mb", "--host=127.0.0.1"],
      ...[`--data_port=${await freePort()}`, ...flags],
    ], { env });
    assert.match(await node.line(/snowskin store: /), said);
    await node.stop();
  }
});

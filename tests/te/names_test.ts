// Goal: a program that was written for the reference's C interface links with ours and meets every
// kind of engine. Method: a C program that knows that header alone, as a process; the other side is
// another one of it, our engine, or the published wheel's.
import assert from "node:assert/strict";
import { JsonPeer } from "../../bench/json_peer.ts";
import { buildLibrary, compile, installLibrary } from "../../ffi/build.ts";
import { EngineCode, TransferEngine } from "../../te.ts";
import { findWheel } from "../support/wheel.ts";

const SIZE = 3_000_001;
const COMPLETED = 4, FAILED = 6;
const NOTE = { name: "the program", message: 'tab\tquote"\u00e9' };
const built = buildLibrary();
const missing = "reason" in built ? built.reason : null;
const wheel = await findWheel();
const wheelAbsent = "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null;

/** Same bytes as the programs' order "fill". */
function pattern(seed: number): Uint8Array {
  return Uint8Array.from({ length: SIZE }, (_, i) => i * 31 + seed * 17 + (i >> 8));
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}

interface Hello {
  name: string;
  address: number;
}

/** An installed library with the program beside it. */
class Installed implements Disposable {
  readonly folder = Deno.makeTempDirSync();
  readonly program = `${this.folder}/named_peer`;

  constructor(flags: string[] = []) {
    assert.equal(installLibrary(this.folder), null);
    const source = new URL("named_peer.c", import.meta.url).pathname;
    const failure = compile([
      ...["-std=c11", "-Wall", "-Wextra", "-Werror", ...flags, `-I${this.folder}/include`, source],
      ...[`-L${this.folder}/lib`, "-ltransfer_engine", `-Wl,-rpath,${this.folder}/lib`],
      ...[`-Wl,-rpath-link,${this.folder}/lib`, "-o", this.program],
    ]);
    assert.equal(failure, null);
  }

  async start(env: Record<string, string> = {}) {
    const { peer, hello } = await JsonPeer.start<Hello>(
      this.program,
      ["127.0.0.1", String(SIZE)],
      env,
      "The program",
    );
    const order = async (text: string) => (await peer.ask<{ result: number }>(text)).result;
    return { peer, hello, order };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

function testNames(name: string, why: string | null, fn: (c: Installed) => Promise<void>): void {
  Deno.test({
    name: `${name}${why === null ? "" : ` (skipped: ${why})`}`,
    ignore: why !== null,
    async fn() {
      using installed = new Installed();
      await fn(installed);
    },
  });
}

testNames("two C programs with the reference's names meet", missing, async (installed) => {
  for (const env of [{}, { MC_FORCE_TCP: "1" }] as Record<string, string>[]) {
    const owner = await installed.start(env), user = await installed.start(env);
    await using _owner = owner.peer;
    await using _user = user.peer;
    const id = await user.order(`open ${owner.hello.name}`);
    assert(id > 0);
    assert.equal(await user.order(`open ${owner.hello.name}`), id);
    const there = `${id} ${owner.hello.address} ${SIZE}`;
    await owner.order("fill 3");
    assert.equal(await user.order(`read ${there}`), COMPLETED);
    assert.equal(await user.order("sum"), sum(pattern(3)));
    await user.order("fill 4");
    assert.equal(await user.order(`writeNote ${there}`), COMPLETED);
    assert.equal(await owner.order("sum"), sum(pattern(4)));
    assert.equal(await user.order(`notify ${id}`), 0);
    assert.equal(await owner.order("notes"), 2);
    assert.equal(await owner.order("notes"), 0);

    assert.equal(await user.order(`read ${id} ${owner.hello.address + 1} ${SIZE}`), FAILED);
    assert.equal(await owner.order("unregister"), 0);
    assert.equal(await owner.order("unregister"), EngineCode.ADDRESS_NOT_REGISTERED);
    assert.equal(await user.order(`read ${there}`), FAILED);
    assert.equal(await owner.order("register"), 0);
    assert.equal(await owner.order("register"), EngineCode.ADDRESS_OVERLAPPED);
    assert.equal(await user.order(`read ${there}`), COMPLETED);
    assert.equal(await user.order(`again ${owner.hello.name}`), id);
    assert.equal(await user.order(`read ${there}`), COMPLETED);
    for (const left of [0, 0, 0, EngineCode.INVALID_ARGUMENT]) {
      assert.equal(await user.order(`close ${id}`), left);
    }
    assert.equal(await user.order(`read ${there}`), EngineCode.INVALID_ARGUMENT);
    assert.equal(await user.order(`read 0 ${user.hello.address} 4096`), COMPLETED);
  }
});

testNames(
  "a C program with the reference's names and our engine meet",
  missing,
  async (installed) => {
    for (const env of [{}, { MC_FORCE_TCP: "1" }] as Record<string, string>[]) {
      const { peer, hello, order } = await installed.start(env);
      await using _peer = peer;
      await using ours = await TransferEngine.initialize({ localServerName: "127.0.0.1" });
      const memory = await ours.registerMemory(SIZE);
      const segment = await ours.openSegment(hello.name);
      assert.deepEqual(segment.buffers.map(({ address, length }) => [address, length]), [
        [BigInt(hello.address), SIZE],
      ]);
      await order("fill 5");
      const request = { segment, remoteAddress: BigInt(hello.address), local: memory };
      assert.deepEqual(await ours.transferSync([{ ...request, opcode: "read" }]), [0]);
      assert.deepEqual(memory.bytes, pattern(5));
      memory.bytes.set(pattern(6));
      assert.deepEqual(await ours.transferSync([{ ...request, opcode: "write" }]), [0]);
      assert.equal(await order("sum"), sum(pattern(6)));
      assert.equal(await ours.probe(hello.name), true);
      await ours.notify(hello.name, NOTE.message, NOTE.name);
      assert.equal(await order("notes"), 1);

      const id = await order(`open ${ours.localName}`);
      await order("fill 7");
      assert.equal(await order(`writeNote ${id} ${memory.address} ${SIZE}`), COMPLETED);
      assert.deepEqual(memory.bytes, pattern(7));
      assert.deepEqual(ours.receiveNotifications(), [NOTE]);
    }
  },
);

testNames(
  "a C program with the reference's names and the wheel's engine meet",
  missing ?? wheelAbsent,
  async (installed) => {
    assert("python" in wheel);
    const script = new URL("wheel_engine.py", import.meta.url).pathname;
    const { peer: theirs, hello: wheelHello } = await JsonPeer.start<Hello>(
      wheel.python,
      ["-B", script, "127.0.0.1", "P2PHANDSHAKE", String(SIZE)],
      { MC_TCP_BIND_ADDRESS: "127.0.0.1" },
    );
    await using _theirs = theirs;
    const wheelOrder = async (what: Record<string, unknown>) =>
      (await theirs.ask<{ result: unknown }>(what)).result;
    const { peer, hello, order } = await installed.start();
    await using _peer = peer;

    const id = await order(`open ${wheelHello.name}`);
    await wheelOrder({ do: "fill", seed: 5 });
    assert.equal(await order(`read ${id} ${wheelHello.address} ${SIZE}`), COMPLETED);
    assert.equal(await order("sum"), sum(pattern(5)));
    await order("fill 6");
    assert.equal(await order(`writeNote ${id} ${wheelHello.address} ${SIZE}`), COMPLETED);
    assert.equal(await wheelOrder({ do: "sum" }), sum(pattern(6)));
    assert.deepEqual(await wheelOrder({ do: "notifies" }), [[NOTE.name, NOTE.message]]);

    const peerOrder = { peer: hello.name, length: SIZE };
    await order("fill 7");
    assert.equal(await wheelOrder({ do: "read", ...peerOrder }), 0);
    assert.equal(await wheelOrder({ do: "sum" }), sum(pattern(7)));
    await wheelOrder({ do: "fill", seed: 8 });
    const notify = [NOTE.name, NOTE.message];
    assert.equal(await wheelOrder({ do: "write", ...peerOrder, notify }), 0);
    assert.equal(await order("sum"), sum(pattern(8)));
    assert.equal(await order("notes"), 1);
    assert.equal(await wheelOrder({ do: "probe", peer: hello.name }), 0);
  },
);

testNames("handshakes that are none end their own connection", missing, async (installed) => {
  const { peer, hello, order } = await installed.start();
  await using _peer = peer;
  const port = Number(hello.name.split(":")[1]);
  const frame = (type: number, body: string, length = body.length + 1) => {
    const bytes = new Uint8Array(9 + body.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
    bytes[8] = type;
    bytes.set(new TextEncoder().encode(body), 9);
    return bytes;
  };
  const silent = await Deno.connect({ port });
  await silent.write(frame(1, "{}", 500));
  const note = (text: string) => frame(2, `{"name":"a","notify_msg":${text}}`);
  const bodies = [
    frame(2, "{}" + " ".repeat(20)),
    frame(2, "[" + "[".repeat(5000)),
    frame(2, '{"a":'.repeat(3000) + '"name'),
    note('"\\u00"'),
    note('"\\ud800x"'),
    note('"\\'),
    note('"\\u0000"'),
    note("12"),
    note('{"notify_msg":"inner"}'),
    frame(0, "{}" + " ".repeat(20)),
    frame(3, '"' + " ".repeat(20)),
  ];
  const answers: number[] = [];
  for (const bytes of bodies) {
    using connection = await Deno.connect({ port });
    await connection.write(bytes);
    answers.push(await connection.read(new Uint8Array(4096)) ?? 0);
  }
  assert.deepEqual(answers.map((length) => length > 0), [
    ...Array(9).fill(false),
    true,
    true,
  ]);
  silent.close();
  assert.equal(await order("notes"), 0);
  await using ours = await TransferEngine.initialize({ localServerName: "127.0.0.1" });
  assert.equal(await ours.probe(hello.name), true);
});

testNames("what cannot be had is refused with one line", missing, async (installed) => {
  const source = `${installed.folder}/refused.c`;
  await Deno.writeTextFile(
    source,
    `#include "transfer_engine_c.h"
int main(void)
{
	transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1:9", "", 0, 1);
	char byte, small[4];

	if (createTransferEngine("http://127.0.0.1:1/metadata", "127.0.0.1", "", 0, 1)) return 1;
	if (createTransferEngine("P2PHANDSHAKE", "", "", 0, 1)) return 2;
	if (createTransferEngine("P2PHANDSHAKE", "nowhere.invalid", "", 0, 1)) return 3;
	if (registerLocalMemory(engine, &byte, 1, "cuda:0", 1) != -1) return 4;
	if (registerLocalFile(engine, "/tmp/f", 1, 0) != -303 || supportFileBuffer(engine)) return 5;
	if (getLocalIpAndPort(engine, small, sizeof(small)) != -1) return 6;
	if (openSegment(engine, "127.0.0.1:1") != -102) return 7;
	if (openSegment(engine, "no port") != -1 || closeSegment(engine, 7) != -1) return 8;
	if (allocateBatchID(engine, 0) != INVALID_BATCH) return 9;
	if (submitTransfer(engine, INVALID_BATCH, 0, 0) != -1) return 10;
	destroyTransferEngine(engine);
	return 0;
}
`,
  );
  const failure = compile([
    ...["-std=c11", "-Wall", "-Wextra", "-Werror", `-I${installed.folder}/include`, source],
    ...[`-L${installed.folder}/lib`, "-ltransfer_engine", `-Wl,-rpath,${installed.folder}/lib`],
    ...[`-Wl,-rpath-link,${installed.folder}/lib`, "-o", `${installed.folder}/refused`],
  ]);
  assert.equal(failure, null);
  const { code, stderr } = await new Deno.Command(`${installed.folder}/refused`).output();
  assert.equal(code, 0);
  assert.deepEqual(new TextDecoder().decode(stderr).trim().split("\n"), [
    'transfer engine: metadata "http://127.0.0.1:1/metadata" is refused; allowed: P2PHANDSHAKE',
    'transfer engine: "" is no name of this engine; allowed: host, host:port',
    'transfer engine: the host "nowhere.invalid" has no address',
    'transfer engine: memory at "cuda:0" is refused; allowed: cpu:N, *',
    'transfer engine: the file "/tmp/f" is refused: there are no file buffers',
  ]);
});

/** What every transfer engine has to do, whatever moves its bytes and wherever its names are kept. */
import assert from "node:assert/strict";
import {
  EngineCode,
  EngineError,
  P2pStore,
  TransferAgent,
  TransferEngine,
  type TransferEngineOptions,
  type TransferRequest,
} from "../../te.ts";
import { fill, type RegisterTest, same, scoped } from "./engine_pair.ts";

const MIB = 1 << 20;

/** Whether an error is one of the engine, with that code and text. */
export function engineError(code: EngineCode, text: RegExp): (error: unknown) => true {
  return (error) => {
    assert(error instanceof EngineError, String(error));
    assert.match(error.message, text);
    assert.equal(error.code, code, error.message);
    return true;
  };
}

/** `options` say what the engines of one test have in common. */
export function teSuite(
  register: RegisterTest,
  options: () => Promise<TransferEngineOptions>,
  kind: { addresses: boolean },
): void {
  const test = scoped(register);
  let port = 20_100 + Math.floor(Math.random() * 500);
  const name = () => ({ localServerName: `127.0.0.1:${port++}` });
  const open = async (more: TransferEngineOptions = {}) =>
    await TransferEngine.initialize({ ...name(), ...await options(), ...more });

  test("bytes go both ways, in one batch and each by itself", async (scope) => {
    const owner = scope.own(await open());
    const user = scope.own(await open());
    const theirs = await owner.registerMemory(2 * MIB);
    const mine = await user.registerMemory(new Uint8Array(2 * MIB));
    fill(theirs.bytes, 1);
    const segment = await user.openSegment(owner.localName);
    assert.deepEqual(segment.buffers, [{ address: theirs.address, length: 2 * MIB }]);
    const parts = [0, 1, 2, 3].map((i) => i * MIB / 2);
    const all = (opcode: "read" | "write"): TransferRequest[] =>
      parts.map((at) => ({
        ...{ opcode, segment, local: mine, localOffset: at, length: MIB / 2 },
        remoteAddress: theirs.address + BigInt(at),
      }));
    assert.deepEqual(await user.transferSync(all("read")), [0, 0, 0, 0]);
    assert(same(mine.bytes, theirs.bytes));
    fill(mine.bytes, 2);
    const batch = user.submitTransfer(all("write"));
    assert.equal(batch.pending, 4);
    assert.equal(batch.poll()[3].state, "waiting");
    assert.deepEqual(await batch.wait(), [0, 0, 0, 0]);
    assert.equal(batch.pending, 0);
    for (const { state, code, transferredBytes } of batch.poll()) {
      assert.deepEqual([state, code, transferredBytes], ["completed", 0, MIB / 2]);
    }
    assert(same(mine.bytes, theirs.bytes));
    assert.equal(owner.stats().servedWriteBytes, 2 * MIB);
    assert.deepEqual(await user.transferSync([]), []);
  });

  test("arrays that nobody registered are local memory, too", async (scope) => {
    const owner = scope.own(await open());
    const user = scope.own(await open());
    const bytes = new Uint8Array(100_000);
    const theirs = await owner.registerMemory(bytes.subarray(10, 90_010));
    const segment = await user.openSegment(owner.localName);
    const local = new Uint8Array(90_000);
    fill(local, 3);
    const request = { segment, remoteAddress: theirs.address, local };
    assert.deepEqual(await user.transferSync([{ ...request, opcode: "write" }]), [0]);
    assert(same(bytes.subarray(10, 90_010), local));
    local.fill(0);
    assert.deepEqual(await user.transferSync([{ ...request, opcode: "read" }]), [0]);
    assert(same(bytes.subarray(10, 90_010), local));
    await owner.unregisterMemory(theirs);
    assert.equal(bytes.length, 100_000, "the memory of the caller is left alone");
  });

  test("an engine opens its own segment", async (scope) => {
    const engine = scope.own(await open());
    const memory = await engine.registerMemory(4096);
    const segment = await engine.openSegment(engine.localName);
    const local = Uint8Array.of(1, 2, 3);
    const request = { segment, remoteAddress: memory.address + 9n, local };
    assert.deepEqual(await engine.transferSync([{ ...request, opcode: "write" }]), [0]);
    assert.deepEqual([...memory.bytes.subarray(8, 13)], [0, 1, 2, 3, 0]);
  });

  test("memory comes and goes in batches, and what is gone is refused", async (scope) => {
    const owner = scope.own(await open());
    const user = scope.own(await open());
    const [a, b] = await owner.registerMemoryBatch([4096, new Uint8Array(8192)]);
    const segment = await user.openSegment(owner.localName);
    assert.deepEqual(segment.buffers.map(({ length }) => length), [4096, 8192]);
    await owner.unregisterMemoryBatch([a]);
    assert.equal(a.bytes.length, 0);
    const local = new Uint8Array(4096);
    const read = (remoteAddress: bigint): TransferRequest => ({
      ...{ opcode: "read", segment, remoteAddress, local },
    });
    const batch = user.submitTransfer([read(a.address), read(b.address + 5000n)]);
    assert.deepEqual(await batch.wait(), [
      EngineCode.ADDRESS_NOT_REGISTERED,
      EngineCode.ADDRESS_NOT_REGISTERED,
    ]);
    assert.equal(batch.poll()[0].state, "failed");
    assert.match(user.explain(read(a.address), -3), /ADDRESS_NOT_REGISTERED -3/);
    assert.deepEqual(await user.transferSync([read(b.address)]), [0]);
    await segment.refresh();
    assert.deepEqual(segment.buffers, [{ address: b.address, length: 8192 }]);
    await assert.rejects(
      owner.unregisterMemory(a),
      engineError(EngineCode.ADDRESS_NOT_REGISTERED, /not registered/),
    );
  });

  test("wrong use is refused with a code before any byte moves", async (scope) => {
    const engine = scope.own(await open());
    const bytes = new Uint8Array(4096);
    const memory = await engine.registerMemory(bytes);
    const segment = await engine.openSegment(engine.localName);
    const good: TransferRequest = {
      ...{ opcode: "read", segment, remoteAddress: memory.address, local: memory },
    };
    const { INVALID_ARGUMENT, ADDRESS_NOT_REGISTERED, ADDRESS_OVERLAPPED } = EngineCode;
    const cases: [Partial<Record<keyof TransferRequest, unknown>>, EngineCode, RegExp][] = [
      [{ opcode: "copy" }, INVALID_ARGUMENT, /Request 1: opcode "copy"; allowed: read, write/],
      [{ length: 0 }, INVALID_ARGUMENT, /Request 1: An operation of 0 bytes/],
      [{ length: 4097 }, INVALID_ARGUMENT, /do not fit into 4096 bytes/],
      [{ localOffset: -1 }, INVALID_ARGUMENT, /Local offset -1/],
      [{ remoteAddress: 5 }, INVALID_ARGUMENT, /remoteAddress must be a bigint/],
      [{ remoteAddress: 1n << 64n }, INVALID_ARGUMENT, /exceed 64 bits/],
      [{ local: { ...memory } }, ADDRESS_NOT_REGISTERED, /not registered with this engine/],
      [{ segment: {} }, INVALID_ARGUMENT, /its segment is not open in this engine/],
    ];
    for (const [change, code, text] of cases) {
      const requests = [good, { ...good, ...change } as TransferRequest];
      assert.throws(() => engine.submitTransfer(requests), engineError(code, text));
      await assert.rejects(engine.transferSync(requests), engineError(code, text));
    }
    assert.throws(
      () => engine.submitTransfer([good], { timeoutMs: 0 }),
      engineError(INVALID_ARGUMENT, /timeoutMs=0 is refused; allowed: an integer from 1/),
    );
    await assert.rejects(
      engine.registerMemory(bytes.subarray(4000)),
      engineError(ADDRESS_OVERLAPPED, /registered already/),
    );
    await assert.rejects(engine.registerMemory(0), engineError(INVALID_ARGUMENT, /0 bytes/));
    const shared = new Uint8Array(new SharedArrayBuffer(64));
    await assert.rejects(engine.registerMemory(shared), engineError(INVALID_ARGUMENT, /shared/));
    const address = { address: 4096n, length: 64 };
    if (!kind.addresses) {
      await assert.rejects(
        engine.registerMemory(address),
        engineError(INVALID_ARGUMENT, /no access to memory by its address/),
      );
    }
  });

  test("a segment that nobody knows is told, and so is an engine that went away", async (scope) => {
    const user = scope.own(await open());
    const owner = scope.own(await open());
    const memory = await owner.registerMemory(4096);
    const { localName } = owner;
    const segment = await user.openSegment(localName);
    assert.equal(await user.probe(localName), true);
    await assert.rejects(
      user.openSegment("127.0.0.1:1"),
      engineError(EngineCode.METADATA, /Cannot open segment "127\.0\.0\.1:1": /),
    );
    await owner[Symbol.asyncDispose]();
    assert.equal(await user.probe(localName), false);
    assert.equal(await user.probe("no name at all"), false);
    const local = new Uint8Array(4096);
    const request = { segment, remoteAddress: memory.address, local };
    const [code] = await user.submitTransfer([{ ...request, opcode: "read" }]).wait();
    assert.notEqual(code, EngineCode.OK);
    await assert.rejects(
      owner.registerMemory(4096),
      engineError(EngineCode.INVALID_ARGUMENT, /The transfer engine is closed/),
    );
  });

  test("a closed segment can be opened again, an open one of its name goes on", async (scope) => {
    const owner = scope.own(await open());
    const user = scope.own(await open());
    const memory = await owner.registerMemory(4096);
    const first = await user.openSegment(owner.localName);
    const second = await user.openSegment(owner.localName);
    const read = (segment: typeof first): TransferRequest => ({
      ...{ opcode: "read", segment, remoteAddress: memory.address, local: new Uint8Array(64) },
    });
    assert.deepEqual(await user.transferSync([read(first), read(second)]), [0, 0]);
    user.closeSegment(first);
    assert.throws(
      () => user.submitTransfer([read(first)]),
      engineError(EngineCode.INVALID_ARGUMENT, /not open/),
    );
    assert.deepEqual(await user.transferSync([read(second)]), [0]);
    user.closeSegment(second);
    const third = await user.openSegment(owner.localName);
    assert.deepEqual(await user.transferSync([read(third)]), [0]);
  });

  test("what is cancelled before it begins has that code, and priorities pass", async (scope) => {
    const owner = scope.own(await open());
    const user = scope.own(await open());
    const memory = await owner.registerMemory(4096);
    const segment = await user.openSegment(owner.localName);
    const local = new Uint8Array(64);
    const read = { opcode: "read", segment, remoteAddress: memory.address, local } as const;
    const signal = AbortSignal.abort();
    assert.deepEqual(await user.transferSync([read], { signal }), [EngineCode.CANCELLED]);
    const batch = user.submitTransfer([read], { signal });
    assert.deepEqual(await batch.wait(), [EngineCode.CANCELLED]);
    assert.equal(batch.poll()[0].state, "cancelled");
    for (const priority of ["high", "normal", "low"] as const) {
      assert.deepEqual(await user.transferSync([read], { priority }), [0]);
    }
    assert.throws(
      () => user.submitTransfer([read], { priority: "urgent" as "high" }),
      engineError(EngineCode.INVALID_ARGUMENT, /priority="urgent".*high, normal, low/),
    );
  });

  test("handshakes and data share one port of the range", async (scope) => {
    const ports = { first: 15_000, last: 17_000 };
    const engine = scope.own(await open({ ports, localServerName: "127.0.0.1" }));
    const [host, port] = engine.localName.split(":");
    assert.equal(host, "127.0.0.1");
    assert(Number(port) >= ports.first && Number(port) <= ports.last);
    const taken = { first: Number(port), last: Number(port) };
    await assert.rejects(open({ ports: taken }), engineError(EngineCode.METADATA, /port/));
    const there = scope.own(await open({ bindAddress: "127.0.0.1" }));
    assert(await engine.probe(there.localName));
    await assert.rejects(
      open({ bindAddress: "localhost" }),
      engineError(EngineCode.INVALID_ARGUMENT, /bindAddress="localhost"/),
    );
  });

  test("the topology of this machine is told, or that of a file", async (scope) => {
    const plain = scope.own(await open());
    assert(plain.getLocalTopology() instanceof Map);
    const bad = scope.own(await open({ topologyFile: "/nonexistent/topology.json" }));
    assert.throws(
      () => bad.getLocalTopology(),
      engineError(EngineCode.INVALID_ARGUMENT, /topology/),
    );
  });

  test("messages are taken in their order, and refused when too many wait", async (scope) => {
    const owner = scope.own(await open({ maxNotifications: 2 }));
    const user = scope.own(await open());
    await user.notify(owner.localName, "one");
    await user.notify(owner.localName, "two", "somebody");
    await assert.rejects(
      user.notify(owner.localName, "three"),
      engineError(EngineCode.REJECT_HANDSHAKE, /refused a notification/),
    );
    assert.deepEqual(owner.receiveNotifications(), [
      { name: user.localName, message: "one" },
      { name: "somebody", message: "two" },
    ]);
    assert.deepEqual(owner.receiveNotifications(), []);
    await assert.rejects(
      user.notify("nobody", "x"),
      engineError(EngineCode.METADATA, /nobody/),
    );
  });

  test("transports are picked by name, and what is not there is one line", async (scope) => {
    const engine = scope.own(await open({ protocol: "none" }));
    assert.equal(engine.localName, "");
    await assert.rejects(
      engine.registerMemory(64),
      engineError(EngineCode.INVALID_ARGUMENT, /No transport is installed/),
    );
    await assert.rejects(
      engine.installTransport("nvlink"),
      engineError(
        EngineCode.NOT_IMPLEMENTED,
        /^Transport "nvlink" cannot be had: nvlink \(NVLink between hosts\) .*transport_library/,
      ),
    );
    assert.equal(engine.transports.length, 0);
    await engine.installTransport("tcp");
    await engine.installTransport("tcp");
    assert(engine.transports.includes("tcp"));
    assert.notEqual(engine.localName, "");
    const rdma = engine.installTransport("rdma");
    if (!engine.transports.includes("rdma")) {
      await assert.rejects(
        rdma,
        engineError(EngineCode.INVALID_ARGUMENT, /"rdma" has to be .*first/),
      );
    }
    const plain = scope.own(await open({ forceTcp: true }));
    assert.deepEqual(plain.transports, ["tcp"]);
    await assert.rejects(
      plain.installTransport("shm"),
      engineError(EngineCode.DEVICE_NOT_FOUND, /^Transport "shm" cannot be had: forceTcp is set$/),
    );
    await assert.rejects(
      open({ protocol: "rdma", deviceName: "none_0" }),
      engineError(EngineCode.DEVICE_NOT_FOUND, /^Transport "rdma" cannot be had: [^\n]+$/),
    );
  });

  test("an agent writes into the memory of another and tells it", async (scope) => {
    const common = await options();
    const target = scope.own(await TransferAgent.open("target", { ...common, ...name() }));
    const initiator = scope.own(await TransferAgent.open("initiator", { ...common, ...name() }));
    const lent = await target.registerMemory([new Uint8Array(MIB)]);
    const mine = await initiator.registerMemory([new Uint8Array(MIB)]);
    fill(mine.memory[0].bytes, 4);
    const peer = initiator.addRemoteAgent(target.getMetadata());
    const write = initiator.initializeTransfer("write", mine, lent, peer, { notification: "done" });
    for (let i = 0; i < 2; i++) {
      assert.equal(initiator.post(write), "running");
      assert.equal(await write.wait(), "done", write.error?.message);
    }
    assert(same(lent.memory[0].bytes, mine.memory[0].bytes));
    const words = new TextEncoder().encode("done");
    assert.deepEqual(target.takeNotifications(), new Map([["initiator", [words, words]]]));
  });

  test("content spreads where names can be listed, and elsewhere that is one line", async (scope) => {
    const common = await options();
    let seeder: P2pStore;
    try {
      seeder = scope.own(await P2pStore.open({ ...common, ...name() }));
    } catch (error) {
      const { metadata = "P2PHANDSHAKE" } = common;
      if (metadata === "P2PHANDSHAKE") {
        engineError(EngineCode.INVALID_ARGUMENT, /^metadata="P2PHANDSHAKE" is refused/)(error);
      } else engineError(EngineCode.METADATA, /^Cannot list names: .* cannot list its keys/)(error);
      return;
    }
    const bytes = new Uint8Array(MIB + 5);
    fill(bytes, 5);
    const replica = await seeder.seed("n", [{ name: "x", bytes }], { pieceLength: 65536 });
    const getter = scope.own(await P2pStore.open({ ...common, ...name() }));
    const arrays = [new Uint8Array(MIB + 5)];
    const got = await getter.get("n", { arrays });
    assert(same(arrays[0], bytes));
    assert.equal(got.digest, replica.digest);
    assert.equal((await getter.list())[0].holders.length, 2);
  });
}

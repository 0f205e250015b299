import assert from "node:assert/strict";
import { FakeClock, settle } from "../../tests/support/fake_clock.ts";
import { MemoryEngine, MemoryNetwork } from "../../tests/support/memory_engine.ts";
import { type Priority, TransferDoor, type TransferLimits } from "./door.ts";
import { Opcode, TransferCode, type TransferOperation, type TransferOptions } from "./engine.ts";

const MIB = 1 << 20;

/** A door to an engine whose batches end when the test says so; its bytes are not moved. */
class Gate {
  readonly clock = new FakeClock();
  readonly door: TransferDoor;
  /** Batches in flight, in the order in which they came. */
  readonly batches: { lengths: number[]; timeoutMs: number; end: (code?: TransferCode) => void }[] =
    [];

  constructor(limits: TransferLimits = {}) {
    const engine = new MemoryEngine(new MemoryNetwork());
    engine.transfer = (ops, options) => this.#take(ops, options);
    engine.transferOne = async (op, options) => {
      const [code] = await this.#take([op], options);
      return code as TransferCode;
    };
    this.door = new TransferDoor(engine, this.clock, limits);
  }

  get lengths(): number[][] {
    return this.batches.map(({ lengths }) => lengths);
  }

  /** Begins a transfer of operations of some MiB. */
  start(
    mib: number[],
    priority: Priority,
    signal?: AbortSignal,
    timeoutMs = 5000,
    peer = 1,
  ): { codes: Promise<number[]> } {
    const local = { length: 1 << 30 } as Uint8Array;
    const ops = mib.map((count) => ({
      ...{ opcode: Opcode.READ, peer, remoteAddress: 1n, length: count * MIB },
      ...{ local, localOffset: 0 },
    }));
    const traffic = { priority, ...(signal && { signal }) };
    return { codes: this.door.transfer(ops, timeoutMs, traffic).then((codes) => [...codes]) };
  }

  async end(at: number, code?: TransferCode): Promise<void> {
    this.batches.splice(at, 1)[0].end(code);
    await settle();
  }

  #take(ops: readonly TransferOperation[], options?: TransferOptions): Promise<Int32Array> {
    return new Promise((resolve) =>
      this.batches.push({
        lengths: ops.map(({ length }) => length / MIB),
        timeoutMs: options?.timeoutMs ?? 0,
        end: (code = TransferCode.OK) => resolve(new Int32Array(ops.length).fill(code)),
      })
    );
  }
}

Deno.test("normal transfers pass in one piece while there is room, high ones always", async () => {
  const gate = new Gate();
  const first = gate.start([10, 20], "normal");
  const second = gate.start([3, 3], "normal");
  gate.start([50], "high");
  await settle();
  assert.deepEqual(gate.lengths, [[10, 20], [50]]);
  await gate.end(0);
  assert.deepEqual(await first.codes, [0, 0]);
  assert.deepEqual(gate.lengths, [[50], [3], [3]]);
  await gate.end(1, TransferCode.SOCKET);
  await gate.end(1);
  assert.deepEqual(await second.codes, [TransferCode.SOCKET, 0]);
});

Deno.test("a peer that is full holds up nobody else", async () => {
  const gate = new Gate();
  gate.start([32], "normal");
  gate.start([8], "normal");
  const other = gate.start([8], "normal", undefined, 5000, 2);
  const low = gate.start([2], "low", undefined, 5000, 2);
  await settle();
  assert.deepEqual(gate.lengths, [[32], [8], [2]]);
  await gate.end(1);
  await gate.end(1);
  assert.deepEqual([await other.codes, await low.codes], [[0], [0]]);
});

Deno.test("low transfers go one piece at a time beside others, and fill the room alone", async () => {
  const gate = new Gate();
  gate.start([8], "normal");
  const low = gate.start([1, 1, 1, 1, 1, 1], "low");
  await settle();
  assert.deepEqual(gate.lengths, [[8], [1]]);
  await gate.end(1);
  assert.deepEqual(gate.lengths, [[8], [1]]);
  await gate.end(0);
  assert.deepEqual(gate.lengths, [[1], [1], [1], [1]]);
  while (gate.batches.length > 0) await gate.end(0);
  assert.deepEqual(await low.codes, [0, 0, 0, 0, 0, 0]);
});

Deno.test("an abort ends what has not begun and waits for what has", async () => {
  const gate = new Gate();
  const stop = new AbortController();
  gate.start([8], "normal");
  const low = gate.start([1, 1, 1], "low", stop.signal);
  await settle();
  stop.abort();
  await settle();
  let done = false;
  low.codes.then(() => done = true);
  await settle();
  assert(!done, "memory of an operation in flight is not given back");
  await gate.end(1);
  assert.deepEqual(await low.codes, [0, TransferCode.CANCELLED, TransferCode.CANCELLED]);
  assert.deepEqual(await gate.start([1], "high", stop.signal).codes, [TransferCode.CANCELLED]);
  assert.equal(gate.batches.length, 1);
});

Deno.test("what waits at the door times out there, and the wait counts", async () => {
  const gate = new Gate();
  gate.start([32], "normal");
  const late = gate.start([1], "normal", undefined, 100);
  const next = gate.start([2], "normal", undefined, 1000);
  await gate.clock.advance(100);
  assert.deepEqual(await late.codes, [TransferCode.TIMEOUT]);
  await gate.clock.advance(300);
  await gate.end(0);
  assert.deepEqual(gate.batches.map(({ timeoutMs }) => timeoutMs), [600]);
  await gate.end(0);
  assert.deepEqual(await next.codes, [0]);
  assert.equal(gate.clock.pending, 0);
});

Deno.test("a class with a limit keeps to its rate, others are not held up", async () => {
  const gate = new Gate({ low: 10 * MIB });
  const low = gate.start(new Array(40).fill(1), "low", undefined, 60_000);
  let begun = 0;
  const pump = async (ms: number) => {
    for (let i = 0; i < ms; i += 10) {
      await gate.clock.advance(10);
      while (gate.batches.length > 0) {
        begun++;
        await gate.end(0);
      }
    }
  };
  await pump(1000);
  assert(begun >= 10 && begun <= 12, `${begun} MiB in the first second`);
  await pump(1000);
  assert(begun >= 20 && begun <= 22, `${begun} MiB in two seconds`);
  gate.start([1], "normal");
  await settle();
  assert.equal(gate.batches.length, 1);
  await gate.end(0);
  gate.door.close();
  const codes = await low.codes;
  assert.equal(codes.filter((code) => code === TransferCode.OK).length, begun);
  assert.equal(codes.at(-1), TransferCode.SOCKET);
  assert.equal(gate.clock.pending, 0);
});

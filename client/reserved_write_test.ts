import assert from "node:assert/strict";
import { TransportErrorCode } from "../proto/coro_rpc/header.ts";
import { ErrorCode } from "../proto/error_code.ts";
import type { EndAndReserveRequest, GiveBackRequest } from "../proto/messages.ts";
import { ReplicaStatus, type ReplicateConfig } from "../proto/types.ts";
import { type Answers, replica, StoreFixture } from "../tests/support/store_context.ts";
import { beginCall } from "./budget.ts";
import { CallError } from "./rpc_client.ts";
import type { StoreContext } from "./context.ts";
import { type Region, TransferCode } from "./transfer/engine.ts";
import { writeObject, type WriteOutcome } from "./write.ts";

const NODE = "10.0.0.2:9";
const USE_WITHIN_MS = 5000;
const ok = () => ({ code: 0, value: null });
const encoder = new TextEncoder();

/** A client whose master reserves memory, at another place each time. */
class Putter {
  readonly t: StoreFixture;
  region!: Region;
  store: StoreContext;
  /** What the master answers to the next end of a put. */
  endCode: number = ErrorCode.OK;
  /** Whether the master has memory for the next put. */
  hasRoom = true;
  useWithinMs = USE_WITHIN_MS;
  #places = 0;

  private constructor(choice: "on" | "off") {
    this.t = new StoreFixture({}, choice);
    this.store = this.t.store;
    this.t.answers = this.answers();
  }

  static async open(choice: "on" | "off" = "on"): Promise<Putter> {
    const putter = new Putter(choice);
    ({ region: putter.region } = await putter.t.peer(NODE, 1 << 16));
    return putter;
  }

  answers(): Answers {
    return {
      PutStart: ({ sliceLength }: { sliceLength: number }) => {
        return { code: 0, value: [this.place(sliceLength)] };
      },
      PutEnd: ok,
      PutRevoke: ok,
      GiveBack: ok,
      EndAndReserve: ({ nextWriteId, sliceLength }: EndAndReserveRequest) => {
        if (this.endCode !== ErrorCode.OK) return { code: this.endCode, value: null };
        const reserves = nextWriteId > 0 && this.hasRoom;
        const replicas = reserves ? [this.place(sliceLength)] : [];
        return { code: 0, value: { replicas, useWithinMs: reserves ? this.useWithinMs : 0 } };
      },
    };
  }

  place(size: number) {
    return replica(NODE, this.region, size, 64 * this.#places++, ReplicaStatus.PROCESSING);
  }

  put(key = "k", config: Partial<ReplicateConfig> | null = null, size = 4): Promise<WriteOutcome> {
    const local = new Uint8Array(size).fill(7);
    const { defaultConfig } = this.store;
    return writeObject(
      this.store,
      "put",
      encoder.encode(key),
      [{ local, localOffset: 0, length: size }],
      config === null ? defaultConfig : { ...defaultConfig, ...config },
    );
  }

  /** Calls since the last time, by name. */
  calls(): string[] {
    return this.t.calls.splice(0).map(({ name }) => name);
  }

  /** Has memory reserved: a put, and a second one soon after. */
  async warm(config: Partial<ReplicateConfig> | null = null): Promise<void> {
    await this.put("a", config);
    await this.put("b", config);
    this.t.calls.splice(0);
  }
}

Deno.test("from the third put on a put is one call, into the memory that was reserved", async () => {
  const putter = await Putter.open();
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd"]);
  assert.equal(await putter.put(), "stored");
  const [, second] = putter.t.calls;
  assert.deepEqual(putter.calls(), ["PutStart", "EndAndReserve"]);
  const request = second.request as EndAndReserveRequest;
  assert.deepEqual([request.reserved, request.sliceLength], [false, 4]);
  assert.equal(await putter.put("third"), "stored");
  const [third] = putter.t.calls;
  assert.deepEqual(putter.calls(), ["EndAndReserve"]);
  const ended = third.request as EndAndReserveRequest;
  assert.deepEqual([ended.reserved, third.writeId], [true, request.nextWriteId]);
  assert.deepEqual(ended.objectMeta.key, encoder.encode("third"));
  assert.notEqual(ended.objectMeta.objectChecksum, null);
  assert.deepEqual(putter.region.bytes.subarray(128, 132), new Uint8Array(4).fill(7));
  await Promise.all([putter.put(), putter.put()]);
  assert.deepEqual(putter.calls().sort(), ["EndAndReserve", "EndAndReserve", "PutStart"]);
  assert.equal(putter.store.reserved.stored, 2);
});

Deno.test("off, upserts, groups and large values go the old way", async () => {
  const off = await Putter.open("off");
  await off.warm();
  await off.put();
  assert.deepEqual(off.calls(), ["PutStart", "PutEnd"]);
  const putter = await Putter.open();
  const grouped = { groupIds: [encoder.encode("g")] };
  for (const config of [grouped, { nofReplicaNum: 1 }, { dfsReplicaNum: 1 }]) {
    await putter.warm(config);
    await putter.put("k", config);
    assert.deepEqual(putter.calls(), ["PutStart", "PutEnd"]);
  }
  const large = (4 << 20) + 1;
  const shape = putter.store.reserved.begin(
    large,
    putter.store.defaultConfig,
    putter.store.defaultConfig,
  );
  assert.equal(shape, null);
  await putter.warm();
  Object.assign(putter.t.answers, {
    UpsertStart: ({ sliceLength }: { sliceLength: number }) => {
      return { code: 0, value: [putter.place(sliceLength)] };
    },
    UpsertEnd: ok,
  });
  const piece = { local: new Uint8Array(4), localOffset: 0, length: 4 };
  await writeObject(
    putter.store,
    "upsert",
    encoder.encode("k"),
    [piece],
    putter.store.defaultConfig,
  );
  assert.deepEqual(putter.calls(), ["UpsertStart", "UpsertEnd"]);
});

Deno.test("a reservation is for puts of its size and placement only", async () => {
  const putter = await Putter.open();
  await putter.warm();
  await putter.put("k", { replicaNum: 2 });
  await putter.put("k", null, 5);
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd", "PutStart", "PutEnd"]);
  await putter.put("k", { preferredSegment: "s" });
  await putter.put("k", { preferredSegment: "s" });
  const [, , , second] = putter.t.calls;
  assert.equal((second.request as EndAndReserveRequest).config.preferredSegment, "s");
  putter.calls();
  await putter.put("k", { preferredSegment: "s" });
  await putter.put();
  assert.deepEqual(putter.calls(), ["EndAndReserve", "EndAndReserve"]);
});

Deno.test("where the master has no room, and where puts are rare, it is as it was", async () => {
  const putter = await Putter.open();
  putter.hasRoom = false;
  await putter.warm();
  await putter.put();
  assert.deepEqual(putter.calls(), ["PutStart", "EndAndReserve"]);
  const rare = await Putter.open();
  for (let i = 0; i < 3; i++) {
    await rare.put();
    await rare.t.clock.advance(1001);
    assert.deepEqual(rare.calls(), ["PutStart", "PutEnd"]);
  }
});

Deno.test("a key that exists keeps the reservation; too many of them pause it", async () => {
  const putter = await Putter.open();
  await putter.warm();
  putter.endCode = ErrorCode.OBJECT_ALREADY_EXISTS;
  assert.equal(await putter.put(), "exists");
  assert.equal(await putter.put(), "exists");
  assert.deepEqual(putter.calls(), ["EndAndReserve", "EndAndReserve"]);
  assert.equal(putter.store.reserved.inVain, 2);
  putter.endCode = ErrorCode.OK;
  const { PutStart } = putter.t.answers;
  putter.t.answers.PutStart = () => ({ code: ErrorCode.OBJECT_ALREADY_EXISTS, value: null });
  assert.equal(await putter.put(), "exists");
  assert.deepEqual(putter.calls(), ["PutStart"]);
  putter.t.answers.PutStart = PutStart;
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd"]);
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["EndAndReserve"], "one that would have been of use is enough");
});

Deno.test("a reservation is not used again when a write into it had to be repeated", async () => {
  const putter = await Putter.open();
  await putter.warm();
  const { faults } = putter.t;
  faults.plan = () => faults.struck.length === 0 ? { atCompletion: TransferCode.SOCKET } : null;
  putter.endCode = ErrorCode.OBJECT_ALREADY_EXISTS;
  assert.equal(await putter.put(), "exists");
  assert.deepEqual(putter.calls(), ["EndAndReserve", "GiveBack"]);
});

Deno.test("a reservation that the master does not know any more is put the old way in the same call", async () => {
  for (const code of [ErrorCode.INVALID_WRITE, ErrorCode.REPLICA_IS_GONE]) {
    const putter = await Putter.open();
    await putter.warm();
    putter.endCode = code;
    const putting = putter.put();
    // Its second end is answered as ever.
    putter.t.answers.PutStart = ({ sliceLength }: { sliceLength: number }) => {
      putter.endCode = ErrorCode.OK;
      return { code: 0, value: [putter.place(sliceLength)] };
    };
    assert.equal(await putting, "stored");
    assert.deepEqual(putter.calls(), ["EndAndReserve", "PutStart", "EndAndReserve"]);
  }
});

Deno.test("other refusals are those of the put, and the reservation stays", async () => {
  const putter = await Putter.open();
  await putter.warm();
  putter.endCode = ErrorCode.PERMISSION_DENIED;
  await assert.rejects(putter.put(), { code: ErrorCode.PERMISSION_DENIED });
  putter.endCode = ErrorCode.OK;
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["EndAndReserve", "EndAndReserve"]);
});

Deno.test("a write that fails is given back, and put the old way in the same call", async () => {
  const putter = await Putter.open();
  await putter.warm();
  const { faults } = putter.t;
  // It is tried twice.
  faults.plan = () => faults.struck.length < 2 ? { atCompletion: TransferCode.SOCKET } : null;
  assert.equal(await putter.put(), "stored");
  const [{ request }] = putter.t.calls;
  assert.deepEqual((request as GiveBackRequest).reservations, [{ writeId: 3, written: true }]);
  assert.deepEqual(putter.calls(), ["GiveBack", "PutStart", "EndAndReserve"]);
});

Deno.test("a call that is cancelled, or over, ends there", async () => {
  const putter = await Putter.open();
  await putter.warm();
  const ending = new AbortController();
  const { store } = putter.t;
  putter.store = beginCall(store, { signal: ending.signal });
  putter.t.faults.plan = () => ({ atCompletion: TransferCode.SOCKET });
  const putting = putter.put();
  ending.abort();
  await assert.rejects(putting, { code: ErrorCode.CANCELLED });
  assert.deepEqual(putter.calls(), ["GiveBack"]);
});

Deno.test("when an end is not answered, what it may have begun is revoked", async () => {
  const putter = await Putter.open();
  await putter.warm();
  putter.t.answers.EndAndReserve = () => {
    throw new CallError(ErrorCode.RPC_TIMEOUT, "no answer", "unanswered");
  };
  await assert.rejects(putter.put(), { code: ErrorCode.RPC_TIMEOUT });
  await until(() => putter.t.names.filter((name) => name === "GiveBack").length === 2);
  const [end] = putter.t.calls;
  const { nextWriteId } = end.request as EndAndReserveRequest;
  const given = putter.t.requests<GiveBackRequest>("GiveBack").flatMap((one) => one.reservations);
  given.sort((a, b) => a.writeId - b.writeId);
  assert.deepEqual(given, [
    { writeId: end.writeId, written: true },
    { writeId: nextWriteId, written: false },
  ]);
  const revoke = putter.t.calls.find(({ name }) => name === "PutRevoke")!;
  assert.equal(revoke.writeId, end.writeId);
});

Deno.test("a master that does not know the call is met with the old way, and asked again later", async () => {
  const putter = await Putter.open();
  const { EndAndReserve } = putter.t.answers;
  const refuse = () => {
    const code = TransportErrorCode.FUNCTION_NOT_REGISTERED;
    throw new CallError(ErrorCode.RPC_FAIL, "the function is not registered", "refused", {}, code);
  };
  putter.t.answers.EndAndReserve = refuse;
  await putter.put();
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd", "PutStart", "EndAndReserve", "PutEnd"]);
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd"]);
  putter.t.answers.EndAndReserve = EndAndReserve;
  await putter.t.clock.advance(60_001);
  await putter.warm();
  // Another master, of an earlier version, leads by now.
  putter.t.answers.EndAndReserve = refuse;
  assert.equal(await putter.put(), "stored");
  assert.deepEqual(putter.calls(), ["EndAndReserve", "PutRevoke", "PutStart", "PutEnd"]);
});

Deno.test("nothing is written into memory whose time is over, or whose node is suspected", async () => {
  const putter = await Putter.open();
  putter.useWithinMs = 500;
  await putter.warm();
  await putter.t.clock.advance(499);
  await putter.put();
  assert.deepEqual(putter.calls(), ["EndAndReserve"]);
  await putter.t.clock.advance(500);
  await putter.put();
  assert.deepEqual(putter.calls(), ["GiveBack", "PutStart", "EndAndReserve"]);
  putter.store.choice.note(NODE, false);
  await putter.put();
  assert.deepEqual(putter.calls(), ["GiveBack", "PutStart", "EndAndReserve"]);
});

Deno.test("the time of a reservation begins before it is asked for", async () => {
  const putter = await Putter.open();
  await putter.put();
  const { EndAndReserve } = putter.t.answers;
  putter.t.answers.EndAndReserve = async (request) => {
    await putter.t.clock.stall(USE_WITHIN_MS);
    return EndAndReserve(request);
  };
  await putter.put();
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd", "PutStart", "EndAndReserve", "GiveBack"]);
});

Deno.test("what is not used is given back, and everything when the client ends", async () => {
  const putter = await Putter.open();
  await putter.warm();
  await putter.t.clock.advance(1900);
  assert.deepEqual(putter.calls(), []);
  await putter.t.clock.advance(2200);
  assert.deepEqual(putter.calls(), ["GiveBack"]);
  await putter.warm();
  await putter.store.reserved.close(1000);
  const [{ request }] = putter.t.calls;
  assert.deepEqual((request as GiveBackRequest).reservations.map(({ written }) => written), [
    false,
  ]);
  putter.calls();
  await putter.put();
  assert.deepEqual(putter.calls(), ["PutStart", "PutEnd"]);
});

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !isSo(); i++) await null;
  assert(isSo());
}

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { assertCode, bytesOf, clientId, CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import type { FactSink } from "./api.ts";
import { FactReader } from "./fact_reader.ts";
import { type DescribedFact, describeFact } from "./fact_text.ts";

const LEASE = "9-9";

type End = "copyEnd" | "copyRevoke" | "moveEnd" | "moveRevoke";

class Mover extends CoreDriver {
  constructor() {
    super();
    for (let i = 1; i <= 3; i++) this.mount(i, MIB, { client: i });
    this.ok(this.start("k", 1000, { preferredSegment: "segment-1" }));
    this.ok(this.end("k"));
  }

  /** Of the transfers that begin and of the ends, 0 = none. */
  number = 0;

  copy(targets: string[], source = "segment-1", client = 1, lease = "0-0") {
    const key = bytesOf("k");
    return this.core.movement.copyStart(
      ...[clientId(client), 0, key, source, targets, lease, this.nowMs, this.number] as const,
    );
  }

  move(target: string, source = "segment-1", client = 1) {
    const key = bytesOf("k");
    return this.core.movement.moveStart(
      ...[clientId(client), 0, key, source, target, this.nowMs, this.number] as const,
    );
  }

  finish(what: End, client = 1, lease = "0-0", core = this.core) {
    const { movement } = core;
    const { nowMs, number } = this;
    const key = bytesOf("k");
    if (what === "copyEnd" || what === "copyRevoke") {
      return movement[what](clientId(client), 0, key, lease, 0, nowMs, number);
    }
    return movement[what](clientId(client), 0, key, nowMs, number);
  }

  homes(): string[] {
    this.ok(this.get("k"));
    const { segments } = this.core;
    return this.sink.replicas.map(({ segment }) => segments.view(segment).segment.name);
  }
}

Deno.test("a copy becomes readable at its end", () => {
  const mover = new Mover();
  const { code, value } = mover.copy(["segment-2", "segment-3"]);
  mover.ok(code);
  assert.equal(value!.source.status, 3);
  assert.deepEqual(value!.targets.map(({ status }) => status), [2, 2]);
  assert.deepEqual(mover.homes(), ["segment-1"]);
  mover.ok(mover.finish("copyEnd"));
  assert.deepEqual(mover.homes(), ["segment-1", "segment-2", "segment-3"]);
  assertCode(mover.finish("copyEnd"), ErrorCode.OBJECT_NO_REPLICATION_TASK);
  checkCore(mover.core.state);
});

Deno.test("targets that hold the object already are left out", () => {
  const mover = new Mover();
  mover.ok(mover.copy(["segment-2"]).code);
  mover.ok(mover.finish("copyEnd"));
  const { value } = mover.copy(["segment-1", "segment-2", "segment-3"]);
  assert.equal(value!.targets.length, 1);
});

Deno.test("a copy in progress locks the key", () => {
  const mover = new Mover();
  mover.ok(mover.copy(["segment-2"]).code);
  assertCode(mover.copy(["segment-3"]).code, ErrorCode.OBJECT_HAS_REPLICATION_TASK);
  assertCode(mover.move("segment-3").code, ErrorCode.OBJECT_HAS_REPLICATION_TASK);
  mover.nowMs += 60_000;
  assertCode(mover.remove("k", true), ErrorCode.REPLICA_IS_NOT_READY);
  assert.deepEqual(mover.evictionOrder(), []);
  mover.ok(mover.finish("copyRevoke"));
  assert.deepEqual(mover.homes(), ["segment-1"]);
  mover.ok(mover.remove("k", true));
});

Deno.test("a copy is refused with the reason", () => {
  const mover = new Mover();
  assertCode(mover.copy(["nowhere"]).code, ErrorCode.SEGMENT_NOT_FOUND);
  assertCode(mover.copy(["segment-2"], "segment-3").code, ErrorCode.REPLICA_NOT_FOUND);
  assertCode(mover.copy(["segment-2"], "nowhere").code, ErrorCode.REPLICA_NOT_FOUND);
  assertCode(mover.move("segment-1").code, ErrorCode.INVALID_PARAMS);
  mover.ok(mover.core.cluster.gracefulUnmountSegment("2-2", clientId(2), 1000, mover.nowMs));
  assertCode(mover.copy(["segment-2"]).code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  mover.put("full", MIB, { preferredSegment: "segment-3" });
  assertCode(mover.copy(["segment-3"]).code, ErrorCode.NO_AVAILABLE_HANDLE);
  mover.remove("k", true);
  assertCode(mover.copy(["segment-3"]).code, ErrorCode.OBJECT_NOT_FOUND);
  checkCore(mover.core.state);
});

Deno.test("only the client that began a transfer, and the right call, can end it", () => {
  const mover = new Mover();
  assertCode(mover.finish("copyEnd"), ErrorCode.OBJECT_NO_REPLICATION_TASK);
  mover.ok(mover.copy(["segment-2"]).code);
  assertCode(mover.finish("copyEnd", 2), ErrorCode.ILLEGAL_CLIENT);
  assertCode(mover.finish("moveEnd"), ErrorCode.INVALID_PARAMS);
  assertCode(mover.finish("copyEnd", 1, LEASE), ErrorCode.INVALID_VERSION);
  mover.ok(mover.finish("copyEnd"));
});

Deno.test("a dynamic replication without a proposal is not available", () => {
  const mover = new Mover();
  const { code } = mover.copy(["segment-2"], "segment-1", 1, LEASE);
  assertCode(code, ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS);
  assertCode(mover.finish("copyEnd", 1, LEASE), ErrorCode.OBJECT_NO_REPLICATION_TASK);
  assertCode(mover.finish("copyRevoke", 1, LEASE), ErrorCode.OBJECT_NO_REPLICATION_TASK);
});

Deno.test("a move ends with the target alone, and the source's space waits for its readers", () => {
  const mover = new Mover();
  mover.homes();
  mover.ok(mover.move("segment-2").code);
  mover.ok(mover.finish("moveEnd"));
  assert.deepEqual(mover.homes(), ["segment-2"]);
  const [first] = mover.core.inspection.segmentDetails();
  assert.deepEqual([first.allocatedBytes, first.heldBytes], [0, 1024]);
  mover.pass(20_000, [1, 2, 3]);
  assert.equal(mover.core.inspection.segmentDetails()[0].heldBytes, 0);
  mover.ok(mover.remove("k"));
});

Deno.test("a move onto a segment that holds the object drops the source", () => {
  const mover = new Mover();
  mover.ok(mover.copy(["segment-2"]).code);
  mover.ok(mover.finish("copyEnd"));
  const { value } = mover.move("segment-2");
  assert.equal(value!.target, null);
  mover.ok(mover.finish("moveEnd"));
  assert.deepEqual(mover.homes(), ["segment-2"]);
});

Deno.test("a move onto a segment that held the object but has gone keeps the source", () => {
  const mover = new Mover();
  mover.ok(mover.copy(["segment-2"]).code);
  mover.ok(mover.finish("copyEnd"));
  mover.ok(mover.move("segment-2").code);
  mover.ok(mover.core.cluster.unmountSegment("2-2", clientId(2), mover.nowMs));
  assertCode(mover.finish("moveEnd"), ErrorCode.REPLICA_IS_GONE);
  assert.deepEqual(mover.homes(), ["segment-1"]);
});

Deno.test("a transfer whose source or target has gone ends without it", () => {
  const mover = new Mover();
  mover.ok(mover.copy(["segment-2", "segment-3"]).code);
  mover.ok(mover.core.cluster.unmountSegment("2-2", clientId(2), mover.nowMs));
  assertCode(mover.finish("copyEnd"), ErrorCode.REPLICA_IS_GONE);
  assert.deepEqual(mover.homes(), ["segment-1", "segment-3"]);
  mover.mount(4, MIB, { client: 2 });
  mover.ok(mover.move("segment-4").code);
  mover.ok(mover.core.cluster.unmountSegment("1-1", clientId(1), mover.nowMs));
  assertCode(mover.finish("moveEnd"), ErrorCode.REPLICA_IS_GONE);
  assert.deepEqual(mover.homes(), ["segment-3"]);
  mover.settle();
  checkCore(mover.core.state);
});

Deno.test("a transfer that is never ended is given up after the release time-out", () => {
  const mover = new Mover();
  mover.ok(mover.copy(["segment-2"]).code);
  mover.pass(600_200, [1, 2, 3]);
  assertCode(mover.finish("copyEnd"), ErrorCode.OBJECT_NO_REPLICATION_TASK);
  assert.deepEqual(mover.homes(), ["segment-1"]);
  mover.ok(mover.copy(["segment-2"]).code);
  checkCore(mover.core.state);
});

for (const what of ["copyEnd", "copyRevoke", "moveEnd", "moveRevoke"] as const) {
  const begin = (mover: Mover) =>
    what.startsWith("copy") ? mover.copy(["segment-2"]).code : mover.move("segment-2").code;
  const kept = what === "copyEnd"
    ? ["segment-1", "segment-2"]
    : what === "moveEnd"
    ? ["segment-2"]
    : ["segment-1"];

  Deno.test(`a ${what} that is repeated or late leaves a later transfer alone`, () => {
    const mover = new Mover();
    mover.number = 7;
    mover.ok(mover.copy(["segment-3"]).code);
    mover.ok(mover.finish("copyRevoke"));
    mover.number = 8;
    mover.ok(begin(mover));
    for (const number of [7, 0, 9]) {
      mover.number = number;
      assertCode(mover.finish(what), ErrorCode.ILLEGAL_CLIENT);
      assert.deepEqual(mover.homes(), ["segment-1"]);
    }
    mover.number = 8;
    mover.ok(mover.finish(what));
    assert.deepEqual(mover.homes(), kept);
    checkCore(mover.core.state);
  });

  for (const from of ["the journal", "a snapshot"]) {
    Deno.test(`after a restart from ${from} a late ${what} leaves a later transfer alone, too`, () => {
      const mover = new Mover();
      const facts: Uint8Array[] = [];
      const sink: FactSink = { append: (b, start, end) => void facts.push(b.slice(start, end)) };
      const journal: Uint8Array[] = [];
      mover.core.tellSnapshot(sink);
      mover.core.attachFacts({ append: (b, at, end) => void journal.push(b.slice(at, end)) });
      mover.number = 8;
      mover.ok(begin(mover));
      facts.push(...journal);
      if (from === "a snapshot") {
        facts.length = 0;
        mover.core.tellSnapshot(sink);
      }
      const { core } = new CoreDriver();
      for (const fact of facts) core.replay(fact);
      assert.equal(core.digest(), mover.core.digest());
      mover.number = 7;
      assertCode(mover.finish(what, 1, "0-0", core), ErrorCode.ILLEGAL_CLIENT);
      mover.number = 8;
      mover.ok(mover.finish(what, 1, "0-0", core));
      checkCore(core.state);
    });
  }
}

Deno.test("a transfer whose client numbers none is ended without a number", () => {
  const mover = new Mover();
  const facts: DescribedFact[] = [];
  mover.core.attachFacts({
    append: (bytes, start, end) =>
      void facts.push(describeFact(new FactReader(bytes.slice(start, end), 0, end - start, 0))),
  });
  mover.ok(mover.copy(["segment-2"]).code);
  assert(facts.every(({ kind }) => kind !== "TRANSFER_NUMBERED"), "journals are as they were");
  mover.number = 3;
  assertCode(mover.finish("copyEnd"), ErrorCode.ILLEGAL_CLIENT);
  mover.number = 0;
  mover.ok(mover.finish("copyEnd"));
  mover.number = 4;
  mover.ok(mover.copy(["segment-3"]).code);
  const told = facts.find(({ kind }) => kind === "TRANSFER_NUMBERED");
  assert.deepEqual(told?.fields, { tenant: 0, key: bytesOf("k"), number: 4 });
});

import assert from "node:assert/strict";
import { TransportErrorCode } from "../../proto/coro_rpc/header.ts";
import { ProtocolError } from "../../proto/error.ts";
import {
  DispatcherDriver,
  type DispatcherDriverOptions,
  errorText,
} from "../../tests/support/dispatcher.ts";
import { type Call, type Handler, Outcome, type ServedFunction } from "./call.ts";

const ECHO = 1;
const FAULTY = 2;
const PICKY = 3;
const WAITING = 4;
const WAIT_MS = 50;

/** Answers each byte of its request, and 0xee for each 0xff for which there is no room. */
class WaitingHandler {
  /** How many bytes 0xff there is room for. */
  room = 0;
  /** Positions at which it was called, by call. */
  readonly resumed: number[] = [];
  readonly served: number[] = [];

  handle(call: Call): Outcome {
    const { reader, replies: { writer } } = call;
    this.resumed.push(call.resumeAt);
    const items = Array.from({ length: reader.remaining }, () => reader.u8());
    for (let i = call.resumeAt; i < items.length; i++) {
      const full = items[i] === 0xff && this.room === 0;
      if (full && call.nowMs < call.waitUntilMs) {
        call.resumeAt = i;
        return Outcome.WAIT;
      }
      if (items[i] === 0xff && !full) this.room--;
      this.served.push(items[i]);
      writer.u8(full ? 0xee : items[i]);
      call.items++;
      if (full) call.failedItems++;
    }
    return Outcome.DONE;
  }
}

function setUp(options: Partial<DispatcherDriverOptions> = {}) {
  const waiting = new WaitingHandler();
  const counted: string[] = [];
  const make = (functionId: number, name: string, handler: Handler): ServedFunction => ({
    ...{ functionId, name, handler },
    meter: { served: (items, failed) => counted.push(`${name} ${items} ${failed}`) },
  });
  const functions = [
    make(ECHO, "Echo", ({ reader, replies: { writer } }) => {
      writer.raw(reader.bytes, reader.position, reader.position + reader.remaining);
      return Outcome.DONE;
    }),
    make(FAULTY, "Faulty", ({ replies: { writer } }) => {
      writer.raw(new Uint8Array(1000));
      throw new RangeError("broken invariant");
    }),
    make(PICKY, "Picky", ({ reader, replies: { writer } }) => {
      writer.raw(new Uint8Array(10));
      reader.skip(1000);
      throw new ProtocolError("never reached");
    }),
    make(WAITING, "Waiting", (call) => waiting.handle(call)),
  ];
  const driver = new DispatcherDriver({ functions, putWaitMs: WAIT_MS, ...options });
  return { driver, waiting, counted };
}

function bodies(driver: DispatcherDriver): number[][] {
  return driver.take().map(({ body }) => Array.from(body));
}

Deno.test("a request is answered under its connection and number", () => {
  const { driver } = setUp();
  driver.send(ECHO, Uint8Array.of(1, 2), 77);
  driver.send(ECHO, Uint8Array.of(3), 78);
  assert.deepEqual(driver.take(), [
    { connection: 77, seq: 1, errorCode: 0, body: Uint8Array.of(1, 2) },
    { connection: 78, seq: 2, errorCode: 0, body: Uint8Array.of(3) },
  ]);
});

Deno.test("an unknown function, bad arguments and too large a request have their codes", () => {
  const { driver, counted } = setUp();
  driver.send(0xdeadbeef, Uint8Array.of(1));
  driver.send(PICKY, Uint8Array.of(1));
  driver.dispatcher.tooLarge(9, 400, 4096);
  const answers = driver.take();
  assert.deepEqual(answers.map(({ seq, errorCode }) => [seq, errorCode]), [
    [1, TransportErrorCode.FUNCTION_NOT_REGISTERED],
    [2, TransportErrorCode.INVALID_RPC_ARGUMENTS],
    [400, TransportErrorCode.MESSAGE_TOO_LARGE],
  ]);
  assert.deepEqual([11, 4, 14], answers.map(({ errorCode }) => errorCode));
  assert.deepEqual(answers.map(({ body, errorCode }) => errorText(body, errorCode)), [
    "the rpc function not registered",
    "invalid rpc arg",
    "the request is larger than 4096 bytes",
  ]);
  assert.deepEqual(driver.faults, []);
  assert.deepEqual(counted, []);
});

Deno.test("a handler that throws is reported once and the next request is served", () => {
  const { driver, counted } = setUp();
  driver.send(FAULTY, new Uint8Array(0));
  driver.send(ECHO, Uint8Array.of(5));
  const [failed, served] = driver.take();
  assert.equal(failed.errorCode, TransportErrorCode.RPC_THROW_EXCEPTION);
  assert.equal(failed.errorCode, 10);
  assert.equal(errorText(failed.body, 10), "internal error of the master");
  assert.deepEqual(served.body, Uint8Array.of(5));
  assert.deepEqual(driver.faults.map(({ name }) => name), ["Faulty"]);
  assert.deepEqual(counted, ["Echo 0 0"]);
});

Deno.test("a request that waits is answered when there is room, with what it had already", () => {
  const { driver, waiting, counted } = setUp();
  const seq = driver.send(WAITING, Uint8Array.of(1, 2, 0xff, 4), 5);
  assert.deepEqual(driver.take(), []);
  assert.equal(driver.dispatcher.waiting, 1);
  assert.equal(driver.retry(10), false);
  waiting.room = Infinity;
  assert.equal(driver.retry(10), true);
  assert.deepEqual(driver.take(), [
    { connection: 5, seq, errorCode: 0, body: Uint8Array.of(1, 2, 0xff, 4) },
  ]);
  assert.deepEqual(waiting.resumed, [0, 2, 2]);
  assert.deepEqual(waiting.served, [1, 2, 0xff, 4]);
  assert.deepEqual(counted, ["Waiting 4 0"]);
  assert.deepEqual([driver.dispatcher.waiting, driver.dispatcher.waits], [0, 1]);
});

Deno.test("a batch waits at one item after the other and is counted once", () => {
  const { driver, waiting, counted } = setUp();
  driver.send(WAITING, Uint8Array.of(0xff, 0xff, 7, 0xff));
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(bodies(driver), []);
    waiting.room = 1;
    driver.retry(1);
  }
  assert.deepEqual(bodies(driver), [[0xff, 0xff, 7, 0xff]]);
  assert.deepEqual(waiting.resumed, [0, 0, 1, 3]);
  assert.deepEqual(counted, ["Waiting 4 0"]);
});

Deno.test("a request is refused at its deadline, neither before nor after", () => {
  const { driver, waiting, counted } = setUp();
  driver.send(WAITING, Uint8Array.of(1, 0xff, 3, 0xff));
  driver.retry(WAIT_MS - 1);
  assert.deepEqual(bodies(driver), []);
  driver.retry(1);
  assert.deepEqual(bodies(driver), [[1, 0xee, 3, 0xee]]);
  assert.equal(waiting.served.length, 4);
  assert.deepEqual(counted, ["Waiting 4 2"]);
});

Deno.test("without a waiting time a request is refused at once", () => {
  const { driver, counted } = setUp({ putWaitMs: 0 });
  driver.send(WAITING, Uint8Array.of(0xff));
  assert.deepEqual(bodies(driver), [[0xee]]);
  assert.deepEqual(counted, ["Waiting 1 1"]);
});

Deno.test("room is given in the order of arrival", () => {
  const { driver, waiting } = setUp();
  for (let i = 0; i < 10; i++) {
    driver.send(WAITING, Uint8Array.of(0xff, i));
    driver.nowMs++;
  }
  waiting.room = Infinity;
  driver.retry();
  assert.deepEqual(bodies(driver).map(([, i]) => i), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("only so many requests wait, and only such as are not huge", () => {
  const { driver, waiting } = setUp({ maxWaiting: 3 });
  for (let i = 0; i < 5; i++) driver.send(WAITING, Uint8Array.of(0xff, i));
  assert.equal(driver.dispatcher.waiting, 3);
  assert.deepEqual(bodies(driver), [[0xee, 3], [0xee, 4]]);
  waiting.room = Infinity;
  driver.retry();
  assert.deepEqual(bodies(driver).map(([, i]) => i), [0, 1, 2]);
  waiting.room = 0;
  driver.send(WAITING, new Uint8Array((1 << 20) + 1).fill(0xff, 0, 1));
  assert.equal(driver.dispatcher.waiting, 0);
  assert.equal(driver.takeOne().body[0], 0xee);
});

Deno.test("a request whose connection has gone is dropped and not served", () => {
  const { driver, waiting, counted } = setUp();
  driver.send(WAITING, Uint8Array.of(0xff), 1);
  driver.send(WAITING, Uint8Array.of(0xff), 2);
  driver.gone.add(1);
  waiting.room = Infinity;
  driver.retry(1);
  assert.deepEqual(driver.take().map(({ connection }) => connection), [2]);
  assert.equal(driver.dispatcher.waiting, 0);
  assert.deepEqual(counted, ["Waiting 1 0"]);
  assert.equal(waiting.served.length, 1);
});

Deno.test("a handler that throws after a wait is answered once, with nothing of its reply", () => {
  const { driver, waiting } = setUp();
  driver.send(WAITING, Uint8Array.of(1, 2, 0xff));
  waiting.handle = () => {
    throw new Error("later");
  };
  driver.retry(1);
  assert.equal(driver.takeOne().errorCode, 10);
  assert.equal(driver.faults.length, 1);
  assert.equal(driver.retry(1000), false);
  assert.deepEqual(driver.take(), []);
});

Deno.test("a waiting request does not hold up others", () => {
  const { driver } = setUp();
  driver.send(WAITING, Uint8Array.of(1, 0xff), 4);
  driver.send(ECHO, Uint8Array.of(9), 4);
  driver.retry(1);
  driver.send(ECHO, Uint8Array.of(8), 4);
  assert.deepEqual(bodies(driver), [[9], [8]]);
});

/** A handler whose scan takes so many slices and notes when each was done. */
function scanning(slices: number, done: string[], name = "scan"): Handler {
  return (call) => {
    let left = slices;
    assert(call.mayScan);
    call.scan = ({ work, replies, nowMs }) => {
      done.push(`${name} ${nowMs}`);
      replies.writer.u8(left);
      work.left -= 60;
      if (--left > 0) {
        work.left = 0;
        return Outcome.SCAN;
      }
      return Outcome.DONE;
    };
    return Outcome.SCAN;
  };
}

function scanDriver(handlers: Handler[], changes = () => 0): DispatcherDriver {
  const functions = handlers.map((handler, i) => ({
    ...{ functionId: i + 1, name: `Scan${i + 1}`, handler, meter: null },
  }));
  return new DispatcherDriver({ functions, sliceWork: 100, changes });
}

const none = new Uint8Array(0);

Deno.test("a scan is answered after its last slice, with what that has written", () => {
  const done: string[] = [];
  const driver = scanDriver([scanning(3, done)]);
  driver.nowMs = 10;
  const seq = driver.send(1, none, 7);
  for (let i = 0; i < 2; i++) {
    driver.scan(1);
    assert.deepEqual(driver.take(), []);
    assert.equal(driver.dispatcher.scanning, 1);
  }
  driver.scan(1);
  const body = Uint8Array.of(1);
  assert.deepEqual(driver.take(), [{ connection: 7, seq, errorCode: 0, body }]);
  assert.equal(driver.dispatcher.scanning, 0);
  assert.deepEqual(done, ["scan 11", "scan 12", "scan 13"]);
});

Deno.test("four scans take turns, the others wait for one of them to end", () => {
  const done: string[] = [];
  const names = ["a", "b", "c", "d", "e"];
  const driver = scanDriver(names.map((name) => scanning(name === "b" ? 2 : 3, done, name)));
  names.forEach((_, i) => driver.send(i + 1, none));
  for (let i = 0; i < 30 && driver.dispatcher.scanning > 0; i++) driver.scan();
  const order = done.map((line) => line[0]).join("");
  assert.equal(order, "abcdabcdeacdee");
});

Deno.test("short scans share a turn", () => {
  const done: string[] = [];
  const driver = scanDriver([scanning(1, done)]);
  for (let i = 0; i < 5; i++) driver.send(1, none);
  driver.scan();
  assert.equal(driver.take().length, 2, "100 units of work, 60 for each");
  driver.scan();
  driver.scan();
  assert.deepEqual([driver.take().length, driver.dispatcher.scanning], [3, 0]);
});

Deno.test("so many scans may be open, and the next one is told", () => {
  const driver = scanDriver([(call) => {
    call.replies.writer.u8(call.mayScan ? 1 : 0);
    call.scan = () => Outcome.DONE;
    return call.mayScan ? Outcome.SCAN : Outcome.DONE;
  }]);
  for (let i = 0; i < 66; i++) driver.send(1, none);
  assert.deepEqual(bodies(driver), [[0], [0]]);
  assert.equal(driver.dispatcher.scanning, 64);
});

Deno.test("the scan of a connection that has gone is dropped", () => {
  const done: string[] = [];
  const driver = scanDriver([scanning(3, done)]);
  driver.send(1, none, 1);
  driver.send(1, none, 2);
  driver.scan();
  driver.gone.add(1);
  for (let i = 0; i < 10; i++) driver.scan();
  assert.deepEqual(driver.take().map(({ connection }) => connection), [2]);
  assert.equal(done.length, 4);
});

Deno.test("a scan that throws is answered once", () => {
  const driver = scanDriver([(call) => {
    call.scan = () => {
      throw new Error("broken");
    };
    return Outcome.SCAN;
  }]);
  driver.send(1, none);
  driver.scan();
  driver.scan();
  assert.equal(driver.takeOne().errorCode, 10);
  assert.equal(driver.faults.length, 1);
});

Deno.test("the answer of a scan whose last slice cannot be kept is refused", () => {
  let told = 0;
  const driver = scanDriver([(call) => {
    let left = 2;
    call.scan = ({ work }) => {
      told++;
      work.left = 0;
      return --left === 0 ? Outcome.DONE : Outcome.SCAN;
    };
    return Outcome.SCAN;
  }], () => told);
  driver.send(1, none);
  driver.scan();
  driver.scan();
  driver.dispatcher.refuseChanges("the disk is full");
  assert.equal(driver.takeOne().errorCode, 10);
});

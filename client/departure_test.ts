// Goal: when the master does not answer a mount or an unmount, it and the client agree in the end on
// what is lent, and until then nothing is freed that objects may be read from.
import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type {
  GracefulUnmountSegmentRequest,
  MountSegmentRequest,
  ReMountSegmentRequest,
  UnmountSegmentRequest,
} from "../proto/messages.ts";
import { ClientStatus } from "../proto/types.ts";
import { settle } from "../tests/support/fake_clock.ts";
import { type Answers, StoreFixture } from "../tests/support/store_context.ts";
import { SegmentTable } from "./segments.ts";
import { MasterSession } from "./session.ts";
import { TaskRunner } from "./task_runner.ts";

const never = new AbortController().signal;
const ok = () => ({ code: 0, value: null });
const code = (code: number) => () => ({ code, value: null });
const lost = () => Promise.reject(new StoreError(ErrorCode.RPC_TIMEOUT, "no answer came"));

const opened: (() => Promise<void>)[] = [];
Deno.test.afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

/** A client whose session runs, on a master that agrees to all but what `answers` say. */
async function lender(answers: Answers = {}) {
  const t = new StoreFixture({
    ServiceReady: () => ({ code: 0, value: "2.0.0" }),
    Ping: () => ({ code: 0, value: { viewVersionId: 0, clientStatus: ClientStatus.OK } }),
    FetchTasks: () => ({ code: 0, value: [] }),
    MountSegment: ok,
    ReMountSegment: ok,
    UnmountSegment: ok,
    ...answers,
  });
  const log = () => {};
  let id = 0;
  const segments = new SegmentTable({
    ...{ master: t.store.master, endpoint: t.endpoint, clock: t.clock, log },
    ...{ clientId: t.store.clientId, localHostname: "10.0.0.1:1", location: "", populate: false },
    newId: () => `7-${++id}`,
  });
  const tasks = new TaskRunner(t.store, log);
  const session = new MasterSession(t.store, segments, tasks, { log, checked: true });
  await session.start();
  opened.push(() => {
    session.stop();
    return t.endpoint.close();
  });
  const unmounts = () => t.requests<UnmountSegmentRequest>("UnmountSegment").length;
  const graceful = () => t.requests<GracefulUnmountSegmentRequest>("GracefulUnmountSegment").length;
  return { t, segments, unmounts, graceful, bytesLent: () => t.engine.regions[0].bytes.length };
}

Deno.test("a mount that was not answered is taken back until a late one cannot come any more", async () => {
  const { t, segments, unmounts, bytesLent } = await lender({
    MountSegment: lost,
    UnmountSegment: lost,
  });
  await assert.rejects(segments.mount(4096), { code: ErrorCode.RPC_TIMEOUT });
  assert.deepEqual(segments.segments, []);
  assert.equal(bytesLent(), 0, "the memory is not kept for the case");
  await t.clock.advance(120_000);
  assert.equal(unmounts(), 120, "asked for until there is an answer");
  t.answers.UnmountSegment = ok;
  await t.clock.advance(1000);
  await t.clock.advance(60_000);
  assert.equal(unmounts(), 121);
  const [{ segment }] = t.requests<MountSegmentRequest>("MountSegment");
  const [unmount] = t.requests<UnmountSegmentRequest>("UnmountSegment");
  assert.equal(unmount.segmentId, segment.id);
});

Deno.test("a mount that was not answered is unmounted again and again for a while", async () => {
  const { t, segments, unmounts } = await lender({ MountSegment: lost });
  await assert.rejects(segments.mount(4096), { code: ErrorCode.RPC_TIMEOUT });
  t.answers.MountSegment = ok;
  const other = await segments.mount(8192);
  await t.clock.advance(300_000);
  assert(unmounts() >= 59 && unmounts() <= 61, `${unmounts()} times`);
  assert.deepEqual(segments.segments, [other]);
});

Deno.test("a mount that was refused needs no taking back", async () => {
  const { t, segments, unmounts } = await lender({ MountSegment: code(-600) });
  await assert.rejects(segments.mount(4096), { code: ErrorCode.INVALID_PARAMS });
  await t.clock.advance(10_000);
  assert.equal(unmounts(), 0);
});

Deno.test("an unmount that was not answered is gone on with, and frees the memory then", async () => {
  const { t, segments, unmounts, bytesLent } = await lender({ UnmountSegment: lost });
  const { id } = await segments.mount(4096);
  await assert.rejects(segments.unmount(id, 0, never), { code: ErrorCode.RPC_TIMEOUT });
  assert.deepEqual(segments.segments, [], "there is no way back");
  assert.equal(bytesLent(), 4096, "it may still be read");
  t.answers.Ping = () => ({
    code: 0,
    value: { viewVersionId: 0, clientStatus: ClientStatus.NEED_REMOUNT },
  });
  await t.clock.advance(1000);
  assert.deepEqual(t.requests<ReMountSegmentRequest>("ReMountSegment")[0].segments, []);
  assert.equal(unmounts(), 2);
  t.answers.UnmountSegment = ok;
  await t.clock.advance(1000);
  assert.equal(bytesLent(), 0);
  await t.clock.advance(5000);
  assert.equal(unmounts(), 3);
  await assert.rejects(segments.unmount(id, 0, never), { code: ErrorCode.SEGMENT_NOT_FOUND });
});

Deno.test("an unmount that was not answered can be asked for again", async () => {
  const { t, segments, unmounts, bytesLent } = await lender({ UnmountSegment: lost });
  const { id } = await segments.mount(4096);
  await assert.rejects(segments.unmount(id, 0, never), { code: ErrorCode.RPC_TIMEOUT });
  t.answers.UnmountSegment = ok;
  await segments.unmount(id, 0, never);
  assert.equal(bytesLent(), 0);
  await t.clock.advance(5000);
  assert.equal(unmounts(), 2);
});

Deno.test("a graceful unmount that was not answered is repeated and waited for", async () => {
  // Our master answers a repeated one with 0, the reference with one of the others.
  for (const repeated of [0, ErrorCode.INVALID_PARAMS, ErrorCode.SEGMENT_NOT_FOUND]) {
    let gone = false;
    const { t, segments, unmounts, graceful, bytesLent } = await lender({
      GracefulUnmountSegment: lost,
      QuerySegmentStatusById: () => gone ? code(-101)() : { code: 0, value: 4 },
    });
    const { id } = await segments.mount(4096);
    await assert.rejects(segments.unmount(id, 3000, never), { code: ErrorCode.RPC_TIMEOUT });
    assert.deepEqual(segments.segments, []);
    t.answers.GracefulUnmountSegment = code(repeated);
    if (repeated !== 0) gone = true;
    await t.clock.advance(5000);
    assert.equal(graceful(), 2);
    assert.equal(bytesLent(), repeated === 0 ? 4096 : 0);
    gone = true;
    await t.clock.advance(1000);
    assert.equal(bytesLent(), 0);
    assert.equal(unmounts(), 0);
  }
});

Deno.test("a graceful unmount that takes too long is asked for at once", async () => {
  const { t, segments, unmounts, bytesLent } = await lender({
    GracefulUnmountSegment: ok,
    QuerySegmentStatusById: lost,
  });
  const { id } = await segments.mount(4096);
  const unmounting = segments.unmount(id, 3000, never);
  await t.clock.advance(62_000);
  assert.equal(unmounts(), 0);
  assert.equal(bytesLent(), 4096);
  await t.clock.advance(3000);
  await unmounting;
  assert.equal(unmounts(), 1);
  assert.equal(bytesLent(), 0);
});

Deno.test("an unmount at once overtakes a graceful one that was not answered", async () => {
  const { t, segments, unmounts, graceful, bytesLent } = await lender({
    GracefulUnmountSegment: lost,
  });
  const { id } = await segments.mount(4096);
  await assert.rejects(segments.unmount(id, 600_000, never), { code: ErrorCode.RPC_TIMEOUT });
  await segments.unmount(id, 0, never);
  assert.equal(bytesLent(), 0);
  await t.clock.advance(5000);
  assert.deepEqual([graceful(), unmounts()], [1, 1]);
});

Deno.test("a client that closes takes back what was not answered, and what is being mounted", async () => {
  const { t, segments } = await lender({ MountSegment: lost });
  await assert.rejects(segments.mount(4096), { code: ErrorCode.RPC_TIMEOUT });
  t.answers.MountSegment = () => new Promise(() => {});
  void segments.mount(4096);
  await settle();
  await segments.unmountAll(1000);
  const ids = t.requests<UnmountSegmentRequest>("UnmountSegment").map(({ segmentId }) => segmentId);
  assert.deepEqual(ids, ["7-1", "7-2"]);
});

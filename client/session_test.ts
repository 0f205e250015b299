import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import type {
  GracefulUnmountSegmentRequest,
  MarkTaskToCompleteRequest,
  MountSegmentRequest,
  PeerReportsRequest,
  ReMountSegmentRequest,
} from "../proto/messages.ts";
import { ClientStatus, ReplicaStatus, TaskStatus, TaskType } from "../proto/types.ts";
import { settle } from "../tests/support/fake_clock.ts";
import { type Answers, replica, StoreFixture } from "../tests/support/store_context.ts";
import { CallError } from "./rpc_client.ts";
import { SegmentTable } from "./segments.ts";
import { MasterSession } from "./session.ts";
import { TaskRunner } from "./task_runner.ts";

const ok = () => ({ code: 0, value: null });
const never = new AbortController().signal;

const opened: StoreFixture[] = [];
Deno.test.afterEach(async () => {
  for (const fixture of opened.splice(0)) await fixture.endpoint.close();
});

/** A client with everything that runs beside its operations, on a master that agrees to all. */
function client(answers: Answers = {}) {
  const t = new StoreFixture({
    ServiceReady: () => ({ code: 0, value: "2.0.0" }),
    Ping: () => ping(ClientStatus.OK),
    MountSegment: ok,
    ReMountSegment: ok,
    UnmountSegment: ok,
    FetchTasks: () => ({ code: 0, value: [] }),
    MarkTaskToComplete: ok,
    ReportPeers: ok,
    ...answers,
  });
  opened.push(t);
  const lines: string[] = [];
  const log = (line: string) => lines.push(line);
  let id = 0;
  const segments = new SegmentTable({
    master: t.store.master,
    endpoint: t.endpoint,
    clock: t.clock,
    clientId: t.store.clientId,
    localHostname: "10.0.0.1:1",
    location: "",
    populate: false,
    log,
    newId: () => `7-${++id}`,
  });
  const tasks = new TaskRunner(t.store, log);
  const session = new MasterSession(t.store, segments, tasks, { log, checked: true });
  return { t, segments, tasks, session, lines };
}

function ping(clientStatus: number) {
  return { code: 0, value: { viewVersionId: 0, clientStatus } };
}

Deno.test("a mounted segment carries its name, its opaque base and its owner", async () => {
  const { t, segments } = client();
  const segment = await segments.mount(4096);
  const [request] = t.requests<MountSegmentRequest>("MountSegment");
  assert.equal(request.clientId, t.store.clientId);
  assert.deepEqual(request.segment, segment);
  assert.deepEqual(segment, {
    id: "7-1",
    name: "10.0.0.1:1",
    base: t.engine.regions[0].remoteBase,
    size: 4096,
    teEndpoint: "10.0.0.1:1",
    protocol: "tcp",
    hostId: "10.0.0.1",
  });
  assert.equal(segments.size, 4096);
});

Deno.test("memory that the master refuses is freed", async () => {
  const { t, segments } = client({ MountSegment: () => ({ code: -600, value: null }) });
  await assert.rejects(segments.mount(1 << 20), {
    code: ErrorCode.INVALID_PARAMS,
    message: /^Cannot mount a segment of 1\.00 MiB/,
  });
  assert.deepEqual(segments.segments, []);
  assert.equal(t.engine.regions[0].bytes.length, 0);
});

Deno.test("an unmounted segment is freed, and one that the master forgot as well", async () => {
  for (const code of [0, ErrorCode.SEGMENT_NOT_FOUND]) {
    const { t, segments } = client({ UnmountSegment: () => ({ code, value: null }) });
    const { id } = await segments.mount(4096);
    await segments.unmount(id, 0, never);
    assert.equal(t.engine.regions[0].bytes.length, 0);
    await assert.rejects(segments.unmount(id, 0, never), { code: ErrorCode.SEGMENT_NOT_FOUND });
  }
});

Deno.test("a segment that the master will not let go stays mounted", async () => {
  const { t, segments } = client({
    UnmountSegment: () => ({ code: ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, value: null }),
  });
  const { id } = await segments.mount(4096);
  const refused = { code: ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS };
  await assert.rejects(segments.unmount(id, 0, never), refused);
  assert.equal(segments.segments.length, 1);
  assert.equal(t.engine.regions[0].bytes.length, 4096);
});

Deno.test("a graceful unmount frees the memory when the master has let it go", async () => {
  let gone = false;
  const { t, segments } = client({
    GracefulUnmountSegment: ok,
    QuerySegmentStatusById: () =>
      gone ? { code: ErrorCode.SEGMENT_NOT_FOUND, value: null } : { code: 0, value: 4 },
  });
  const { id } = await segments.mount(4096);
  const unmounting = segments.unmount(id, 3000, never);
  await t.clock.advance(2999);
  assert.equal(
    t.requests<GracefulUnmountSegmentRequest>("GracefulUnmountSegment")[0].gracePeriodMs,
    3000,
  );
  assert.deepEqual(segments.segments, [], "a restarted master must not hear of it");
  assert.equal(t.requests("QuerySegmentStatusById").length, 0);
  await t.clock.advance(2000);
  assert(t.requests("QuerySegmentStatusById").length > 1);
  assert.equal(t.engine.regions[0].bytes.length, 4096);
  gone = true;
  await t.clock.advance(500);
  await unmounting;
  assert.equal(t.engine.regions[0].bytes.length, 0);
});

Deno.test("a session pings every second and mounts again when the master asks", async () => {
  let status: number = ClientStatus.NEED_REMOUNT;
  const { t, segments, session } = client({ Ping: () => ping(status) });
  await segments.mount(4096);
  await session.start();
  assert.deepEqual(t.requests<ReMountSegmentRequest>("ReMountSegment"), [
    { segments: segments.segments, clientId: t.store.clientId },
  ]);
  status = ClientStatus.OK;
  await t.clock.advance(5000);
  assert.equal(t.requests("Ping").length, 6);
  assert.equal(t.requests("ReMountSegment").length, 1);
  session.stop();
  await t.clock.advance(5000);
  assert.equal(t.requests("Ping").length, 6);
  assert.equal(t.clock.pending, 1, "only the guard of the documents is left");
  await t.endpoint.close();
  assert.equal(t.clock.pending, 0);
});

Deno.test("tasks are asked for with the ping, and again after a remount", async () => {
  const pinged = Promise.withResolvers<ReturnType<typeof ping>>();
  const { t, segments, session } = client({ Ping: () => pinged.promise });
  await segments.mount(4096);
  t.calls.length = 0;
  const started = session.start();
  assert.deepEqual(t.names, ["Ping", "FetchTasks"]);
  t.answers.FetchTasks = () => ({ code: ErrorCode.INVALID_PARAMS, value: null });
  await settle();
  t.answers.FetchTasks = () => ({ code: 0, value: [] });
  pinged.resolve(ping(ClientStatus.NEED_REMOUNT));
  await started;
  session.stop();
  assert.deepEqual(t.names, ["Ping", "FetchTasks", "ReMountSegment", "FetchTasks"]);
  assert(session.connected, "the master did not know the client when it was asked first");
});

Deno.test("a client without segments remounts an empty list and fetches no tasks", async () => {
  const { t, session } = client({ Ping: () => ping(ClientStatus.NEED_REMOUNT) });
  await session.start();
  session.stop();
  assert.deepEqual(t.requests<ReMountSegmentRequest>("ReMountSegment")[0].segments, []);
  assert.deepEqual(t.names, ["Ping", "ReMountSegment"]);
});

Deno.test("a master that comes back is checked for its version before it is trusted", async () => {
  const { t, session, lines } = client();
  await session.start();
  assert(session.connected);
  t.answers.Ping = () => Promise.reject(new StoreError(ErrorCode.RPC_FAIL, "no connection"));
  await t.clock.advance(3000);
  assert(!session.connected);
  assert.equal(lines.length, 1, "the same trouble is told once");
  t.answers.ServiceReady = () => ({ code: 0, value: "3.0.0" });
  t.answers.Ping = () => ping(ClientStatus.NEED_REMOUNT);
  await t.clock.advance(2000);
  assert(!session.connected);
  assert.match(lines[1], /has version "3\.0\.0"/);
  assert.equal(t.requests("ReMountSegment").length, 0);
  t.answers.ServiceReady = () => ({ code: 0, value: "2.0.0" });
  await t.clock.advance(1000);
  assert(session.connected);
  assert.equal(t.requests("ReMountSegment").length, 1);
  assert.equal(lines[2], "the master answers again");
  session.stop();
});

/** A task as the master hands it out. */
function task(type: number, payload: Record<string, unknown>, maxRetryAttempts = 10) {
  return {
    id: "9-9",
    type,
    payload: JSON.stringify({ tenant_id: "default", key: "k", source: "10.0.0.1:1", ...payload }),
    createdAtMsEpoch: 0,
    maxRetryAttempts,
  };
}

async function runTask(answers: Answers, type: number, payload: Record<string, unknown>) {
  const all = client(answers);
  const { t, segments, tasks } = all;
  await segments.mount(4096);
  const source = t.engine.regions[0];
  source.bytes.set([4, 5], 10);
  const target = await t.peer("10.0.0.2:9");
  const descriptors = {
    source: replica("10.0.0.1:1", source, 2, 10),
    target: replica("10.0.0.2:9", target.region, 2, 20, ReplicaStatus.PROCESSING),
  };
  return {
    ...all,
    ...descriptors,
    targetEngine: target.engine,
    written: () => [...target.region.bytes.subarray(20, 22)],
    run: async () => {
      tasks.submit([task(type, payload, 2)]);
      await settle();
      await t.clock.advance(1000);
      return t.requests<MarkTaskToCompleteRequest>("MarkTaskToComplete").map(({ request }) =>
        request
      );
    },
  };
}

const success = { id: "9-9", status: TaskStatus.SUCCESS, message: "Task completed successfully" };

Deno.test("a copy is written to its targets, ended and reported", async () => {
  const c = await runTask(
    {
      CopyEnd: ok,
      CopyStart: () => ({ code: 0, value: { source: c.source, targets: [c.target] } }),
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  assert.deepEqual(await c.run(), [success]);
  assert.deepEqual(c.written(), [4, 5]);
  assert(c.t.names.includes("CopyEnd"));
});

Deno.test("a copy under a dynamic lease names the lease in all its calls, exactly", async () => {
  const c = await runTask(
    {
      DynamicReplicaCopyEnd: ok,
      DynamicReplicaCopyStart: () => ({
        code: 0,
        value: { source: c.source, targets: [c.target] },
      }),
    },
    TaskType.REPLICA_COPY,
    {},
  );
  const high = "18446744073709551615";
  const payload = task(TaskType.REPLICA_COPY, { targets: ["10.0.0.2:9"] }).payload.slice(0, -1) +
    `,"dynamic_replication_lease_id_high":${high},"dynamic_replication_lease_id_low":3,` +
    `"dynamic_replication_version_epoch":5}`;
  c.tasks.submit([{ ...task(TaskType.REPLICA_COPY, {}), payload }]);
  await c.t.clock.advance(1);
  const [start] = c.t.requests<{ leaseId: string; versionEpoch: number }>(
    "DynamicReplicaCopyStart",
  );
  assert.deepEqual([start.leaseId, start.versionEpoch], [`${high}-3`, 5]);
  assert(c.t.names.includes("DynamicReplicaCopyEnd"));
});

Deno.test("the calls of a transfer bear its number, and every transfer has one of its own", async () => {
  const c = await runTask(
    {
      CopyStart: () => ({ code: 0, value: { source: c.source, targets: [c.target] } }),
      CopyEnd: () => ({ code: ErrorCode.REPLICA_IS_GONE, value: null }),
      CopyRevoke: ok,
      MoveStart: () => ({ code: 0, value: { source: c.source, target: c.target } }),
      MoveEnd: () => ({ code: ErrorCode.REPLICA_IS_GONE, value: null }),
      MoveRevoke: ok,
      DynamicReplicaCopyStart: () => ({
        code: 0,
        value: { source: c.source, targets: [c.target] },
      }),
      DynamicReplicaCopyEnd: () => ({ code: ErrorCode.REPLICA_IS_GONE, value: null }),
      DynamicReplicaCopyRevoke: ok,
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  await c.run();
  c.tasks.submit([task(TaskType.REPLICA_MOVE, { target: "10.0.0.2:9" })]);
  await c.t.clock.advance(1);
  const lease = { dynamic_replication_lease_id_low: 3, dynamic_replication_version_epoch: 5 };
  c.tasks.submit([task(TaskType.REPLICA_COPY, { targets: ["10.0.0.2:9"], ...lease })]);
  await c.t.clock.advance(1);
  const numbers = c.t.calls
    .filter(({ name }) => /^(Copy|Move|DynamicReplicaCopy)/.test(name))
    .map(({ name, writeId }) => `${name} ${writeId}`);
  assert.deepEqual(numbers, [
    ...["CopyStart 1", "CopyEnd 1", "CopyRevoke 1"],
    ...["MoveStart 2", "MoveEnd 2", "MoveRevoke 2"],
    ...["DynamicReplicaCopyStart 3", "DynamicReplicaCopyEnd 3", "DynamicReplicaCopyRevoke 3"],
  ]);
});

Deno.test("a repeated end that meets a later transfer is taken for one that had come", async () => {
  let asked = 0;
  const c = await runTask(
    {
      CopyStart: () => ({ code: 0, value: { source: c.source, targets: [c.target] } }),
      CopyEnd: () => {
        if (asked++ === 0) throw new StoreError(ErrorCode.RPC_TIMEOUT, "no answer came");
        return { code: ErrorCode.ILLEGAL_CLIENT, value: null };
      },
      CopyRevoke: ok,
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  assert.deepEqual(await c.run(), [success]);
  assert(!c.t.names.includes("CopyRevoke"));
});

Deno.test("an end without a number is not repeated: it might end a later transfer", async () => {
  const c = await runTask(
    {
      CopyStart: () => ({ code: 0, value: { source: c.source, targets: [c.target] } }),
      CopyEnd: () => {
        throw new StoreError(ErrorCode.RPC_TIMEOUT, "no answer came");
      },
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  const unnumbered = new TaskRunner({ ...c.t.store, nextWriteId: () => 0 }, () => {});
  unnumbered.submit([task(TaskType.REPLICA_COPY, { targets: ["10.0.0.2:9"] })]);
  await settle();
  await c.t.clock.advance(2000);
  assert.equal(c.t.names.filter((name) => name === "CopyEnd").length, 1);
  const [{ request }] = c.t.requests<MarkTaskToCompleteRequest>("MarkTaskToComplete");
  assert.equal(request.message, "RPC_TIMEOUT");
});

Deno.test("a move without a target replica is only ended", async () => {
  const c = await runTask(
    { MoveEnd: ok, MoveStart: () => ({ code: 0, value: { source: c.source, target: null } }) },
    TaskType.REPLICA_MOVE,
    { target: "10.0.0.2:9" },
  );
  assert.deepEqual(await c.run(), [success]);
  assert.deepEqual(c.written(), [0, 0]);
});

Deno.test("an end and a report that were not answered are repeated until they are", async () => {
  const lost: Record<string, number> = { MoveEnd: 1, MarkTaskToComplete: 1 };
  const losing = (name: string, answer: { code: number; value: null }) => () => {
    if (lost[name]-- > 0) throw new StoreError(ErrorCode.RPC_FAIL, "the master is away");
    return answer;
  };
  const c = await runTask(
    {
      MoveStart: () => ({ code: 0, value: { source: c.source, target: c.target } }),
      MoveEnd: losing("MoveEnd", { code: ErrorCode.OBJECT_NO_REPLICATION_TASK, value: null }),
      MarkTaskToComplete: losing("MarkTaskToComplete", { code: 0, value: null }),
    },
    TaskType.REPLICA_MOVE,
    { target: "10.0.0.2:9" },
  );
  assert.deepEqual(await c.run(), [success, success]);
  assert.equal(c.t.names.filter((name) => name === "MoveEnd").length, 2);
  assert(!c.t.names.includes("MoveRevoke"));
});

Deno.test("who has done its tasks asks for more without waiting for the next beat", async () => {
  let left = 3;
  const next = () => left-- > 0 ? [task(TaskType.REPLICA_COPY, { targets: ["10.0.0.2:9"] })] : [];
  const c = await runTask(
    {
      CopyStart: () => ({ code: ErrorCode.OBJECT_NOT_FOUND, value: null }),
      FetchTasks: () => ({ code: 0, value: next() }),
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  assert.equal((await c.run()).length, 4);
});

Deno.test("a copy whose transfer fails is revoked and reported as failed", async () => {
  const c = await runTask(
    {
      MoveRevoke: ok,
      MoveStart: () => ({ code: 0, value: { source: c.source, target: c.target } }),
    },
    TaskType.REPLICA_MOVE,
    { target: "10.0.0.2:9" },
  );
  c.targetEngine.vanish();
  assert.deepEqual(await c.run(), [
    { id: "9-9", status: TaskStatus.FAILED, message: "TRANSFER_FAIL" },
  ]);
  assert(c.t.names.includes("MoveRevoke"));
});

Deno.test("a copy that was promised memory before a long standstill writes nothing", async () => {
  const c = await runTask(
    {
      CopyRevoke: ok,
      CopyStart: async () => {
        await c.t.clock.stall(c.t.store.beginWithinMs);
        return { code: 0, value: { source: c.source, targets: [c.target] } };
      },
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  const [report] = await c.run();
  assert.equal(report.message, "TRANSFER_FAIL");
  assert.deepEqual(c.written(), [0, 0]);
  assert(c.t.names.includes("CopyRevoke"));
});

Deno.test("a source in another process is refused and revoked", async () => {
  const c = await runTask(
    {
      CopyRevoke: ok,
      CopyStart: () => ({ code: 0, value: { source: c.target, targets: [c.target] } }),
    },
    TaskType.REPLICA_COPY,
    { targets: ["10.0.0.2:9"] },
  );
  const [report] = await c.run();
  assert.equal(report.message, "REPLICA_NOT_IN_LOCAL_MEMORY");
  assert(c.t.names.includes("CopyRevoke"));
});

Deno.test("only a lack of room is tried again, and not more often than allowed", async () => {
  for (const [code, starts] of [[ErrorCode.NO_AVAILABLE_HANDLE, 3], [-704, 1]]) {
    const c = await runTask(
      { CopyStart: () => ({ code, value: null }) },
      TaskType.REPLICA_COPY,
      { targets: ["10.0.0.2:9"] },
    );
    const [report] = await c.run();
    assert.equal(report.status, TaskStatus.FAILED);
    assert.equal(c.t.requests("CopyStart").length, starts);
  }
});

Deno.test("a task of an unknown type or with a broken payload is reported as failed", async () => {
  const c = await runTask({}, 7, {});
  const [report] = await c.run();
  assert.deepEqual(report, { id: "9-9", status: TaskStatus.FAILED, message: "INVALID_PARAMS" });
  c.tasks.submit([{ ...task(TaskType.REPLICA_COPY, {}), payload: "[" }]);
  await c.t.clock.advance(1);
  assert.equal(c.t.requests("MarkTaskToComplete").length, 2);
});

Deno.test("the master is told at once of a peer that does not answer, and when it works again", async () => {
  const { t, session } = client({ ReportPeers: ok });
  await session.start();
  const { choice } = t.store;
  choice.note("10.0.0.2:9", true);
  await t.clock.advance(1000);
  choice.note("10.0.0.2:9", false);
  choice.note("10.0.0.3:9", false, true);
  await t.clock.advance(100);
  choice.note("10.0.0.2:9", true);
  await t.clock.advance(1000);
  assert.deepEqual(t.requests<PeerReportsRequest>("ReportPeers").map(({ peers }) => peers), [
    [{ endpoint: "10.0.0.2:9", suspected: false }],
    [{ endpoint: "10.0.0.2:9", suspected: true }, { endpoint: "10.0.0.3:9", suspected: false }],
    [{ endpoint: "10.0.0.2:9", suspected: false }],
  ]);
  session.stop();
});

Deno.test("a master that takes no reports is asked once", async () => {
  const { t, session, lines } = client({
    ReportPeers: () => {
      throw new CallError(ErrorCode.RPC_FAIL, "not registered", "refused");
    },
  });
  await session.start();
  for (let i = 0; i < 5; i++) {
    t.store.choice.note("10.0.0.2:9", false);
    await t.clock.advance(3000);
  }
  assert.equal(t.requests("ReportPeers").length, 1);
  assert.deepEqual(lines, [], "nobody needs to hear of it");
  session.stop();
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { adminCaller } from "../../tests/support/admin_caller.ts";
import { MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { Blocker } from "../core/job_table.ts";

const SEGMENT = "127.0.0.1:12345";

function serve(core: MemoryAdminCore) {
  const ask = adminCaller(core);
  return async (method: string, path: string, body?: string, peer = "127.0.0.1") => {
    const { status, text } = await ask(method, path, { peer, ...(body !== undefined && { body }) });
    return { status, text };
  };
}

function cluster(): MemoryAdminCore {
  const core = new MemoryAdminCore();
  core.segments.push({
    ...{ name: SEGMENT, id: "1-2", clientId: "3-4", base: 1n, size: 100 },
    ...{ teEndpoint: SEGMENT, protocol: "tcp", status: 1, allocatedBytes: 0, capacityBytes: 100 },
  });
  return core;
}

Deno.test("a drain is made, told and canceled as with the reference", async () => {
  const core = cluster();
  const request = serve(core);
  const body = JSON.stringify({ segments: [SEGMENT] });
  assert.deepEqual(await request("POST", "/api/v1/drain_jobs", body), {
    status: 200,
    text: '{"success":true,"job_id":"1-1","status":"CREATED","error_code":0,"error_message":""}',
  });
  assert.deepEqual(core.drains, [{
    ...{ segments: [SEGMENT], client: null, targets: [], maxConcurrency: 4 },
    ...{ bytesPerSecond: 0, giveUpMs: 60_000, dropUnplaced: false },
  }]);
  Object.assign(core.jobs[0], { movedObjects: 3, movedBytes: 9, failedMoves: 1, activeMoves: 2 });
  core.jobs[0].blocked = { [Blocker.NO_ROOM]: 4, [Blocker.BUSY]: 1 };
  const { text } = await request("GET", "/api/v1/drain_jobs/query?job_id=1-1");
  const like = '{"success":true,"job_id":"1-1","type":0,"type_name":"DRAIN","status":0,' +
    '"status_name":"CREATED","created_at_ms_epoch":1,"last_updated_at_ms_epoch":2,' +
    '"segments":["127.0.0.1:12345"],"succeeded_units":3,"failed_units":1,"blocked_units":5,' +
    '"active_units":2,"migrated_bytes":9,"message":"made","error_code":0,"error_message":""';
  assert.equal(text.slice(0, like.length), like);
  assert.deepEqual(JSON.parse(text).blocked, {
    ...{ busy: 1, no_room: 4, leased: 0, pinned: 0, key_not_text: 0 },
  });
  assert.deepEqual(await request("POST", "/api/v1/drain_jobs/cancel?job_id=1-1"), {
    status: 200,
    text: '{"success":true,"job_id":"1-1","status":"CANCELED","error_code":0,"error_message":""}',
  });
});

Deno.test("every job has our doors", async () => {
  const core = cluster();
  const request = serve(core);
  const body = '{"threshold":0.25,"bytes_per_second":1000,"max_concurrency":8}';
  assert.equal((await request("POST", "/api/v1/jobs/rebalance", body)).status, 200);
  assert.deepEqual(core.rebalances, [{
    ...{ targets: [], maxConcurrency: 8, bytesPerSecond: 1000, giveUpMs: 60_000, threshold: 0.25 },
  }]);
  const drain = '{"client_id":"3-4","on_no_room":"drop","give_up_seconds":5}';
  assert.equal((await request("POST", "/api/v1/drain_jobs", drain)).status, 200);
  assert.deepEqual(
    [core.drains[0].client, core.drains[0].dropUnplaced, core.drains[0].giveUpMs],
    ["3-4", true, 5000],
  );
  const compact = '{"segments":["a"],"largest_free_bytes":4096,"target_segments":["b"]}';
  assert.equal((await request("POST", "/api/v1/jobs/compact", compact)).status, 200);
  assert.deepEqual(core.compactions, [{
    ...{ segments: ["a"], targets: ["b"], goalBytes: 4096, leastBytes: 4096, automatic: false },
    ...{ maxConcurrency: 4, bytesPerSecond: 0, giveUpMs: 60_000 },
  }]);
  const { jobs } = JSON.parse((await request("GET", "/api/v1/jobs")).text);
  assert.deepEqual(
    jobs.map((job: Record<string, unknown>) => [job.job_id, job.type_name, job.max_concurrency]),
    [["1-1", "REBALANCE", 8], ["1-2", "DRAIN", 4], ["1-3", "COMPACTION", 4]],
  );
  assert.equal((await request("GET", "/api/v1/jobs/query?job_id=1-1")).status, 200);
  assert.equal((await request("POST", "/api/v1/jobs/cancel?job_id=1-1")).status, 200);
});

Deno.test("a body that makes no sense is refused with what is wrong", async () => {
  const request = serve(cluster());
  for (
    const [body, message] of [
      ["", /Invalid JSON body/],
      ["[1]", /it must be an object/],
      ["{}", /"segments" or "client_id" must say what to drain/],
      ['{"segments":[]}', /must say what to drain/],
      ['{"segments":["a"],"client_id":"1-2"}', /and not both/],
      ['{"segments":["a","a"]}', /"segments" is \["a","a"\]; allowed: a list of different names/],
      ['{"segments":["a"],"max_concurrency":0}', /"max_concurrency" is 0; allowed: .* 1 to 1024/],
      ['{"segments":["a"],"bytes_per_second":-1}', /"bytes_per_second" is -1/],
      ['{"segments":["a"],"give_up_seconds":1.5}', /"give_up_seconds" is 1.5/],
      ['{"segments":["a"],"on_no_room":"x"}', /"on_no_room" is "x"; allowed: "wait", "drop"/],
      ['{"client_id":"x"}', /"client_id" is "x"/],
      ['{"segments":["a"],"speed":1}', /"speed" is not known here; allowed: segments, /],
    ] as const
  ) {
    const { status, text } = await request("POST", "/api/v1/drain_jobs", body);
    const { error_code, error_message } = JSON.parse(text);
    assert.deepEqual([status, error_code], [400, ErrorCode.INVALID_PARAMS], body);
    assert.match(error_message, message);
  }
  const odd = await request("POST", "/api/v1/jobs/rebalance", '{"threshold":1}');
  assert.match(odd.text, /\\"threshold\\" is 1; allowed: numbers between 0 and 1/);
  const half = await request("POST", "/api/v1/jobs/compact", '{"largest_free_bytes":0.5}');
  assert.match(half.text, /\\"largest_free_bytes\\" is 0.5; allowed: whole numbers from 0/);
  const unknown = await request("POST", "/api/v1/drain_jobs", '{"segments":["nope"]}');
  assert.deepEqual([unknown.status, JSON.parse(unknown.text).error_code], [404, -101]);
});

Deno.test("unknown jobs are not found, and only this machine changes anything", async () => {
  const request = serve(cluster());
  const answer = async (method: string, path: string, host?: string) => {
    const { status, text } = await request(method, path, undefined, host);
    return [status, JSON.parse(text).error_code];
  };
  for (const door of ["/api/v1/drain_jobs", "/api/v1/jobs"]) {
    const [missing, invalid] = [ErrorCode.JOB_NOT_FOUND, ErrorCode.INVALID_PARAMS];
    assert.deepEqual(await answer("GET", `${door}/query?job_id=1-2`), [404, missing]);
    assert.deepEqual(await answer("GET", `${door}/query?job_id=x`), [400, invalid]);
    assert.deepEqual(await answer("GET", `${door}/query`), [400, invalid]);
    assert.deepEqual(await answer("POST", `${door}/cancel?job_id=1-2`), [404, missing]);
    assert.equal((await answer("POST", `${door}/cancel?job_id=1-2`, "10.0.0.7"))[0], 401);
  }
  assert.equal((await answer("POST", "/api/v1/jobs/rebalance", "10.0.0.7"))[0], 401);
});

Deno.test("what dynamic replication would do is told", async () => {
  const { status, text } = await serve(cluster())("GET", "/v1/replication");
  assert.equal(status, 200);
  assert.equal(
    text,
    '{"success":true,"mode":"observe","replicas":1,"replica_bytes":10,"ordered":0,"decisions":' +
      '[{"time_ms":1,"what":"would_add","key":"k\\u00E9","reads_per_second":2.5,"bytes":10,' +
      '"segment":"s"}]}',
  );
});

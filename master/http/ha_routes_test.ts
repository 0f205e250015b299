import assert from "node:assert/strict";
import { backendOf, MemoryAdminCore } from "../../tests/support/memory_admin_core.ts";
import { Hono } from "hono";
import { LOG_HEADER, SEQUENCE_HEADER } from "../ha/checkpoint_fetch.ts";
import { writeLogId } from "../ha/identity.ts";
import { type MemberStatus, startingStatus } from "../ha/member_status.ts";
import { checkpointPath } from "../journal/files.ts";
import { addHaRoutes } from "./ha_routes.ts";

function serve(member: MemberStatus | null, haPath: string | null = null) {
  const core = new MemoryAdminCore();
  core.member = member;
  const app = new Hono();
  addHaRoutes(app, { backend: backendOf(core), haPath });
  return async (path: string) => {
    const response = await app.request(path);
    return { status: response.status, body: await response.json() };
  };
}

const standby: MemberStatus = {
  ...startingStatus,
  ...{ state: "standby", obstacles: [], sequence: 7, logSequence: 9, leaderAddress: "a:1" },
  checked: { sequence: 5, same: true },
};

Deno.test("a lone master and a leader are ready, a standby is not", async () => {
  assert.equal((await serve(null)("/ready")).status, 200);
  assert.equal((await serve({ ...standby, role: "leader" })("/ready")).status, 200);
  const { status, body } = await serve(standby)("/ready");
  assert.equal(status, 503);
  assert.deepEqual(
    [body.ready, body.role, body.leader_address, body.applied_group, body.lag_groups],
    [false, "standby", "a:1", 7, 2],
  );
  assert.deepEqual(body.self_check, { group: 5, same_as_leader: true });
});

Deno.test("whether a promotion would keep the index is another question", async () => {
  assert.equal((await serve(null)("/ready?promote=1")).status, 200);
  assert.equal((await serve(standby)("/ready?promote=1")).status, 200);
  const late = { ...standby, obstacles: ["it needs a checkpoint"] };
  const { status, body } = await serve(late)("/ready?promote=true");
  assert.equal(status, 503);
  assert.equal(body.promotion_keeps_index, false);
  assert.deepEqual(body.obstacles, ["it needs a checkpoint"]);
});

Deno.test("the newest checkpoint is handed out as it is, with its group and its log", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${directory}/journal`);
    const app = new Hono();
    const backend = backendOf(new MemoryAdminCore());
    addHaRoutes(app, { backend, haPath: directory });
    assert.equal((await serve(null)("/v1/ha/checkpoint")).status, 503);
    assert.equal((await serve(standby, directory)("/v1/ha/checkpoint")).status, 503);
    writeLogId(directory, "log-1");
    await Deno.writeFile(checkpointPath(`${directory}/journal`, 3), Uint8Array.of(1));
    await Deno.writeFile(checkpointPath(`${directory}/journal`, 12), Uint8Array.of(1, 2, 3));
    const response = await app.request("/v1/ha/checkpoint");
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), Uint8Array.of(1, 2, 3));
    assert.deepEqual(
      [SEQUENCE_HEADER, LOG_HEADER, "content-length"].map((name) => response.headers.get(name)),
      ["12", "log-1", "3"],
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

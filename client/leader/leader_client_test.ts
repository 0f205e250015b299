// Goal: calls go to whichever master leads, and never twice. Method: scripted servers and a source that
// the test turns, on a clock that stands still where time matters.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import {
  BatchPutEnd,
  ExistKey,
  GetFsdir,
  PutEnd,
  PutRevoke,
  PutStart,
  Remove,
} from "../../proto/messages.ts";
import { ReplicaType } from "../../proto/types.ts";
import { replicateConfig } from "../../tests/support/core_driver.ts";
import { type ReceivedCall, ScriptedRpcServer } from "../../tests/support/rpc_server.ts";
import { until } from "../../tests/support/until.ts";
import { systemClock } from "../transfer/clock.ts";
import { LeaderClient } from "./leader_client.ts";
import { ListLeaderSource } from "./list_source.ts";
import type { LeaderSource } from "./source.ts";

/** A source that says what a test wants. */
class TurnedSource implements LeaderSource {
  leader: string | null = null;
  failure: Error | null = null;
  asked = 0;
  readonly nobody = "the test names nobody";

  constructor(readonly cheap = false) {}

  open(): Promise<void> {
    return Promise.resolve();
  }

  find(): Promise<string | null> {
    this.asked++;
    return this.failure === null ? Promise.resolve(this.leader) : Promise.reject(this.failure);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function clientOf(source: LeaderSource, connectTimeoutMs = 2000) {
  const lines: string[] = [];
  const client = new LeaderClient({
    ...{ source, clock: systemClock, connectTimeoutMs, requestTimeoutMs: 2000 },
    log: (line) => lines.push(line),
  });
  return { client, lines };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const key = bytes("key");
const tenantId = bytes("default");
const removal = { key, force: true, tenantId };
const start = {
  ...{ clientId: "1-1" as const, key, sliceLength: 8, config: replicateConfig(), tenantId },
};

/** A client whose first leader answers nothing; `turn` makes another one lead. */
async function turning(answer: (call: ReceivedCall) => void) {
  const got: ReceivedCall[] = [];
  const silent = await ScriptedRpcServer.start((call) => got.push(call));
  const second = await ScriptedRpcServer.start(answer);
  const source = new TurnedSource(true);
  source.leader = silent.address;
  const { client } = clientOf(source);
  return {
    client,
    got,
    turn: () => source.leader = second.address,
    async [Symbol.asyncDispose]() {
      await client.close();
      await silent[Symbol.asyncDispose]();
      await second[Symbol.asyncDispose]();
    },
  };
}

function serverOf(name: string): Promise<ScriptedRpcServer> {
  return ScriptedRpcServer.start((call) => call.answer({ code: 0, value: name }));
}

const codeOf = (call: Promise<unknown>) =>
  call.then(() => ErrorCode.OK, (error) => (error as StoreError).code);

Deno.test("a call waits for a leader, and fails when there is none in time", async () => {
  await using server = await serverOf("one");
  const source = new TurnedSource();
  await using client = clientOf(source).client;
  const call = client.call(GetFsdir, null);
  await until(() => source.asked > 1);
  source.leader = server.address;
  assert.equal((await call).value, "one");
  assert.equal(client.address, server.address);
  await using lonely = clientOf(new TurnedSource(), 150).client;
  assert.equal(await codeOf(lonely.call(GetFsdir, null)), ErrorCode.RPC_FAIL);
});

Deno.test("when the leader is gone, the next calls go to the one that is found", async () => {
  await using second = await serverOf("second");
  const first = await serverOf("first");
  const source = new TurnedSource();
  source.leader = first.address;
  const { client, lines } = clientOf(source, 200);
  await using _client = client;
  let changes = 0;
  client.onChange = () => changes++;
  assert.equal((await client.call(GetFsdir, null)).value, "first");
  assert.equal(changes, 0, "the first leader is no change");
  await first[Symbol.asyncDispose]();
  const read = client.call(GetFsdir, null);
  // It fails if it was sent before the end of the connection was noticed, and is not sent again then.
  const removed = codeOf(client.call(Remove, removal));
  source.leader = second.address;
  assert.deepEqual((await read).value, "second");
  assert([ErrorCode.OK, ErrorCode.RPC_FAIL].includes(await removed as 0));
  assert.equal(await codeOf(client.call(Remove, removal)), ErrorCode.OK);
  assert.equal(client.address, second.address);
  assert.equal((await client.call(GetFsdir, null)).value, "second");
  assert.equal(changes, 1);
  assert.deepEqual(lines, [`the master at ${second.address} leads now`]);
});

Deno.test("a leader that fell silent is left as soon as another one leads; a change is not sent again", async () => {
  await using silent = await ScriptedRpcServer.start(() => {});
  await using second = await serverOf("second");
  const source = new TurnedSource(true);
  source.leader = silent.address;
  await using client = clientOf(source).client;
  const change = codeOf(client.call(Remove, removal));
  const unnumbered = codeOf(client.call(PutStart, start));
  const read = client.call(ExistKey, { key, tenantId });
  await until(() => client.address === silent.address && silent.chunks > 0);
  source.leader = second.address;
  assert.deepEqual(await Promise.all([change, unnumbered]), [
    ErrorCode.RPC_FAIL,
    ErrorCode.RPC_FAIL,
  ]);
  assert.equal((await read).code, ErrorCode.OK);
  assert.equal((await client.call(GetFsdir, null)).value, "second");
});

Deno.test("a numbered start is revoked at the new leader before it is sent again", async () => {
  const seen: string[] = [];
  await using world = await turning((call) => {
    seen.push(call.rpc.name);
    const revoked = call.rpc.functionId === PutRevoke.functionId;
    call.answer(
      revoked ? { code: ErrorCode.OBJECT_NOT_FOUND, value: null } : { code: 0, value: [] },
    );
  });
  const started = world.client.call(PutStart, start, 7);
  await until(() => world.got.length === 1);
  world.turn();
  assert.deepEqual(await started, { code: 0, value: [] });
  assert.deepEqual(seen, [PutRevoke.name, PutStart.name]);
});

Deno.test("a numbered end is sent again, and only its success is believed", async () => {
  let code: number = ErrorCode.OK;
  await using world = await turning((call) => {
    const one = { code, value: null };
    if (call.rpc.functionId === PutEnd.functionId) return call.answer(one);
    call.answer([{ code: 0, value: null }, { code: ErrorCode.ILLEGAL_CLIENT, value: null }]);
  });
  const objectMeta = { key, objectChecksum: null };
  const replicaType = ReplicaType.ALL;
  const end = { clientId: "1-1" as const, objectMeta, replicaType, tenantId };
  const batch = {
    ...{ clientId: "1-1" as const, objectMetas: [objectMeta, objectMeta], replicaType, tenantId },
  };
  const ended = world.client.call(PutEnd, end, 7);
  const batchEnded = world.client.call(BatchPutEnd, batch, 8);
  await until(() => world.got.length === 2);
  world.turn();
  assert.equal((await ended).code, ErrorCode.OK);
  assert.deepEqual((await batchEnded).map(({ code }) => code), [ErrorCode.OK, ErrorCode.RPC_FAIL]);

  code = ErrorCode.ILLEGAL_CLIENT;
  await using other = await turning((call) => call.answer({ code, value: null }));
  const doubtful = codeOf(other.client.call(PutEnd, end, 9));
  await until(() => other.got.length === 1);
  other.turn();
  assert.equal(await doubtful, ErrorCode.RPC_FAIL, "it may have been done by the first leader");
});

Deno.test("the number of a write reaches the leader", async () => {
  const lengths: number[] = [];
  await using server = await ScriptedRpcServer.start((call) => {
    call.socket.once("data", (chunk: Uint8Array) => lengths.push(chunk.length));
    call.answer({ code: 0, value: [] });
  });
  const source = new TurnedSource();
  source.leader = server.address;
  await using client = clientOf(source).client;
  await client.call(PutStart, start);
  await client.call(PutStart, start);
  await client.call(PutStart, start, 7);
  await until(() => lengths.length === 2);
  assert.equal(lengths[1] - lengths[0], 8);
});

Deno.test("a source that cannot be asked, or talks nonsense, changes nothing", async () => {
  await using server = await serverOf("one");
  const source = new TurnedSource(true);
  source.leader = server.address;
  const { client, lines } = clientOf(source);
  await using _client = client;
  await client.call(GetFsdir, null);
  source.failure = new Error("no etcd");
  await until(() => lines.length > 0);
  source.failure = null;
  source.leader = "nonsense";
  await until(() => lines.length > 1);
  assert.match(lines[0], /^cannot ask who leads: no etcd$/);
  assert.match(lines[1], /the leader's address is malformed: "nonsense"/);
  assert.equal((await client.call(GetFsdir, null)).value, "one");
});

Deno.test("of a list of masters the one that answers leads", async () => {
  await using silent = await ScriptedRpcServer.start(() => {});
  await using server = await ScriptedRpcServer.start((call) =>
    call.answer({ code: 0, value: "2.0.0" })
  );
  const addresses = ["127.0.0.1:1", silent.address, server.address];
  const source = new ListLeaderSource(addresses, systemClock);
  assert.equal(await source.find(), server.address);
  assert.equal(await new ListLeaderSource(["127.0.0.1:1"], systemClock).find(), null);
});

// Goal: calls go to whichever master leads, and never twice. Method: scripted servers and a source that
// the test turns, on a clock that stands still where time matters.
import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { GetFsdir } from "../../proto/messages.ts";
import { ScriptedRpcServer } from "../../tests/support/rpc_server.ts";
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
  assert.equal(await codeOf(client.call(GetFsdir, null)), ErrorCode.RPC_FAIL);
  source.leader = second.address;
  await until(() => client.address === second.address);
  assert.equal((await client.call(GetFsdir, null)).value, "second");
  assert.equal(changes, 1);
  assert.deepEqual(lines, [`the master at ${second.address} leads now`]);
});

Deno.test("a leader that fell silent is left as soon as another one leads; its calls fail", async () => {
  await using silent = await ScriptedRpcServer.start(() => {});
  await using second = await serverOf("second");
  const source = new TurnedSource(true);
  source.leader = silent.address;
  await using client = clientOf(source).client;
  const call = codeOf(client.call(GetFsdir, null));
  await until(() => client.address === silent.address);
  source.leader = second.address;
  assert.equal(await call, ErrorCode.RPC_FAIL);
  assert.equal((await client.call(GetFsdir, null)).value, "second");
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

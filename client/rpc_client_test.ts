import assert from "node:assert/strict";
import { TransportErrorCode } from "../proto/coro_rpc/header.ts";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import {
  BatchReplicaClear,
  ExistKey,
  GetReplicaList,
  GracefulUnmountSegment,
  ServiceReady,
} from "../proto/messages.ts";
import { FakeClock } from "../tests/support/fake_clock.ts";
import { type ReceivedCall, ScriptedRpcServer } from "../tests/support/rpc_server.ts";
import { until } from "../tests/support/until.ts";
import { type Connector, openConnector } from "./connection/open_connector.ts";
import { RpcClient } from "./rpc_client.ts";

const tenantId = new TextEncoder().encode("default");
const request = (i: number) => ({ key: Uint8Array.of(i), tenantId });
const yes = { code: 0, value: true };

/** How the clients of the running test connect. */
let connector: Connector;

function clientOf(server: { port: number }, clock = new FakeClock()): RpcClient {
  const { connect } = connector;
  return new RpcClient({ host: "127.0.0.1", port: server.port, clock, connect });
}

const shim = openConnector();
await shim[Symbol.asyncDispose]();

/** A test that is run over the shim and over `node:net`. */
function over(name: string, run: () => Promise<void>): void {
  for (const native of [true, false]) {
    const skipped = native && !shim.native ? " (skipped: there is no shim)" : "";
    Deno.test({
      name: `${native ? "shim" : "node:net"}: ${name}${skipped}`,
      ignore: skipped !== "",
      fn: async () => {
        await using made = openConnector(native ? undefined : "off");
        connector = made;
        await run();
      },
    });
  }
}

async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof StoreError, String(error));
    return error;
  }
  throw new Error("the call succeeded");
}

/** Collects calls until the test answers them. */
class Inbox {
  readonly calls: ReceivedCall[] = [];
  readonly take = (call: ReceivedCall) => {
    this.calls.push(call);
  };

  async holds(count: number): Promise<ReceivedCall[]> {
    await until(() => this.calls.length >= count);
    return this.calls;
  }
}

/** A port that nothing listens on. */
async function freePort(): Promise<number> {
  await using server = await ScriptedRpcServer.start(() => {});
  return server.port;
}

over("calls of one turn leave together and are matched to answers in any order", async () => {
  const inbox = new Inbox();
  await using server = await ScriptedRpcServer.start(inbox.take);
  await using client = clientOf(server);
  const warm = client.call(ServiceReady, null);
  (await inbox.holds(1))[0].answer({ code: 0, value: "2.0.0" });
  assert.deepEqual(await warm, { code: 0, value: "2.0.0" });

  const before = server.chunks;
  const answers = Array.from({ length: 50 }, (_, i) => client.call(ExistKey, request(i)));
  const calls = (await inbox.holds(51)).slice(1);
  assert.ok(server.chunks - before <= 2, `${server.chunks - before} chunks`);
  for (const call of calls.toReversed()) {
    const { key } = call.request as { key: Uint8Array };
    call.answer({ code: 0, value: key[0] % 2 === 0 });
  }
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    assert.deepEqual(answer, { code: 0, value: i % 2 === 0 });
  }
  assert.equal(server.connections, 1);
});

over("a refused call names method, address and reason, and the connection goes on", async () => {
  await using server = await ScriptedRpcServer.start((call) => {
    if (call.rpc.name === "ExistKey") call.answer(yes);
    else call.refuse(TransportErrorCode.FUNCTION_NOT_REGISTERED, "no such function");
  });
  await using client = clientOf(server);
  const error = await failureOf(client.call(ServiceReady, null));
  assert.equal(error.code, ErrorCode.RPC_FAIL);
  assert.match(
    error.message,
    /^Cannot call ServiceReady at 127\.0\.0\.1:\d+: no such function \(transport error 11\)/,
  );
  assert.deepEqual(await client.call(ExistKey, request(1)), yes);
  assert.equal(server.connections, 1);
});

over("a malformed answer fails its call alone", async () => {
  await using server = await ScriptedRpcServer.start((call) => {
    const { key } = call.request as { key: Uint8Array };
    if (key[0] === 0) call.answerAs(ServiceReady, { code: 0, value: "x" });
    else call.answer(yes);
  });
  await using client = clientOf(server);
  const [first, second] = await Promise.allSettled([
    client.call(ExistKey, request(0)),
    client.call(ExistKey, request(1)),
  ]);
  assert.equal(first.status, "rejected");
  assert.match(first.reason.message, /the answer is malformed/);
  assert.equal((first.reason.cause as Error).name, "ProtocolError");
  assert.deepEqual(second, { status: "fulfilled", value: yes });
  assert.equal(server.connections, 1);
});

over("a stream that is not the protocol ends the connection and fails its calls", async () => {
  let garbage = true;
  await using server = await ScriptedRpcServer.start((call) => {
    if (garbage) call.socket.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    else call.answer(yes);
    garbage = false;
  });
  await using client = clientOf(server, new FakeClock());
  const error = await failureOf(client.call(ExistKey, request(1)));
  assert.equal(error.code, ErrorCode.RPC_FAIL);
  assert.equal((error.cause as Error).name, "ProtocolError");
});

over("an unanswered call times out and a silent connection is replaced", async () => {
  const inbox = new Inbox();
  const clock = new FakeClock();
  await using server = await ScriptedRpcServer.start(inbox.take);
  await using client = clientOf(server, clock);
  const first = failureOf(client.call(ExistKey, request(1)));
  await inbox.holds(1);
  await clock.advance(4999);
  const second = failureOf(client.call(GetReplicaList, request(2)));
  await inbox.holds(2);
  await clock.advance(1);
  const timeout = await first;
  assert.equal(timeout.code, ErrorCode.RPC_TIMEOUT);
  assert.match(timeout.message, /^ExistKey at 127\.0\.0\.1:\d+ was not answered in 5000 ms/);
  const lost = await second;
  assert.equal(lost.code, ErrorCode.RPC_FAIL);
  assert.match((lost.cause as Error).message, /fallen silent/);

  const third = client.call(ExistKey, request(3));
  await clock.advance(50);
  (await inbox.holds(3))[2].answer(yes);
  assert.deepEqual(await third, yes);
  assert.equal(server.connections, 2);
});

over("a slow call times out alone and its late answer is dropped", async () => {
  const inbox = new Inbox();
  const clock = new FakeClock();
  await using server = await ScriptedRpcServer.start(inbox.take);
  await using client = clientOf(server, clock);
  const slow = failureOf(client.call(ExistKey, request(1)));
  const [held] = await inbox.holds(1);
  await clock.advance(3000);
  const quick = client.call(ExistKey, request(2));
  (await inbox.holds(2))[1].answer(yes);
  await quick;
  await clock.advance(2000);
  assert.equal((await slow).code, ErrorCode.RPC_TIMEOUT);
  held.answer({ code: 0, value: false });
  const after = client.call(ExistKey, request(3));
  (await inbox.holds(3))[2].answer(yes);
  assert.deepEqual(await after, yes);
  assert.equal(server.connections, 1);
});

over("a client that was held up reads what has arrived before it gives calls up", async () => {
  const inbox = new Inbox();
  const clock = new FakeClock();
  await using server = await ScriptedRpcServer.start(inbox.take);
  await using client = clientOf(server, clock);
  const call = client.call(ExistKey, request(1));
  const [held] = await inbox.holds(1);
  await clock.stall(8000);
  held.answer(yes);
  assert.deepEqual(await call, yes);

  const silent = failureOf(client.call(ExistKey, request(2)));
  await inbox.holds(2);
  await clock.stall(8000);
  await clock.advance(100);
  assert.equal((await silent).code, ErrorCode.RPC_TIMEOUT);
});

over("with no server a call fails in the time for connecting, naming the cause", async () => {
  const port = await freePort();
  const clock = new FakeClock();
  await using client = clientOf({ port }, clock);
  let settled = false;
  const failure = failureOf(client.call(ExistKey, request(1))).finally(() => settled = true);
  await until(async () => {
    await clock.advance(10);
    return settled;
  });
  const error = await failure;
  assert.equal(error.code, ErrorCode.RPC_FAIL);
  assert.match(error.message, /there was no connection for 1000 ms: .*refused/i);
  assert.ok(clock.now() >= 1000);
});

over("a call made before the server is there reaches it once it is", async () => {
  const port = await freePort();
  const clock = new FakeClock();
  await using client = clientOf({ port }, clock);
  let answered = false;
  const answer = client.call(ExistKey, request(1)).finally(() => answered = true);
  await until(() => clock.pending === 2);
  await using _server = await ScriptedRpcServer.start((call) => call.answer(yes), port);
  await until(async () => {
    await clock.advance(2);
    return answered;
  });
  assert.deepEqual(await answer, yes);
});

over("a call that gave up waiting for a connection is not sent later", async () => {
  const port = await freePort();
  const clock = new FakeClock();
  await using client = clientOf({ port }, clock);
  const early = failureOf(client.call(ExistKey, request(1)));
  let gaveUp = false;
  early.then(() => gaveUp = true);
  await until(async () => {
    await clock.advance(100);
    return gaveUp;
  });
  const inbox = new Inbox();
  await using _server = await ScriptedRpcServer.start(inbox.take, port);
  const late = client.call(ExistKey, request(2));
  await until(async () => {
    await clock.advance(5);
    return inbox.calls.length > 0;
  });
  inbox.calls[0].answer(yes);
  assert.deepEqual(await late, yes);
  assert.deepEqual(inbox.calls.map(({ request }) => (request as { key: Uint8Array }).key[0]), [2]);
});

over("calls in flight fail when the connection is lost and the next one reconnects", async () => {
  let hangUp = true;
  await using server = await ScriptedRpcServer.start((call) => {
    if (call.rpc.name === "ServiceReady") call.answer({ code: 0, value: "x" });
    else if (hangUp) call.socket.destroy();
    else call.answer(yes);
  });
  await using client = clientOf(server);
  await client.call(ServiceReady, null);
  const error = await failureOf(client.call(ExistKey, request(1)));
  assert.equal(error.code, ErrorCode.RPC_FAIL);
  assert.match(error.message, /the connection was lost/);
  hangUp = false;
  assert.deepEqual(await client.call(ExistKey, request(2)), yes);
  assert.equal(server.connections, 2);
});

over("arguments that cannot be encoded send nothing and leave other calls alone", async () => {
  const inbox = new Inbox();
  await using server = await ScriptedRpcServer.start(inbox.take);
  await using client = clientOf(server);
  const good = client.call(ExistKey, request(1));
  const bad = { segmentId: "1-2", clientId: "nobody", gracePeriodMs: 0 };
  await assert.rejects(client.call(GracefulUnmountSegment, bad), RangeError);
  const alsoGood = client.call(ExistKey, request(2));
  for (const call of await inbox.holds(2)) call.answer(yes);
  assert.deepEqual(await Promise.all([good, alsoGood]), [yes, yes]);
  assert.equal(inbox.calls.length, 2);
});

over("closing fails what is in flight and everything after", async () => {
  const inbox = new Inbox();
  const clock = new FakeClock();
  await using server = await ScriptedRpcServer.start(inbox.take);
  const client = clientOf(server, clock);
  const call = failureOf(client.call(ExistKey, request(1)));
  await inbox.holds(1);
  await client.close();
  assert.match((await call).message, /was closed/);
  assert.match((await failureOf(client.call(ExistKey, request(2)))).message, /is closed/);
  assert.equal(clock.pending, 0);
  await client.close();
});

over("closing while connecting or waiting to connect leaves nothing behind", async () => {
  await using server = await ScriptedRpcServer.start(() => {});
  const clock = new FakeClock();
  const connecting = clientOf(server, clock);
  const first = failureOf(connecting.call(ExistKey, request(1)));
  await connecting.close();
  assert.match((await first).message, /was closed/);

  const waiting = clientOf({ port: await freePort() }, clock);
  const second = failureOf(waiting.call(ExistKey, request(1)));
  await until(() => clock.pending === 2);
  await waiting.close();
  assert.match((await second).message, /was closed/);
  assert.equal(clock.pending, 0);
});

over("requests and answers larger than a socket's buffer pass", async () => {
  await using server = await ScriptedRpcServer.start((call) => {
    call.answer({ code: 0, value: [] });
  });
  await using client = clientOf(server, new FakeClock());
  const objectKeys = [new Uint8Array(3 << 20).fill(1), new Uint8Array(2 << 20).fill(2)];
  const big = { objectKeys, clientId: "1-2", segmentName: "" };
  const answers = await Promise.all([1, 2, 3].map(() => client.call(BatchReplicaClear, big)));
  assert.deepEqual(answers, [1, 2, 3].map(() => ({ code: 0, value: [] })));
});

import assert from "node:assert/strict";
import process from "node:process";
import { ExistKey } from "../../proto/messages.ts";
import { ScriptedRpcServer } from "../../tests/support/rpc_server.ts";
import { until } from "../../tests/support/until.ts";
import { RpcClient } from "../rpc_client.ts";
import { systemClock } from "../transfer/clock.ts";
import { openConnector } from "./open_connector.ts";

const request = { key: Uint8Array.of(1), tenantId: new TextEncoder().encode("default") };
const yes = { code: 0, value: true };

const shim = openConnector();
await shim[Symbol.asyncDispose]();

function withShim(name: string, fn: () => Promise<void>): void {
  const skipped = shim.native ? "" : " (skipped: there is no shim)";
  Deno.test({ name: name + skipped, ignore: skipped !== "", fn });
}

/** A server in a thread of its own, which answers every call with yes. */
class Answerer implements AsyncDisposable {
  readonly #worker: Worker;

  private constructor(worker: Worker, readonly port: number) {
    this.#worker = worker;
  }

  static async start(): Promise<Answerer> {
    const url = new URL("../../tests/support/answerer_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const port = await new Promise<number>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
    return new Answerer(worker, port);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#worker.terminate();
    return Promise.resolve();
  }
}

withShim("a connection that is made when it has been given up is told of as lost", async () => {
  await using connector = openConnector();
  await using server = await Answerer.start();
  for (let turns = 0; turns < 20; turns++) {
    let told: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const connection = connector.connect!({
      ...{ host: "127.0.0.1", port: server.port, clock: systemClock },
    }, {
      opened: () => told.push("opened"),
      received: () => told.push("received"),
      lost(error) {
        told.push(error.message);
        resolve();
      },
      expects: () => false,
    });
    for (let i = 0; i < turns; i++) await null;
    told = [];
    connection.destroy(new Error("given up"));
    await promise;
    assert.deepEqual(told, ["given up"], `after ${turns} turns`);
  }
});

withShim("timers fire while a chain of calls runs", async () => {
  await using connector = openConnector();
  await using server = await Answerer.start();
  const { connect } = connector;
  await using client = new RpcClient({
    ...{ host: "127.0.0.1", port: server.port, clock: systemClock, connect },
  });
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const end = performance.now() + 10_000;
  let calls = 0;
  while ((ticks < 20 || calls < 200) && performance.now() < end) {
    assert.deepEqual(await client.call(ExistKey, request), yes);
    calls++;
  }
  clearInterval(timer);
  assert.ok(ticks >= 20, `${ticks} ticks during ${calls} calls`);
});

withShim("a client that waits for nothing, or for a silent server, uses no processor", async () => {
  await using connector = openConnector();
  let silent = false;
  const held: (() => void)[] = [];
  await using server = await ScriptedRpcServer.start((call) => {
    if (silent) held.push(() => call.answer(yes));
    else call.answer(yes);
  });
  const { connect } = connector;
  await using client = new RpcClient({
    ...{ host: "127.0.0.1", port: server.port, clock: systemClock, connect },
  });
  await client.call(ExistKey, request);
  const spent = async () => {
    const { user, system } = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const after = process.cpuUsage();
    return (after.user + after.system - user - system) / 1000;
  };
  const least = async () => Math.min(await spent(), await spent(), await spent());
  const idle = await least();
  assert.ok(idle < 30, `${idle} ms of 300 while idle`);
  silent = true;
  const answer = client.call(ExistKey, request);
  await until(() => held.length === 1);
  const waiting = await least();
  assert.ok(waiting < 30, `${waiting} ms of 300 while a call waits`);
  held[0]();
  assert.deepEqual(await answer, yes);
});

withShim("a name is looked up, and its addresses are tried in turn", async () => {
  await using connector = openConnector();
  await using server = await ScriptedRpcServer.start((call) => call.answer(yes));
  const { connect } = connector;
  await using client = new RpcClient({
    ...{ host: "localhost", port: server.port, clock: systemClock, connect },
  });
  assert.deepEqual(await client.call(ExistKey, request), yes);
});

withShim("a name that does not exist fails the call with its reason", async () => {
  await using connector = openConnector();
  const { connect } = connector;
  await using client = new RpcClient({
    ...{ host: "no-such-host.invalid", port: 1, clock: systemClock, connect },
    connectTimeoutMs: 200,
  });
  await assert.rejects(client.call(ExistKey, request), /there was no connection for 200 ms/);
});

withShim(
  "a hang-up of an idle connection is seen at once, and the next call reconnects",
  async () => {
    await using connector = openConnector();
    await using server = await ScriptedRpcServer.start((call) => call.answer(yes));
    const { connect } = connector;
    await using client = new RpcClient({
      ...{ host: "127.0.0.1", port: server.port, clock: systemClock, connect },
    });
    assert.deepEqual(await client.call(ExistKey, request), yes);
    server.hangUp();
    await until(() => !client.connected);
    assert.deepEqual(await client.call(ExistKey, request), yes);
    assert.equal(server.connections, 2);
  },
);

/** What our client relies on in a master, asked of the reference's. */
import assert from "node:assert/strict";
import { freePort, LocalProcess } from "../../examples/local_cluster.ts";
import { MasterClient } from "../../client/master_client.ts";
import { RpcClient } from "../../client/rpc_client.ts";
import { systemClock } from "../../client/transfer/clock.ts";
import { RequestSplitter } from "../../proto/coro_rpc/splitter.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { rpcById, rpcByName } from "../../proto/messages.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import {
  ClientStatus,
  ReplicaStatus,
  type ReplicateConfig,
  ReplicaType,
} from "../../proto/types.ts";
import { findWheel } from "../support/wheel.ts";
import { fromHex, loadWireVectors } from "../support/wire_vectors.ts";

const utf8 = new TextEncoder();
const tenantId = utf8.encode("default");
const clientId = "11-12";
const config: ReplicateConfig = {
  replicaNum: 1,
  nofReplicaNum: 0,
  dfsReplicaNum: 0,
  softPinAction: 0,
  softPinTtlMs: null,
  withHardPin: false,
  preferredSegments: [],
  preferredSegment: "",
  preferredNofSegments: [],
  preferAllocInSameNode: false,
  dataType: 0,
  hostId: "",
  groupIds: null,
};
const segment = {
  id: "21-22",
  name: "node-a",
  base: 0x5eed_0000_0000n,
  size: 64 << 20,
  teEndpoint: "10.0.0.1:15000",
  protocol: "tcp",
  hostId: "",
};

interface Master extends AsyncDisposable {
  port: number;
}

interface Implementation {
  name: string;
  /** Why it cannot run here, or `null`. */
  missing: string | null;
  start(): Promise<Master>;
}

async function reference(): Promise<Implementation> {
  const wheel = await findWheel();
  return {
    name: "the reference's master",
    missing: "python" in wheel ? null : wheel.reason,
    async start() {
      assert.ok("python" in wheel);
      const [port, metrics] = [await freePort(), await freePort()];
      const flags = [`--port=${port}`, `--metrics_port=${metrics}`];
      const process = new LocalProcess("reference master", wheel.master, flags);
      return { port, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
    },
  };
}

async function connect(port: number): Promise<{ rpc: RpcClient; master: MasterClient }> {
  const rpc = new RpcClient({
    host: "127.0.0.1",
    port,
    clock: systemClock,
    connectTimeoutMs: 20_000,
  });
  const master = new MasterClient(rpc);
  await master.checkVersion();
  return { rpc, master };
}

/** The codes of a sequence of calls on one object, and what they answer on the way. */
async function objectLife(master: MasterClient): Promise<void> {
  const request = { key: Uint8Array.of(0x6b, 0xff, 0x00), tenantId };
  const start = { clientId, ...request, sliceLength: 4096, config };
  const end = {
    clientId,
    objectMeta: { key: request.key, objectChecksum: 0xffff_ffff_ffff_fff0n },
    replicaType: ReplicaType.ALL,
    tenantId,
  };
  assert.equal((await master.putStart(start)).code, ErrorCode.NO_AVAILABLE_HANDLE);
  assert.equal((await master.mountSegment({ segment, clientId })).code, 0);
  assert.equal((await master.ping({ clientId })).value?.clientStatus, ClientStatus.NEED_REMOUNT);
  assert.equal((await master.reMountSegment({ segments: [segment], clientId })).code, 0);
  assert.equal((await master.ping({ clientId })).value?.clientStatus, ClientStatus.OK);

  assert.deepEqual(await master.existKey(request), { code: 0, value: false });
  assert.equal((await master.getReplicaList(request)).code, ErrorCode.OBJECT_NOT_FOUND);
  const started = await master.putStart(start);
  assert.equal(started.value?.length, 1);
  assert.equal(started.value[0].status, ReplicaStatus.PROCESSING);
  assert.equal((await master.getReplicaList(request)).code, ErrorCode.REPLICA_IS_NOT_READY);
  assert.equal((await master.putEnd(end)).code, 0);
  assert.deepEqual(await master.existKey(request), { code: 0, value: true });

  const list = (await master.getReplicaList(request)).value!;
  assert.ok(list.leaseTtlMs > 0);
  assert.equal(list.objectChecksum, 0xffff_ffff_ffff_fff0n);
  const [{ location, status }] = list.replicas;
  assert.equal(status, ReplicaStatus.COMPLETE);
  assert.ok(location.kind === "memory");
  assert.equal(location.buffer.size, 4096);
  assert.equal(location.buffer.transportEndpoint, segment.teEndpoint);
  const offset = location.buffer.bufferAddress - segment.base;
  assert.ok(offset >= 0n && offset <= BigInt(segment.size - 4096));

  assert.equal((await master.putStart(start)).code, ErrorCode.OBJECT_ALREADY_EXISTS);
  assert.equal(
    (await master.remove({ ...request, force: false })).code,
    ErrorCode.OBJECT_HAS_LEASE,
  );
  assert.equal((await master.remove({ ...request, force: true })).code, 0);
}

async function batches(master: MasterClient): Promise<void> {
  const keys = Array.from({ length: 300 }, (_, i) => utf8.encode(`batch/${i}`));
  const started = await master.batchPutStart({
    clientId,
    keys,
    sliceLengths: keys.map((_, i) => 100 + i),
    config,
    tenantId,
  });
  assert.deepEqual(new Set(started.map(({ code }) => code)), new Set([0]));
  const ended = await master.batchPutEnd({
    clientId,
    objectMetas: keys.map((key) => ({ key, objectChecksum: null })),
    replicaType: ReplicaType.ALL,
    tenantId,
  });
  assert.deepEqual(ended, keys.map(() => ({ code: 0, value: null })));
  const asked = [...keys, utf8.encode("absent")];
  const exist = await master.batchExistKey({ keys: asked, tenantId });
  assert.deepEqual(exist, asked.map((_, i) => ({ code: 0, value: i < 300 })));
  const lists = await master.batchGetReplicaList({ keys: asked, tenantId });
  for (const [i, { code, value }] of lists.entries()) {
    assert.equal(code, i < 300 ? 0 : ErrorCode.OBJECT_NOT_FOUND);
    if (value === null) continue;
    const [{ location }] = value.replicas;
    assert.equal(location.kind === "memory" && location.buffer.size, 100 + i);
  }
  assert.equal(await master.removeAll({ force: true, tenantId }), 300);
}

/** Sends the request of every golden exchange; whatever is answered must be of the right type. */
async function allCalls(rpc: RpcClient): Promise<void> {
  const asked = new Set<string>();
  for (const { request_hex } of loadWireVectors().vectors) {
    const frame = fromHex(request_hex);
    const splitter = new RequestSplitter();
    splitter.feed(frame);
    assert.ok(splitter.next());
    const called = rpcById.get(splitter.functionId)!;
    const reader = new Reader(frame, splitter.bodyStart, splitter.bodyEnd);
    await rpc.call(called, called.request === null ? null : called.request.decode(reader));
    asked.add(called.name);
  }
  assert.equal(asked.size, rpcByName.size);
}

for (const { name, missing, start } of [await reference()]) {
  Deno.test({
    name: `${name} answers all calls of our client${missing ? ` (skipped: ${missing})` : ""}`,
    ignore: missing !== null,
    async fn() {
      await using process = await start();
      const { rpc, master } = await connect(process.port);
      await using _closing = rpc;
      await objectLife(master);
      await batches(master);
      await allCalls(rpc);
    },
  });
}

/** What clients and nodes do when masters, nodes and their documents come and go. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { type MasterKind, ourMaster, referenceMaster } from "../support/masters.ts";
import { until } from "../support/until.ts";

const root = new URL("../../", import.meta.url).pathname;
const value = new Uint8Array(100_000).map((_, i) => i * 7);

function test(name: string, fn: () => Promise<void>, kind: MasterKind = ourMaster): void {
  const { missing } = kind;
  const title = `${name}, ${kind.name}${missing === null ? "" : ` (skipped: ${missing})`}`;
  Deno.test({ name: title, ignore: missing !== null, fn });
}

/** Starts a node process whose start is not awaited. */
function spawnNode(...flags: string[]): LocalProcess {
  const args = ["run", "-A", `${root}client/node/main.ts`, "--host=127.0.0.1"];
  return new LocalProcess("node", Deno.execPath(), [...args, "--data_port=0", ...flags]);
}

for (const kind of [referenceMaster, ourMaster]) {
  test("a restarted master finds its clients again, and they it", async () => {
    const rpcPort = await freePort();
    let { process: master } = await kind.start({ rpcPort });
    const lines: string[] = [];
    const common = { masterServerAddress: `127.0.0.1:${rpcPort}`, rpcConnectTimeoutMs: 200 };
    const node = await StoreClient.connect({
      ...common,
      globalSegmentSize: "32mb",
      log: (line) => lines.push(line),
    });
    const client = await StoreClient.connect(common);
    try {
      await client.put("before", value);
      await master.stop("SIGKILL");
      const begun = performance.now();
      await assert.rejects(client.put("while", value), { code: ErrorCode.RPC_FAIL });
      const [result] = await client.batchPut([{ key: "while", value }]);
      assert.equal(result.code, ErrorCode.RPC_FAIL);
      assert(performance.now() - begun < 2000, "calls fail fast");
      await until(() => !node.connected);

      ({ process: master } = await kind.start({ rpcPort }));
      await until(async () => {
        try {
          return await client.put("after", value) === "stored";
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
          return false;
        }
      });
      assert.deepEqual(await client.get("after"), value);
      assert.equal(await client.get("before"), null, "the master kept nothing");
      await until(() => node.connected && client.connected);
      assert(lines.includes("the master answers again"), lines.join("\n"));
    } finally {
      await client.close();
      await node.close();
      await master.stop();
    }
  }, kind);
}

test("a node waits for its master, serves it, and leaves in order on SIGTERM", async () => {
  const rpcPort = await freePort();
  const address = `127.0.0.1:${rpcPort}`;
  const httpPort = await freePort();
  const node = spawnNode(`--master=${address}`, "--segment_size=16mb", `--http_port=${httpPort}`);
  try {
    await node.line(
      /^waiting \(\d+ s of 60 s\): No master answers at 127\.0\.0\.1:\d+: connection refused; /,
    );
    const health = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${httpPort}${path}`);
      return `${response.status} ${await response.text()}`;
    };
    assert.match(await health("/health/live"), /^200 OK/);
    assert.match(await health("/health/ready"), /^503 /);

    const { process: master } = await startMaster([], { rpcPort });
    try {
      const ready = await node.line(/^store node ready: /);
      assert.match(
        ready,
        /^store node ready: segment 127\.0\.0\.1:\d+, 16\.00 MiB, tcp \(\w+\), master 127\.0\.0\.1:\d+$/,
      );
      assert.match(await health("/health/ready"), /^200 OK/);
      if (ready.includes("tcp (native)")) {
        await node.line(/^store node memory: .*in pages of/);
        const memory = JSON.parse((await health("/health/memory")).replace(/^200 /, ""));
        const bytes = Object.values<number>(memory.pages).reduce((sum, part) => sum + part, 0);
        assert(bytes >= 16 << 20 && bytes < 18 << 20, `${bytes} bytes`);
        assert.match(
          await health("/metrics"),
          /^snowskin_node_memory_by_page_bytes\{page="\d+"\} \d+$/m,
        );
      } else assert.equal(await health("/health/memory"), "200 null");
      const client = await StoreClient.connect({ masterServerAddress: address });
      await client.put("k", value);
      assert.deepEqual(await client.get("k"), value);
      assert.match(await health("/metrics"), /snowskin_node_served_write_bytes_total 100000\n/);
      assert.match(await health("/nothing"), /^404 /);

      const begun = performance.now();
      const { code } = await node.stop("SIGTERM");
      assert.equal(code, 0);
      assert(performance.now() - begun < 5000);
      assert.equal(await client.get("k"), null, "its memory is no longer offered");
      await client.close();
    } finally {
      await master.stop();
    }
  } finally {
    await node.stop("SIGKILL");
  }
});

test("a reader goes on with the other replica when a node is killed", async () => {
  const { process: master, address } = await startMaster();
  const nodes = await Promise.all([1, 2].map(() => startNode(address, 16 << 20)));
  const client = await StoreClient.connect({ masterServerAddress: address });
  try {
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    for (const key of keys) await client.put(key, value, { replicaNum: 2 });
    await nodes[0].stop("SIGKILL");
    for (const key of keys) assert.deepEqual(await client.get(key), value);
    const results = await client.batchGet(keys);
    assert(results.every(({ value: got }) => got !== null && got[99_999] === value[99_999]));
    const lost = await client.put("only", value, { replicaNum: 2 }).catch((error) => error);
    assert(lost === "stored" || lost.code === ErrorCode.TRANSFER_FAIL, String(lost));
  } finally {
    await client.close();
    for (const node of nodes) await node.stop();
    await master.stop();
  }
});

test("documents that anybody replaced or deleted come back", async () => {
  const { process: master, address, metadataUrl } = await ourMaster.start();
  const common = { masterServerAddress: address, metadataServer: metadataUrl };
  const node = await StoreClient.connect({ ...common, globalSegmentSize: "16mb" });
  try {
    const [{ teEndpoint }] = node.segments;
    const urlOf = (key: string) => `${metadataUrl}?key=${encodeURIComponent(key)}`;
    const [segment, meta] = [`mooncake/ram/${teEndpoint}`, `mooncake/rpc_meta/${teEndpoint}`];
    const current = async (key: string) => {
      const response = await fetch(urlOf(key));
      const text = await response.text();
      return response.ok ? text : null;
    };
    const published = [await current(segment), await current(meta)];
    assert.match(published[0] ?? "", /"tcp_data_port":\d+/);
    const replace = { method: "PUT", body: '{"name":"somebody else"}' };
    await (await fetch(urlOf(segment), replace)).body?.cancel();
    await (await fetch(urlOf(meta), { method: "DELETE" })).body?.cancel();
    assert.notEqual(await current(segment), published[0]);
    await until(async () =>
      await current(segment) === published[0] && await current(meta) === published[1]
    );
    const reader = await StoreClient.connect(common);
    await reader.put("k", value);
    assert.deepEqual(await reader.get("k"), value);
    await reader.close();
    await node.close();
    assert.equal(await current(segment), null, "an orderly end withdraws the document");
  } finally {
    await node.close();
    await master.stop();
  }
});

for (const kind of [referenceMaster, ourMaster]) {
  test("a crashed node comes back under its name", async () => {
    const { process: master, address, metadataUrl } = await kind.start();
    const name = `127.0.0.1:${await freePort()}`;
    const flags = [
      `--master=${address}`,
      `--metadata_server=${metadataUrl}`,
      "--segment_size=16mb",
      `--host=${name}`,
    ];
    try {
      const first = spawnNode(...flags);
      assert((await first.line(/store node ready: /)).includes(`segment ${name},`));
      const clash = spawnNode(...flags);
      const refused = await clash.line(/is in use by the process that answers at/);
      assert.match(refused, /^snowskin store: /);
      assert.equal((await clash.status).code, 1);
      await first.stop("SIGKILL");
      const second = spawnNode(...flags);
      assert((await second.line(/store node ready: /)).includes(`segment ${name},`));
      const client = await StoreClient.connect({
        masterServerAddress: address,
        metadataServer: metadataUrl,
      });
      await until(async () => {
        await client.remove("k", { force: true }).catch(() => {});
        return await client.put("k", value).catch(() => null) === "stored";
      }, 20_000);
      assert.deepEqual(await client.get("k"), value);
      await client.close();
      await second.stop();
    } finally {
      await master.stop();
    }
  }, kind);
}

for (
  const [flags, code, line] of [
    [["--bogus"], 2, /^snowskin store: unknown flag --bogus; allowed: --master, /],
    [["--protocol=bogus"], 2, /^snowskin store: --protocol="bogus" is refused; allowed: tcp, rdma/],
    [["--segment_size=0"], 1, /^snowskin store: A client with neither a segment nor a local/],
    [
      ["--master=127.0.0.1:1"],
      1,
      /^snowskin store: No master answers at 127\.0\.0\.1:1: connection/,
    ],
    [
      ["--master=127.0.0.1:1,127.0.0.1:2", "--host=127.0.0.1"],
      1,
      /: No master answers at .*: 127\.0\.0\.1:1: connection refused, 127\.0\.0\.1:2: connection ref/,
    ],
    [
      ["--master=etcd://127.0.0.1:1", "--host=127.0.0.1"],
      1,
      /: No master leads by etcd:\/\/127\.0\.0\.1:1: etcd cannot be asked: connection refused; see/,
    ],
    [
      ["--master=redis://127.0.0.1:1/0", "--host=127.0.0.1"],
      1,
      /: No master leads by redis:.*: Redis cannot be asked: connection refused; see that it runs/,
    ],
  ] as const
) {
  Deno.test(`a node started with ${flags.join(" ")} says why not on one line`, async () => {
    const node = spawnNode("--max-wait-time=0", ...flags);
    await node.line(line);
    assert.equal((await node.status).code, code);
    assert.equal(node.lines.length, 1);
  });
}

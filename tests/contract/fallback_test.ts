/** What a client and a node do where RDMA is asked for and cannot be had. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { LocalProcess, startMaster } from "../../examples/local_cluster.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { loopModes } from "../support/master_process.ts";

/** No machine has a device of that name. */
const ABSENT = { protocol: "rdma", deviceName: "none_0" } as const;
const [native] = loopModes;
const value = new Uint8Array(10_000).map((_, i) => i * 7);

Deno.test("a client without RDMA uses TCP if that is allowed, and says so once", async () => {
  const { process: master, address: masterServerAddress } = await startMaster();
  await using _master = master;
  const lines: string[] = [];
  await using client = await StoreClient.connect({
    ...{ ...ABSENT, masterServerAddress, allowFallback: true, globalSegmentSize: 4 << 20 },
    log: (line) => lines.push(line),
  });
  assert.equal(await client.put("k", value), "stored");
  assert.deepEqual(await client.get("k"), value);
  const told = lines.filter((line) => line.includes("allowFallback"));
  assert.equal(told.length, 1, lines.join("\n"));
  assert.match(told[0], /^protocol="rdma" cannot be had, bytes go over tcp \(allowFallback\): \S/);
});

Deno.test("a client without RDMA is refused if nothing was allowed", async () => {
  const { process: master, address: masterServerAddress } = await startMaster();
  await using _master = master;
  await assert.rejects(StoreClient.connect({ ...ABSENT, masterServerAddress }), {
    ...{ code: ErrorCode.INVALID_PARAMS, message: /^protocol="rdma" cannot be had: \S/ },
  });
});

Deno.test("what is no absence of RDMA does not fall back", async () => {
  const { process: master, address: masterServerAddress } = await startMaster();
  await using _master = master;
  const allowed = { masterServerAddress, allowFallback: true } as const;
  const refused: [Parameters<typeof StoreClient.connect>[0], RegExp][] = [
    [{ ...allowed, protocol: "rdma", engine: "typescript" }, /the engine in TypeScript has none/],
    [{ ...allowed, protocol: "rdma", topologyFile: "/none.json" }, /none\.json/],
    [{ ...allowed, protocol: "barex" }, /allowFallback=true is refused; allowed: false with/],
    [{ ...allowed, protocol: "libfabric" }, /allowFallback=true is refused; allowed: false with/],
  ];
  for (const [options, message] of refused) {
    await assert.rejects(StoreClient.connect(options), { message });
  }
});

for (const { name, env, absent } of loopModes) {
  Deno.test({
    name: `a node falls back with one line, ${name}${
      absent === null ? "" : ` (skipped: ${absent})`
    }`,
    ignore: absent !== null,
    fn: async () => {
      const { process: master, address } = await startMaster();
      await using _master = master;
      await using node = new LocalProcess("node", Deno.execPath(), [
        ...["run", "-A", new URL("../../client/node/main.ts", import.meta.url).pathname],
        ...[`--master=${address}`, "--segment_size=4mb", "--data_port=0", "--protocol=rdma"],
        ...["--device_name=none_0", "--allow_fallback"],
      ], { env });
      const ready = await node.line(/^store node ready/);
      assert.match(ready, env === native.env ? /tcp .native/ : /tcp .typescript/);
      assert.equal(node.lines.filter((line) => line.includes("bytes go over tcp")).length, 1);
    },
  });
}

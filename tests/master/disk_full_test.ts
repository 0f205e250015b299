// Goal: with a full disk writes are refused with a clear code, reads go on, and nothing acknowledged is
// lost once there is space again, also across a kill in that state.
// Method: a small tmpfs as the data directory, filled up by a ballast file and let go again.
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, startMaster } from "../../examples/local_cluster.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { until } from "../support/until.ts";

const BYTES = 4 << 20;

async function run(command: string, ...args: string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, {
      args,
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch {
    return false;
  }
}

/** A file system of `BYTES`, or `null` where none can be mounted. */
async function smallDisk(): Promise<(AsyncDisposable & { path: string }) | null> {
  const path = await Deno.makeTempDir({ prefix: "snowskin-small-" });
  if (!await run("mount", "-t", "tmpfs", "-o", `size=${BYTES}`, "tmpfs", path)) {
    await Deno.remove(path);
    return null;
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      await run("umount", "-l", path);
      await Deno.remove(path);
    },
  };
}

/** Fills a disk to the last byte. */
function fill(path: string): void {
  using ballast = Deno.openSync(`${path}/ballast`, { write: true, create: true });
  const block = new Uint8Array(4096);
  try {
    for (;;) ballast.writeSync(block);
  } catch {
    return;
  }
}

const probe = await smallDisk();
await probe?.[Symbol.asyncDispose]();
const missing = probe === null ? " (skipped: no tmpfs can be mounted here)" : "";

Deno.test({
  name: `a full disk refuses writes, not reads, and loses nothing${missing}`,
  ignore: probe === null,
  fn: async () => {
    await using disk = (await smallDisk())!;
    const directory = `${disk.path}/data`;
    const rpcPort = await freePort();
    const flags = [`--data_dir=${directory}`, "--default_kv_lease_ttl=300"];
    let { process: master, address } = await startMaster(flags, { rpcPort });
    const client = await StoreClient.connect({
      masterServerAddress: address,
      globalSegmentSize: "32mb",
      rpcConnectTimeoutMs: 300,
    });
    const acknowledged: string[] = [];
    const value = (key: string) => new TextEncoder().encode(`value of ${key}`);
    const put = async (key: string): Promise<number> => {
      try {
        await client.put(key, value(key));
        acknowledged.push(key);
        return 0;
      } catch (error) {
        if (error instanceof StoreError) return error.code;
        throw error;
      }
    };
    const readAll = async () => {
      for (const key of acknowledged) assert.deepEqual(await client.get(key), value(key), key);
    };
    try {
      for (let i = 0; i < 100; i++) assert.equal(await put(`before/${i}`), 0);
      fill(disk.path);
      const codes = new Set<number>();
      for (let i = 0; i < 5000 && !codes.has(ErrorCode.PERSISTENT_FAIL); i++) {
        codes.add(await put(`full/${i}`));
      }
      assert(codes.has(ErrorCode.PERSISTENT_FAIL), Array.from(codes).join());
      await master.line(/changes are refused, reads go on: .*space/);
      await readAll();
      await assert.rejects(client.remove("before/1", { force: true }), {
        code: ErrorCode.PERSISTENT_FAIL,
      });

      Deno.removeSync(`${disk.path}/ballast`);
      await until(async () => await put("after") === 0);
      await readAll();

      fill(disk.path);
      for (let i = 0; i < 5000; i++) {
        if (await put(`again/${i}`) === ErrorCode.PERSISTENT_FAIL) break;
      }
      await master.stop("SIGKILL");
      Deno.removeSync(`${disk.path}/ballast`);
      ({ process: master } = await startMaster(flags, { rpcPort }));
      await until(() => client.connected);
      await until(async () => await client.isExist("before/0"));
      await readAll();
    } finally {
      await client.close();
      await master.stop();
    }
  },
});

/** `snowskin meta` on every kind of metadata server. */
import assert from "node:assert/strict";
import { freePort, startMaster } from "../../examples/local_cluster.ts";
import { TransferEngine } from "../../te.ts";
import { EngineServer, etcdAbsent, redisAbsent, testWith } from "../support/engine_servers.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";

const snowskin = new URL("../../snowskin.ts", import.meta.url).pathname;
const NAME = "127.0.0.1:15931";

async function meta(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", snowskin, "meta", ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

async function lookAround(metadata: string, listing: boolean): Promise<void> {
  const at = `--metadata_server=${metadata}`;
  {
    await using engine = await TransferEngine.initialize({ metadata, localServerName: NAME });
    await engine.registerMemory(4096);
    const listed = await meta("ls", at);
    if (listing) {
      assert.equal(listed.out, `mooncake/ram/${NAME}\nmooncake/rpc_meta/${NAME}\n`);
      assert.equal((await meta("ls", "mooncake/ram/", at)).out, `mooncake/ram/${NAME}\n`);
    } else {
      assert.equal(listed.code, 1);
      assert.match(
        listed.err,
        /^snowskin meta: The metadata server at \S+ cannot list its keys\n$/,
      );
    }
    const { out } = await meta("get", `mooncake/ram/${NAME}`, at);
    assert.equal(JSON.parse(out).buffers[0].length, 4096);
  }
  const gone = await meta("get", `mooncake/ram/${NAME}`, at);
  assert.equal(gone.code, 1);
  assert.match(gone.err, /^snowskin meta: There is no key "mooncake\/ram\/127/);
}

testWith(etcdAbsent, "keys in etcd are listed, shown and removed", async () => {
  await using etcd = await EngineServer.etcd();
  await lookAround(`etcd://${etcd.address}`, true);
});

testWith(redisAbsent, "keys in Redis are listed, shown and removed", async () => {
  await using redis = await EngineServer.redis();
  const metadata = `redis://${redis.address}`;
  await lookAround(metadata, true);
  await new Deno.Command("redis-cli", {
    args: ["-p", String(redis.port), "mset", "mooncake/ram/a", "{}", "mooncake/ram/b", "{}"],
  }).output();
  const at = `--metadata_server=${metadata}`;
  assert.equal((await meta("rm", "mooncake/ram/a", at)).code, 0);
  assert.equal((await meta("ls", at)).out, "mooncake/ram/b\n");
  assert.equal((await meta("rm", "mooncake/ram/a", at)).code, 1);
});

Deno.test("keys of our master are listed, those of the reference's are not", async () => {
  const port = await freePort();
  const { process } = await startMaster([
    ...["--enable_http_metadata_server=true", "--http_metadata_server_host=127.0.0.1"],
    `--http_metadata_server_port=${port}`,
  ]);
  await using _master = process;
  await lookAround(`http://127.0.0.1:${port}/metadata`, true);
  await using store = await ReferenceMetadata.start();
  await lookAround(store.url, false);
});

Deno.test("a wrong command line of meta is one line", async () => {
  const cases: [string[], number, RegExp][] = [
    [["ls"], 2, /^snowskin meta: --metadata_server is missing\n$/],
    [["ls", "--metadata_server=ftp://x"], 2, /--metadata_server="ftp:\/\/x" is refused; allowed: /],
    [["ls", "--metadata_server=P2PHANDSHAKE"], 2, /no server keeps anything/],
    [["mv", "a", "--metadata_server=http://127.0.0.1:1/m"], 2, /mv a is refused; allowed: ls /],
    [["get", "a", "--metadata_server=http://127.0.0.1:1/m"], 1, /cannot be asked/],
  ];
  for (const [args, code, text] of cases) {
    const result = await meta(...args);
    assert.match(result.err, text);
    assert.equal(result.code, code);
  }
});

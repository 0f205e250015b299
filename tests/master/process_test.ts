// The master as operators see it: how it starts, refuses, idles and ends.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { cpuMicroseconds } from "../../bench/process_stat.ts";
import { freePort } from "../../examples/local_cluster.ts";
import { VERSION } from "../../master/version.ts";
import { STORE_VERSION } from "../../proto/version.ts";
import {
  type LoopMode,
  loopModes,
  MasterProcess,
  testEachLoop,
} from "../support/master_process.ts";
import { until } from "../support/until.ts";

const main = new URL("../../master/main.ts", import.meta.url).pathname;
const [, sockets] = loopModes;
const READY_MS = 1000;
const STOP_MS = 1000;
const IDLE_RSS = 120 * 2 ** 20;
const IDLE_CPU = 0.01;
const TRIES = 8;

/** Runs a master that is expected to end by itself; its exit code and the lines of stderr. */
async function runToEnd(
  flags: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; lines: string[]; out: string }> {
  const { code, stderr, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, "--metrics_port=0", "--durability=none", ...flags],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, lines: text(stderr).trimEnd().split("\n"), out: text(stdout) };
}

/** Something else that has a port. */
async function occupied(host: string): Promise<{ port: number } & AsyncDisposable> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

testEachLoop("serves within a second of its start", async (mode) => {
  const times: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    await using master = await MasterProcess.start(mode, [], { metadata: true });
    const { value } = await master.connect().serviceReady();
    assert.equal(value, STORE_VERSION);
    times.push(Math.round(master.readyMs));
    if (master.readyMs <= READY_MS) return;
  }
  assert.fail(`it took ${times.join(", ")} ms`);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  testEachLoop(`ends with 0 soon after ${signal}, also with connections open`, async (mode) => {
    const times: number[] = [];
    for (let i = 0; i < TRIES; i++) {
      await using master = await MasterProcess.start(mode, [], { metadata: true });
      await master.connect().serviceReady();
      await master.dial(master.rpcPort);
      await master.dial(master.adminPort);
      const startedMs = performance.now();
      const { code } = await master.process.stop(signal);
      const tookMs = Math.round(performance.now() - startedMs);
      assert.equal(code, 0);
      assert(master.process.lines.some((line) => line.includes(`stopping: ${signal}`)));
      times.push(tookMs);
      if (tookMs <= STOP_MS) return;
    }
    assert.fail(`it took ${times.join(", ")} ms`);
  });
}

testEachLoop("is small and quiet while nobody asks anything", async (mode) => {
  await using master = await MasterProcess.start(mode, [], { metadata: true });
  const client = master.connect();
  await client.serviceReady();
  const { pid } = master.process;
  let least = Infinity;
  for (let i = 0; i < TRIES && least > IDLE_CPU; i++) {
    const [cpu, startedMs] = [cpuMicroseconds(pid), performance.now()];
    await until(() => performance.now() - startedMs >= 2000);
    const tookMs = performance.now() - startedMs;
    least = Math.min(least, (cpuMicroseconds(pid) - cpu) / 1000 / tookMs);
  }
  assert(least <= IDLE_CPU, `${(100 * least).toFixed(2)} % of a core`);
  assert(master.rssBytes <= IDLE_RSS, `${master.rssBytes} bytes resident`);
});

testEachLoop("closes connections that were silent for the time given", async (mode) => {
  await using master = await MasterProcess.start(mode, ["--rpc_conn_timeout_seconds=1"]);
  const busy = master.connect();
  await busy.serviceReady();
  const silent = await master.dial(master.rpcPort);
  let closed = false;
  silent.resume().on("close", () => closed = true);
  await until(async () => {
    assert.equal((await busy.serviceReady()).value, STORE_VERSION);
    return closed;
  }, 20_000);
});

Deno.test("the socket loop says in one line why it serves", async () => {
  await using master = await MasterProcess.start(sockets);
  const said = master.process.lines.filter((line) => line.includes("without the C shim"));
  assert.equal(said.length, 1);
  assert.match(said[0], /RPC is served on Deno's sockets, .*: SNOWSKIN_NATIVE is off$/);
});

const refused: [flags: string[], ...named: (string | RegExp)[]][] = [
  [["--no_such_flag=7"], "--no_such_flag", "unknown"],
  [["--nosuch"], "nosuch"],
  [["-no_such_flag", "7"], "no_such_flag"],
  [["stray"], "stray"],
  [["--allocation_strategy=bogus"], "--allocation_strategy", "bogus", "free_ratio_first"],
  [["--log_format", "xml"], "--log_format", "xml", "json"],
  [["--eviction_ratio=5"], "--eviction_ratio", "5", /0.*1/],
  [["--eviction_ratio=NaN"], "--eviction_ratio", "NaN"],
  [["--rpc_port=65536"], "--rpc_port", "65536", "65535"],
  [["--rpc_port=-1"], "--rpc_port", "-1", "65535"],
  [["--metrics_port=http"], "--metrics_port", "http"],
  [["--client_ttl=0"], "--client_ttl", "0", "1"],
  [["--put_wait_ms=1e9"], "--put_wait_ms", "1e9"],
  [["--enable_metric_reporting=perhaps"], "--enable_metric_reporting", "perhaps", "true"],
  [["--rpc_address=not a host"], "--rpc_address", "not a host"],
  [["--rpc_interface=nope0"], "--rpc_interface", "nope0", "lo"],
  [["--memory_allocator=cachelib"], "--memory_allocator", "cachelib"],
  [["--durability=maybe"], "--durability", "maybe", "batch"],
  [["--data_dir=/tmp/x"], "--data_dir=/tmp/x", "--durability=none"],
  [["--reattach_grace=soon"], "--reattach_grace", "soon"],
  [["--enable_cxl=true"], "--enable_cxl", "CXL memory"],
  [["--config_path=/nonexistent.json"], "/nonexistent.json"],
];

Deno.test("what a flag does not allow is refused in one line with exit code 2", async () => {
  for (let at = 0; at < refused.length; at += 4) {
    await Promise.all(
      refused.slice(at, at + 4).map(async ([flags, ...named]) => {
        const { code, lines, out } = await runToEnd(flags);
        const what = `${flags.join(" ")}: ${lines.join("\n")}`;
        assert.equal(code, 2, what);
        assert.equal(lines.length, 1, what);
        assert.equal(out, "", what);
        for (const part of named) {
          assert(typeof part === "string" ? lines[0].includes(part) : part.test(lines[0]), what);
        }
      }),
    );
  }
});

Deno.test("help and version are printed to stdout with exit code 0", async () => {
  const [help, version] = await Promise.all([runToEnd(["--help"]), runToEnd(["--version"])]);
  assert.deepEqual([help.code, version.code], [0, 0]);
  assert(help.out.includes("--default_kv_lease_ttl") && help.out.includes("--put_wait_ms"));
  assert(version.out.includes(VERSION));
  assert.deepEqual([help.lines, version.lines], [[""], [""]]);
});

testEachLoop("a taken port is refused in one line with exit code 3", async ({ env }) => {
  await using taken = await occupied("127.0.0.1");
  const { port } = taken;
  const rpc = await freePort();
  const own = ["--rpc_address=127.0.0.1", "--metrics_host=127.0.0.1", `--rpc_port=${rpc}`];
  const cases: [flag: string, flags: string[]][] = [
    ["--rpc_port", [`--rpc_port=${port}`]],
    ["--metrics_port", [`--metrics_port=${port}`]],
    ["--http_metadata_server_port", [
      "--http_metadata_server_host=127.0.0.1",
      `--http_metadata_server_port=${port}`,
    ]],
  ];
  for (const [flag, flags] of cases) {
    const { code, lines } = await runToEnd([...own, ...flags], env);
    const what = `${flag}: ${lines.join("\n")}`;
    assert.equal(code, 3, what);
    assert.equal(lines.length, 1, what);
    assert(lines[0].includes(`${flag}=${port}: already in use on 127.0.0.1`), what);
  }
});

testEachLoop("an address that is not of this machine is refused in one line", async ({ env }) => {
  const cases = ["--rpc_address", "--metrics_host", "--http_metadata_server_host"];
  await Promise.all(cases.map(async (flag) => {
    const ports = ["--rpc_port=0", "--port=0", "--http_metadata_server_port=0"];
    const { code, lines } = await runToEnd([...ports, `${flag}=192.0.2.1`], env);
    const what = `${flag}: ${lines.join("\n")}`;
    assert.equal(code, 3, what);
    const telling = lines.filter((line) => line.includes(`${flag}=192.0.2.1`));
    assert.equal(telling.length, 1, what);
    assert.equal(lines.length, 1, what);
  }));
});

Deno.test("the metadata server listens where it is told and nowhere else", async () => {
  const port = await freePort();
  await using master = await MasterProcess.start(sockets, [
    "--http_metadata_server_host=127.0.0.2",
    `--http_metadata_server_port=${port}`,
  ]);
  const key = `http://127.0.0.2:${port}/metadata?key=a`;
  const put = await fetch(key, { method: "PUT", body: "value" });
  assert.equal(put.status, 200);
  await put.body?.cancel();
  assert.equal(await (await fetch(key)).text(), "value");
  await assert.rejects(fetch(`http://127.0.0.1:${port}/metadata?key=a`));
  assert(master.process.lines.some((line) => line.includes(`http://127.0.0.2:${port}/metadata`)));
});

testEachLoop("is reached over IPv6", async (mode: LoopMode) => {
  const port = await freePort();
  await using master = await MasterProcess.start(mode, ["--rpc_address=::1", `--rpc_port=${port}`]);
  assert(master.process.lines.some((line) => line.includes(`RPC [::1]:${port}`)));
  const connection = await Deno.connect({ hostname: "::1", port });
  connection.close();
});

import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import type { StoreError } from "../../proto/error.ts";
import { FakeClock } from "../../tests/support/fake_clock.ts";
import { until } from "../../tests/support/until.ts";
import { groupLimits } from "./control_group.ts";
import { main } from "./main.ts";
import { hostNote, type NodeOptions, parseNodeFlags } from "./flags.ts";
import {
  availableMemory,
  chooseSegmentSize,
  DEFAULT_SEGMENT_BYTES,
  describeSurvey,
  groupLimitNote,
} from "./memory.ts";
import { StoreNode } from "./node.ts";

const GIB = 1024 ** 3;

function parse(args: string[], env: Record<string, string> = {}, file = "{}"): NodeOptions {
  const parsed = parseNodeFlags(args, { env, readFile: () => file });
  assert(!("help" in parsed));
  return parsed;
}

Deno.test("without flags a node is a pure server of the local master, without HTTP", () => {
  const { settings, given, maxWaitMs, httpPort } = parse([]);
  assert.equal(settings.masterServerAddress, "127.0.0.1:50051");
  assert.equal(settings.metadataServer, "P2PHANDSHAKE");
  assert.equal(settings.localBufferSize, 0);
  assert(!given.has("globalSegmentSize"));
  assert.equal(maxWaitMs, 60_000);
  assert.equal(httpPort, null);
});

Deno.test("flags are written with = or a space, with _ or -, and win over everything", () => {
  const env = { MOONCAKE_MASTER: "env:1", MOONCAKE_LOCAL_BUFFER_SIZE: "4mb" };
  const file = '{"master_server_address":"file:1","tenant_id":"file"}';
  const { settings, maxWaitMs, httpPort } = parse(
    [
      ...["--master=flag:1", "--segment-size", "2gb", "-Dtenant_id=t=1", "-D", "protocol=TCP"],
      ...["--max-wait-time=1.5", "--http_port", "9000", "--config=c.json"],
    ],
    env,
    file,
  );
  assert.equal(settings.masterServerAddress, "flag:1");
  assert.equal(settings.globalSegmentSize, 2 * GIB);
  assert.equal(settings.tenantId, "t=1");
  assert.equal(settings.protocol, "tcp");
  assert.equal(settings.localBufferSize, 4 << 20);
  assert.equal(maxWaitMs, 1500);
  assert.equal(httpPort, 9000);
});

Deno.test("a switch stands alone, with = or with a word", () => {
  const rows: [string[], boolean, boolean][] = [
    [["--allow_fallback"], true, false],
    [["--allow-fallback", "--strict-memory"], true, true],
    [["--allow_fallback", "no", "--strict_memory=yes"], false, true],
    [["--strict_memory", "--master=m:1"], false, true],
    [[], false, false],
  ];
  for (const [args, fallback, strict] of rows) {
    const { settings, strictMemory } = parse(args);
    assert.deepEqual([settings.allowFallback, strictMemory], [fallback, strict], args.join(" "));
  }
  const env = { SNOWSKIN_ALLOW_FALLBACK: "1", SNOWSKIN_STRICT_MEMORY: "true" };
  assert.equal(parse([], env).settings.allowFallback, true);
  assert.equal(parse([], env).strictMemory, true);
  assert.equal(parse(["--strict_memory=false"], env).strictMemory, false);
});

Deno.test("the environment can ask for the health server", () => {
  assert.equal(parse([], { MOONCAKE_ENABLE_CLIENT_HTTP_SERVER: "true" }).httpPort, 9300);
  const env = { MOONCAKE_ENABLE_CLIENT_HTTP_SERVER: "1", MOONCAKE_CLIENT_HTTP_PORT: "9301" };
  assert.equal(parse([], env).httpPort, 9301);
});

Deno.test("a bad command line is refused on one line that names what is wrong", () => {
  const wrong: [string[], RegExp][] = [
    [["--bogus=1"], /^unknown flag --bogus; allowed: --master, /],
    [["--constructor=1"], /^unknown flag/],
    [["master"], /^"master" is no flag/],
    [["--master"], /^--master needs a value/],
    [["--master=x"], /^--master="x" is refused; allowed: host:port/],
    [["--segment_size=12xb"], /^--segment_size="12xb" is not a size/],
    [["--http_port=0"], /^--http_port=0 is refused; allowed: 1 to 65535/],
    [["--max-wait-time=soon"], /^--max_wait_time=soon is refused/],
    [["-Dtenant_id"], /^-D "tenant_id" is refused; allowed: KEY=VALUE/],
    [["-Dtenant=x"], /^-D tenant: the key "tenant" is unknown/],
    [["--device_memory=gpu"], /^--device_memory="gpu" is refused; allowed: empty, or one device/],
    [["--device_memory=cuda:0"], /^memory of cuda:0 is lent only with --segment_size/],
    [
      ["--numa=0,64"],
      /^--numa="0,64" is refused; allowed: off, interleave, split, or nodes from 0/,
    ],
    [["--numa="], /^--numa="" is refused/],
    [["--hugepages=4kb"], /^--hugepages="4kb" is refused; allowed: auto, thp, off, 2mb, 1gb/],
    [["--lock_memory=maybe"], /^--lock_memory="maybe" is refused; allowed: true or false/],
    [
      ["--device_memory=cuda:0", "--segment_size=1gb", "--numa=split"],
      /^--numa="split" is refused; allowed: off with memory of a device/,
    ],
    [["--strict_memory=maybe"], /^--strict_memory="maybe" is refused; allowed: true or false/],
    [
      ["--protocol=libfabric", "--allow_fallback"],
      /^--allow_fallback=true is refused; allowed: false with protocol libfabric/,
    ],
    [["--protocol=bogus"], /^--protocol="bogus" is refused; allowed: tcp, rdma/],
    [["--protocol=nvmeof"], /^--protocol="nvmeof" is refused; allowed: in the transfer engine/],
  ];
  for (const [args, message] of wrong) {
    assert.throws(() => parse(args), (error) => {
      assert(error instanceof RangeError);
      assert.match(error.message, message);
      assert(!error.message.includes("\n"));
      return true;
    });
  }
});

Deno.test("a node of a remote master that nobody else can reach is told so", () => {
  assert.equal(hostNote(parse([])), null);
  assert.match(hostNote(parse(["--master=10.0.0.1:1"])) ?? "", /cannot reach 127\.0\.0\.1: --host/);
  assert.equal(hostNote(parse(["--master=10.0.0.1:1", "--host=10.0.0.7"])), null);
  assert.equal(hostNote(parse(["--master=10.0.0.1:1", "--host=127.0.0.1"])), null);
  assert.equal(hostNote(parse(["--master=m:1"], { MC_TCP_BIND_ADDRESS: "10.0.0.7" })), null);
});

Deno.test("the reference's variables for nodes and huge pages mean what they mean there", () => {
  const of = (env: Record<string, string>, args: string[] = []) => {
    const { numa, hugepages, lockMemory } = parse(args, env).settings;
    return { numa, hugepages, lockMemory };
  };
  const none = { numa: "off", hugepages: "auto", lockMemory: false };
  assert.deepEqual(of({}), none);
  assert.deepEqual(of({ MC_STORE_NUMA_SOCKET_ID: "1" }), { ...none, numa: "1" });
  assert.deepEqual(of({ MC_STORE_USE_HUGEPAGE: "1" }), { ...none, hugepages: "2mb" });
  assert.deepEqual(of({ MC_STORE_USE_HUGEPAGE: "0", MC_STORE_HUGEPAGE_SIZE: "1GB" }), none);
  const large = { MC_STORE_USE_HUGEPAGE: "1", MC_STORE_HUGEPAGE_SIZE: "1GB" };
  assert.deepEqual(of(large), { ...none, hugepages: "1gb" });
  assert.deepEqual(of(large, ["--hugepages=off", "--numa=1,0", "--lock-memory=yes"]), {
    ...{ numa: "1,0", hugepages: "off", lockMemory: true },
  });
  assert.throws(
    () => of({ ...large, MC_STORE_HUGEPAGE_SIZE: "4MB" }),
    /^RangeError: MC_STORE_HUGEPAGE_SIZE="4MB" is refused; allowed: 2MB, 1GB/,
  );
});

Deno.test("where memory lies is told in one line", () => {
  const MIB = 1 << 20;
  const survey = {
    ...{ nodes: new Map([[1, 3 * MIB], [0, MIB]]), pages: new Map([[4096, 4 * MIB]]), locked: 0 },
  };
  assert.equal(
    describeSurvey(survey),
    "node 0 1.00 MiB, node 1 3.00 MiB, in pages of 4.00 KiB",
  );
  const mixed = new Map([[2 * MIB, 2 * MIB], [4096, 2 * MIB]]);
  assert.equal(
    describeSurvey({ nodes: new Map(), pages: mixed, locked: 4 * MIB }),
    "2.00 MiB in pages of 4.00 KiB, 2.00 MiB in pages of 2.00 MiB, 4.00 MiB locked",
  );
  assert.equal(
    describeSurvey({ nodes: new Map(), pages: new Map(), locked: 0 }),
    "no page of it has been touched",
  );
});

Deno.test("the help names every flag and shows an example", () => {
  const parsed = parseNodeFlags(["--help"], { env: {}, readFile: () => "" });
  assert("help" in parsed);
  for (
    const text of ["--master=", "--segment_size=", "--max_wait_time=", "Example:", "tenant_id"]
  ) {
    assert(parsed.help.includes(text), text);
  }
  assert(parsed.help.split("\n").every((line) => line.length <= 100));
});

Deno.test("available memory is what the system or the control group leaves", () => {
  const none = (): string => {
    throw new Error("no such file");
  };
  assert.equal(availableMemory(8 * GIB, none), 8 * GIB);
  const group = (limit: string, usage: string) => (path: string) =>
    path.startsWith("/sys/fs/cgroup/memory/")
      ? none()
      : path.endsWith("memory.max")
      ? `${limit}\n`
      : `${usage}\n`;
  assert.equal(availableMemory(8 * GIB, group(`${4 * GIB}`, `${GIB}`)), 3 * GIB);
  assert.equal(availableMemory(8 * GIB, group("max", "5")), 8 * GIB);
  assert.equal(availableMemory(8 * GIB, group("100", "200")), 0);
});

/** Files of `/proc` and `/sys`; others are not there. */
function filesOf(files: Record<string, string>): (path: string) => string {
  return (path) => {
    if (Object.hasOwn(files, path)) return files[path];
    throw new Error(`no ${path}`);
  };
}

Deno.test("the limits of both versions of control groups are found, and those around them", () => {
  const second = filesOf({
    "/proc/self/cgroup": "0::/pods/pod7/main\n",
    "/sys/fs/cgroup/pods/pod7/main/memory.max": "max\n",
    "/sys/fs/cgroup/pods/pod7/main/memory.current": "7\n",
    "/sys/fs/cgroup/pods/pod7/memory.max": "4096\n",
    "/sys/fs/cgroup/pods/pod7/memory.current": "1024\n",
  });
  assert.deepEqual(groupLimits(second), [
    { path: "/sys/fs/cgroup/pods/pod7/memory.max", limit: 4096, used: 1024 },
  ]);
  const first = (limit: string) =>
    groupLimits(filesOf({
      "/proc/self/cgroup": "9:cpu,cpuacct:/a\n4:memory:/docker/b\n0::/\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": `${limit}\n`,
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
    }));
  assert.equal(first("9223372036854771712").length, 0);
  assert.deepEqual(first("100").map(({ limit, used }) => [limit, used]), [[100, 5]]);
});

Deno.test("a control group that is too small for segment, buffers and 512 MiB is told", () => {
  const group = (bytes: number, more: Record<string, string> = {}) =>
    filesOf({
      "/sys/fs/cgroup/memory.max": `${bytes}\n`,
      "/sys/fs/cgroup/memory.current": "0\n",
      ...more,
    });
  const need = { segment: 50 * GIB, buffer: 0, hugepages: "auto" };
  assert.equal(groupLimitNote(need, filesOf({})), null);
  assert.equal(groupLimitNote(need, group(50.5 * GIB)), null);
  assert.equal(groupLimitNote({ ...need, segment: 0 }, group(GIB)), null);
  const note = groupLimitNote({ ...need, buffer: GIB }, group(50 * GIB)) ?? "";
  assert.match(
    note,
    /^the memory limit of the control group, 50\.00 GiB \(.*memory\.max\), is less/,
  );
  assert.match(note, /than 51\.50 GiB: 50\.00 GiB lent, 1\.00 GiB of buffers, 512\.00 MiB for/);
  assert.match(note, /raise it, or lend at most 48\.50 GiB$/);
  const pool = (free: number) => ({
    "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "64\n",
    "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages": `${free}\n`,
  });
  const pooled = { ...need, hugepages: "1gb" };
  assert.equal(groupLimitNote(pooled, group(GIB, pool(50))), null);
  assert.match(groupLimitNote(pooled, group(GIB, pool(49))) ?? "", /50\.00 GiB lent/);
});

Deno.test("with --strict_memory a node does not start in such a group", async () => {
  const readFile = filesOf({
    "/sys/fs/cgroup/memory.max": `${GIB}\n`,
    "/sys/fs/cgroup/memory.current": "0\n",
  });
  const said: string[] = [];
  const { error } = console;
  console.error = (line: string) => said.push(line);
  try {
    assert.equal(await main(["--segment_size=1gb", "--strict_memory"], readFile), 2);
  } finally {
    console.error = error;
  }
  assert.equal(said.length, 1);
  assert.match(said[0], /^snowskin store: --strict_memory: the memory limit .* lend at most 512/);
});

Deno.test("without it the node goes on, and one line says what may happen", async () => {
  const readFile = filesOf({
    "/sys/fs/cgroup/memory.max": `${GIB}\n`,
    "/sys/fs/cgroup/memory.current": "0\n",
  });
  const said: string[] = [];
  const { log, error } = console;
  console.log = (line: string) => said.push(line);
  console.error = () => {};
  try {
    const nobody = ["--master=127.0.0.1:1", "--max_wait_time=0"];
    assert.equal(await main(["--segment_size=1gb", ...nobody], readFile), 1);
  } finally {
    Object.assign(console, { log, error });
  }
  assert.equal(said.length, 1, said.join("\n"));
  assert.match(
    said[0],
    /^the memory limit of the control group, 1\.00 GiB .* at most 512\.00 MiB$/,
  );
});

Deno.test("the default segment shrinks to a small machine, a size that was asked for does not", () => {
  assert.deepEqual(chooseSegmentSize(null, 64 * GIB), { size: DEFAULT_SEGMENT_BYTES, note: null });
  const small = chooseSegmentSize(null, 2 * GIB);
  assert.equal(small.size, Math.floor(2 * GIB * 0.8 / (1 << 20)) * (1 << 20));
  assert.match(small.note ?? "", /^lending 1\.60 GiB instead of the default 3\.13 GiB/);
  assert.deepEqual(chooseSegmentSize(GIB, 2 * GIB), { size: GIB, note: null });
  const large = chooseSegmentSize(4 * GIB, 2 * GIB);
  assert.equal(large.size, 4 * GIB);
  assert.match(large.note ?? "", /larger than the 2\.00 GiB/);
});

Deno.test("an absent master is waited for with progress lines until the time is up", async () => {
  const clock = new FakeClock();
  const lines: string[] = [];
  const started = StoreNode.start({
    masterServerAddress: "127.0.0.1:1",
    globalSegmentSize: 1 << 20,
    maxWaitMs: 20_000,
    clock,
    log: (line) => lines.push(line),
  });
  let failure: StoreError | null = null;
  started.catch((error) => failure = error);
  await until(async () => {
    await clock.advance(100);
    return failure !== null;
  });
  assert.equal((failure as StoreError | null)?.code, ErrorCode.RPC_FAIL);
  assert(clock.now() <= 22_000, `${clock.now()}`);
  assert(lines.length >= 2 && lines.length <= 5, lines.join("\n"));
  assert.match(lines[0], /^waiting \(\d+ s of 20 s\): No master answers at 127\.0\.0\.1:1: /);
});

Deno.test("waiting ends when the node is told to stop", async () => {
  const stopping = new AbortController();
  const started = StoreNode.start({
    masterServerAddress: "127.0.0.1:1",
    globalSegmentSize: 1 << 20,
    rpcConnectTimeoutMs: 5,
    log: () => stopping.abort(),
    signal: stopping.signal,
  });
  await assert.rejects(started, { name: "AbortError" });
});

Deno.test("a refusal that waiting cannot mend is reported at once", async () => {
  const refused = StoreNode.start({ globalSegmentSize: 0, localBufferSize: 0, log: () => {} });
  await assert.rejects(refused, { code: ErrorCode.INVALID_PARAMS });
});

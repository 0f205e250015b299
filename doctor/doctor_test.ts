// Goal: every check says "ok" on a machine that is fit and something of use on one that is not.
// Method: machines that are described, not had; each row provokes one finding. What looks at the real
// machine is tried at the end.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { loopModes, MasterProcess } from "../tests/support/master_process.ts";
import { type MachineSketch, SysfsFixture } from "../tests/support/sysfs_tree.ts";
import { sysfsTree } from "../client/transfer/sysfs.ts";
import { VERSION } from "../master/version.ts";
import { type Machine, type ShimState, thisMachine } from "./machine.ts";
import { checks, main, type NamedFinding } from "./main.ts";

const GIB = 1024 ** 3;

/** What a test says of its machine; the rest is fit for everything. */
interface Sketch {
  files?: Record<string, string>;
  folders?: Record<string, string[]>;
  links?: Record<string, string>;
  env?: Record<string, string>;
  /** Libraries that are not there. */
  missing?: string[];
  shim?: Partial<ShimState>;
  freeMemory?: number;
  monotonic?: () => number;
  wall?: () => number;
  freeDisk?: number;
  /** Milliseconds of a sync, or why there is none. */
  sync?: number | Error;
  present?: string[];
  sysfs?: SysfsFixture;
  usable?: boolean;
  answer?: () => Response;
}

const LIMITS = (files: number | string, locked: number | string) =>
  `Limit  Soft Limit  Hard Limit  Units\n` +
  `Max open files            ${files}   ${files}   files\n` +
  `Max locked memory         ${locked}   ${locked}   bytes\n`;

function machineOf(sketch: Sketch): Machine {
  const files: Record<string, string> = {
    "/proc/self/limits": LIMITS(65536, "unlimited"),
    "/proc/self/status": "CapEff:\t0000000000000000\n",
    "/proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n",
    "/proc/net/tcp": "sl local rem st\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always [advise] never",
    ...sketch.files,
  };
  let now = 0;
  return {
    env: { HOME: "/here", ...sketch.env },
    readFile(path) {
      if (Object.hasOwn(files, path)) return files[path];
      throw new Error(`no ${path}`);
    },
    list: (path) => sketch.folders?.[path] ?? [],
    link: (path) => sketch.links?.[path] ?? "",
    exists: (path) => ["/", "/here", ...sketch.present ?? []].includes(path),
    sysfs: sketch.sysfs === undefined
      ? { list: () => [], text: () => "", real: () => "" }
      : sysfsTree(sketch.sysfs.root),
    usable: () => sketch.usable ?? true,
    loadFault: (library) => sketch.missing?.includes(library) ? `no ${library}` : null,
    shim: () => ({ built: "/shim.so", fault: null, noCompiler: null, off: null, ...sketch.shim }),
    freeMemory: () => sketch.freeMemory ?? 256 * GIB,
    monotonic: sketch.monotonic ?? (() => now++),
    wall: sketch.wall ?? Date.now,
    freeDisk: () => sketch.freeDisk ?? 100 * GIB,
    trySync() {
      if (sketch.sync instanceof Error) throw sketch.sync;
      return sketch.sync ?? 1;
    },
    fetch: () => Promise.resolve(sketch.answer!()),
  };
}

async function examined(
  machine: Machine,
  args: string[],
): Promise<{ code: number; findings: NamedFinding[] }> {
  let printed = "";
  const code = await main([...args, "--json"], machine, (text) => printed = text);
  return { code, findings: JSON.parse(printed).findings };
}

interface Row {
  name: string;
  check: string;
  args?: string[];
  machine?: Sketch;
  status: NamedFinding["status"];
  text: RegExp;
  fix?: RegExp;
}

function testRows(rows: Row[]): void {
  for (const { name, check, args = ["--for=all"], machine = {}, status, text, fix } of rows) {
    Deno.test(`${check}: ${name}`, async () => {
      const { code, findings } = await examined(machineOf(machine), args);
      const found = findings.filter((finding) => finding.check === check);
      const match = found.find((finding) => text.test(finding.text));
      assert(match, JSON.stringify(found));
      assert.equal(match.status, status);
      if (fix !== undefined) assert.match(match.fix ?? "", fix);
      const others = findings.some((finding) => finding.status === "problem");
      assert.equal(code, others ? 1 : 0);
      if (status === "problem") assert.equal(code, 1);
    });
  }
}

Deno.test("a fit machine has no problem and no note", async () => {
  const { code, findings } = await examined(machineOf({}), ["--for=all"]);
  assert.equal(code, 0);
  assert.deepEqual(findings.filter(({ status }) => status !== "ok"), []);
  assert.deepEqual(
    new Set(findings.map(({ check }) => check)),
    new Set(checks.map(({ name }) => name)),
  );
});

testRows([
  {
    name: "no compiler",
    ...{ check: "engine", machine: { shim: { built: null, noCompiler: "no C compiler found" } } },
    ...{
      status: "note",
      text: /^everything runs on Deno's sockets.*no C compiler/,
      fix: /apt-get/,
    },
  },
  {
    name: "a compiler is enough",
    ...{ check: "engine", machine: { shim: { built: null } } },
    ...{ status: "ok", text: /^the C shim is built when it is first needed/ },
  },
  {
    name: "a library that cannot be loaded",
    ...{ check: "engine", machine: { shim: { fault: "cannot load /shim.so: too old" } } },
    ...{ status: "note", text: /too old/, fix: /deno task build/ },
  },
  {
    name: "it is turned off, and RDMA needs it",
    ...{ check: "engine", machine: { shim: { off: "SNOWSKIN_NATIVE is off" } } },
    args: ["--for=store", "--protocol=rdma"],
    ...{ status: "problem", text: /^--protocol=rdma needs the C shim: SNOWSKIN_NATIVE is off/ },
  },
  {
    name: "far too few",
    ...{ check: "open files", machine: { files: { "/proc/self/limits": LIMITS(256, 1) } } },
    ...{ status: "problem", text: /^256 files may be open/, fix: /ulimit -n/ },
  },
  {
    name: "few",
    ...{ check: "open files", machine: { files: { "/proc/self/limits": LIMITS(4096, 1) } } },
    ...{ status: "note", text: /^4096 files may be open/, fix: /LimitNOFILE/ },
  },
  {
    name: "it goes backwards",
    ...{ check: "clock", status: "problem", text: /went back by 2\.000 ms/ },
    machine: { monotonic: ((readings) => () => readings.shift() ?? 9)([5, 6, 4]) },
  },
  {
    name: "it is 1970",
    ...{ check: "clock", machine: { wall: () => 1000 } },
    ...{ status: "problem", text: /^the time is 1970-01-01T00:00:01/, fix: /NTP/ },
  },
  {
    name: "a port of each role is taken",
    ...{ check: "ports", args: ["--for=master"], status: "problem" },
    machine: {
      files: {
        "/proc/net/tcp": "sl local rem st\n 0: 00000000:232B 00000000:0000 0A 0:0 0:0 0 0 0 77 1\n",
        "/proc/12/cmdline": "redis-server\0--port\0" + "9003\0",
      },
      folders: { "/proc": ["12", "self"], "/proc/12/fd": ["3"] },
      links: { "/proc/12/fd/3": "socket:[77]" },
    },
    text:
      /^port 9003 \(--metrics_port\) of a master is taken by process 12 \(redis-server --port 9003\)$/,
    fix: /another --metrics_port/,
  },
  {
    name: "a port is taken by nobody that can be seen",
    ...{ check: "ports", args: ["--for=store", "--data_port=1"], status: "problem" },
    machine: {
      files: {
        "/proc/net/tcp6": "sl local rem st\n 0: 0:0001 0:0 0A 0:0 0:0 0 0 0 77 1\n",
      },
    },
    text: /^port 1 \(--data_port\) of a store is taken by a process of another user$/,
  },
]);

const limited = (bytes: number): Sketch => ({
  files: {
    "/sys/fs/cgroup/memory.max": `${bytes}\n`,
    "/sys/fs/cgroup/memory.current": "0\n",
  },
});
const tooFewPages = {
  "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "4\n",
  "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages": "2\n",
};

testRows([
  {
    name: "more is asked for than there is",
    ...{ check: "memory", args: ["--for=store", "--segment_size=8gb"] },
    ...{
      machine: { freeMemory: GIB },
      status: "problem",
      text: /^the segment of 8\.00 GiB is larger/,
    },
  },
  {
    name: "the default shrinks",
    ...{ check: "memory", args: ["--for=store"], machine: { freeMemory: GIB } },
    ...{ status: "note", text: /^lending 819\.00 MiB instead of the default/ },
  },
  {
    name: "segment and 512 MiB are more than the group may have",
    ...{ check: "memory limit", args: ["--for=store", "--segment_size=50gb"] },
    ...{ machine: limited(50 * GIB), status: "problem", text: /lend at most 49\.50 GiB/ },
    fix: /limits\.memory/,
  },
  {
    name: "a limit that is large enough",
    ...{ check: "memory limit", args: ["--for=store", "--segment_size=49gb"] },
    ...{ machine: limited(50 * GIB), status: "ok", text: /^the control group allows 50\.00 GiB/ },
  },
  {
    name: "little for a master",
    ...{ check: "memory limit", args: ["--for=master"], machine: limited(GIB / 2) },
    ...{ status: "note", text: /allows 512\.00 MiB .*; a master takes about/ },
  },
  {
    name: "RDMA has to pin more than it may",
    ...{ check: "locked memory", args: ["--for=store", "--protocol=rdma", "--segment_size=1gb"] },
    machine: { files: { "/proc/self/limits": LIMITS(65536, 8 << 20) } },
    ...{ status: "problem", text: /allows 8\.00 MiB, and --protocol=rdma has to lock 1\.00 GiB/ },
    fix: /ulimit -l/,
  },
  {
    name: "a process with the right to lock has no limit",
    ...{ check: "locked memory", args: ["--for=store", "--lock_memory", "--segment_size=1gb"] },
    machine: {
      files: {
        "/proc/self/limits": LIMITS(65536, 8 << 20),
        "/proc/self/status": "CapEff:\t0000000000004000\n",
      },
    },
    ...{ status: "ok", text: /without a limit/ },
  },
  {
    name: "the pool is too small",
    ...{ check: "pages", args: ["--for=store", "--hugepages=1gb", "--segment_size=4gb"] },
    machine: { files: tooFewPages },
    ...{
      status: "note",
      text: /^2 of 4 pages in the pool of 1 GiB pages are free/,
      fix: /echo N >/,
    },
  },
  {
    name: "transparent ones are off",
    ...{ check: "pages", args: ["--for=store"], status: "note", text: /shmem_enabled is never$/ },
    machine: {
      files: { "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always advise [never]" },
    },
    fix: /^as root: echo advise >/,
  },
  {
    name: "those of a master are off",
    ...{
      check: "pages of tables",
      args: ["--for=master"],
      status: "note",
      text: /enabled is never/,
    },
    machine: { files: { "/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]" } },
    fix: /^as root: echo madvise >/,
  },
]);

const oneNic: MachineSketch = {
  distances: [[10]],
  nics: { mlx5_0: { at: "devices/pci0000:00/0000:00:02.0/0000:05:00.0", numa: 0 } },
};
const PORT = "devices/pci0000:00/0000:00:02.0/0000:05:00.0/infiniband/mlx5_0/ports/1";

/** A machine with one RDMA device. */
function withNic(files: Record<string, string>): SysfsFixture {
  const tree = new SysfsFixture(oneNic);
  for (const [name, text] of Object.entries(files)) tree.file(`${PORT}/${name}`, `${text}\n`);
  return tree;
}

const v2 = {
  ...{ link_layer: "Ethernet", "gids/0": "fe80:0000:0000:0000:0000:0000:0000:0001" },
  "gid_attrs/types/0": "RoCE v2",
};
const rdmaArgs = ["--for=store", "--protocol=rdma"];
const nicRows: (Omit<Row, "check" | "machine"> & {
  files?: Record<string, string>;
  usable?: boolean;
})[] = [
  { name: "active", files: v2, status: "ok", text: /^mlx5_0 port 1 is active, GIDs 0: fe80:/ },
  {
    name: "not active",
    files: { ...v2, state: "1: DOWN" },
    args: [...rdmaArgs, "--device_name=mlx5_0"],
    ...{ status: "problem", text: /^mlx5_0: port 1 is DOWN$/, fix: /ip link set/ },
  },
  {
    name: "no such device",
    files: v2,
    args: [...rdmaArgs, "--device_name=mlx5_7"],
    ...{ status: "problem", text: /^there is no RDMA device mlx5_7; there are mlx5_0$/ },
    fix: /--device_name=mlx5_0/,
  },
  {
    name: "no node in /dev",
    files: v2,
    usable: false,
    ...{ status: "problem", text: /node in \/dev\/infiniband is missing/, fix: /--device=/ },
  },
  {
    name: "no GID",
    files: { link_layer: "Ethernet", "gids/0": "0000:0000:0000:0000:0000:0000:0000:0000" },
    ...{
      status: "problem",
      text: /^mlx5_0 port 1 has no GID: RoCE needs an IP/,
      fix: /ip addr add/,
    },
  },
  {
    name: "only RoCE v1",
    files: { ...v2, "gid_attrs/types/0": "IB/RoCE v1" },
    ...{ status: "note", text: /has no RoCE v2 GID/ },
  },
  {
    name: "present and not used",
    files: v2,
    args: ["--for=store"],
    ...{ status: "note", text: /^there are mlx5_0, which --protocol=tcp does not use/ },
    fix: /--protocol=rdma/,
  },
];
for (const { files = {}, usable = true, ...row } of nicRows) {
  Deno.test(`RDMA devices: ${row.name}`, async () => {
    using sysfs = withNic(files);
    const args = row.args ?? rdmaArgs;
    const { findings } = await examined(machineOf({ sysfs, usable }), args);
    const found = findings.find(({ check }) => check === "RDMA devices")!;
    assert.match(found.text, row.text);
    assert.equal(found.status, row.status);
    if (row.fix !== undefined) assert.match(found.fix ?? "", row.fix);
  });
}

Deno.test("RDMA devices: a GID index that is not there, and a slow clock source", async () => {
  using sysfs = withNic(v2);
  sysfs.file("devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
  const machine = machineOf({ sysfs, env: { MC_GID_INDEX: "3" } });
  const { findings } = await examined(machine, rdmaArgs);
  const of = (name: string) => findings.find(({ check }) => check === name)!;
  assert.match(of("RDMA devices").text, /^mlx5_0 port 1 has no GID 3; there are 0: fe80/);
  assert.equal(of("RDMA devices").status, "problem");
  assert.match(of("clock").text, /^the clock source is hpet/);
  assert.equal(of("clock").status, "note");
});

Deno.test("GPU: one that is there without its driver's library is a note", async () => {
  using sysfs = new SysfsFixture({
    distances: [[10]],
    gpus: [{ at: "devices/pci0000:00/0000:00:03.0/0000:06:00.0", numa: 0 }],
  });
  const machine = machineOf({ sysfs, missing: ["libcuda.so.1"] });
  const { findings } = await examined(machine, ["--for=client"]);
  const found = findings.find(({ check }) => check === "GPU")!;
  assert.equal(found.status, "note");
  assert.match(found.text, /^there are cuda:0; buffers in their memory need libcuda\.so\.1/);
});

testRows([
  {
    name: "none at all",
    ...{
      check: "RDMA devices",
      args: rdmaArgs,
      status: "problem",
      text: /^this machine has no RDMA/,
    },
    fix: /rdma link add rxe0/,
  },
  {
    name: "none at all, and tcp will do",
    ...{ check: "RDMA devices", args: [...rdmaArgs, "--allow_fallback"] },
    ...{ status: "note", text: /no RDMA device: tcp is used/ },
  },
  {
    name: "it is missing",
    ...{ check: "RDMA library", args: rdmaArgs, machine: { missing: ["libibverbs.so.1"] } },
    ...{
      status: "problem",
      text: /^libibverbs\.so\.1 cannot be loaded/,
      fix: /apt-get.*libibverbs1/,
    },
  },
  {
    name: "it is missing, and tcp will do",
    ...{ check: "RDMA library", args: [...rdmaArgs, "--allow_fallback"] },
    machine: { missing: ["libibverbs.so.1"] },
    ...{ status: "note", text: /tcp is used instead/ },
  },
  {
    name: "memory of a GPU without a driver",
    ...{ check: "GPU", args: ["--for=store", "--device_memory=cuda:0", "--segment_size=1gb"] },
    machine: { missing: ["libcuda.so.1"] },
    ...{ status: "problem", text: /^memory of cuda:0 needs libcuda\.so\.1/, fix: /--gpus all/ },
  },
  {
    name: "it is missing",
    ...{ check: "libfabric", args: ["--for=store", "--protocol=efa"] },
    machine: { missing: ["libfabric.so.1"] },
    ...{ status: "problem", text: /^--protocol=efa needs libfabric\.so\.1/, fix: /libfabric1/ },
  },
  {
    name: "OpenSSL is missing",
    check: "TLS",
    args: ["--for=store", "--tls_cert_file=a", "--tls_key_file=b", "--tls_ca_file=c"],
    machine: { missing: ["libssl.so.3"] },
    ...{ status: "problem", text: /^TLS needs libssl\.so\.3 of OpenSSL 3/, fix: /libssl3/ },
  },
  {
    name: "a file is missing",
    check: "TLS",
    args: ["--for=store", "--tls_cert_file=/none/a", "--tls_key_file=b", "--tls_ca_file=c"],
    ...{ status: "problem", text: /^"\/none\/a" cannot be read/ },
  },
]);

testRows([
  {
    name: "it cannot be written",
    ...{ check: "data directory", machine: { sync: new Error("Permission denied") } },
    ...{ status: "problem", text: /^\/here cannot be written and synced: Permission denied/ },
    fix: /install -d/,
  },
  {
    name: "there is no home",
    ...{ check: "data directory", machine: { env: { HOME: "" } }, args: ["--for=master"] },
    ...{ status: "problem", text: /^there is no home directory/, fix: /--data_dir/ },
  },
  {
    name: "a sync is slow",
    ...{ check: "data directory", machine: { sync: 450 } },
    ...{ status: "note", text: /^a sync of 4 KiB in \/here took 450 ms/ },
  },
  {
    name: "it is full",
    ...{ check: "data directory", machine: { freeDisk: 1 << 20 } },
    ...{ status: "problem", text: /^1\.00 MiB are free in \/here: changes are refused/ },
  },
  {
    name: "it has little room",
    ...{ check: "data directory", machine: { freeDisk: GIB } },
    ...{ status: "note", text: /^1\.00 GiB are free in \/here; the journal may grow/ },
  },
  {
    name: "it goes with the container",
    ...{ check: "data directory", args: ["--for=master", "--data_dir=/data/x"], status: "note" },
    machine: {
      present: ["/data"],
      files: { "/proc/self/mounts": "o / overlay rw 0 0\n/dev/sdb /dat ext4 rw 0 0\n" },
    },
    text: /^\/data is on overlay: the index is gone with the container/,
  },
]);

const told = (headers: Record<string, string>, body: unknown, status = 200) => () =>
  new Response(JSON.stringify(body), { status, headers });
const NOW = Date.parse("2026-05-01T10:00:00Z");
const at = (ms: number) => ({ date: new Date(NOW + ms).toUTCString() });
const adminRow = { check: "versions and time", args: ["--for=client", "--admin=m:1"] };

testRows([
  {
    name: "all is as it should be",
    ...{ ...adminRow, status: "ok", text: /^the clocks .* agree$/ },
    machine: { wall: () => NOW, answer: told(at(0), { version: VERSION }) },
  },
  {
    name: "the clock is behind",
    ...{
      ...adminRow,
      status: "note",
      text: /^the clock of this machine is 10 s behind/,
      fix: /NTP/,
    },
    machine: { wall: () => NOW, answer: told(at(10_000), { version: VERSION }) },
  },
  {
    name: "the clock is far ahead",
    ...{ ...adminRow, status: "problem", text: /^the clock of this machine is 3599 s ahead of/ },
    machine: { wall: () => NOW, answer: told(at(-3_600_000), { version: VERSION }) },
  },
  {
    name: "another version",
    ...{ ...adminRow, status: "note", text: /^the master is version 99\.0\.0, this is / },
    machine: { wall: () => NOW, answer: told(at(0), { version: "99.0.0" }) },
  },
  {
    name: "a key is asked for",
    ...{ ...adminRow, status: "note", text: /asks for a key$/, fix: /SNOWSKIN_ADMIN_KEY/ },
    machine: { wall: () => NOW, answer: told(at(0), {}, 401) },
  },
  {
    name: "something else is there",
    ...{ ...adminRow, status: "note", text: /^m:1 is no admin server of Snowskin$/ },
    machine: { wall: () => NOW, answer: () => new Response("<html>", { headers: at(0) }) },
  },
  {
    name: "nobody answers",
    ...{ ...adminRow, status: "note", text: /^the admin server at m:1 cannot be asked: refused/ },
    machine: {
      answer: () => {
        throw new Error("refused");
      },
    },
  },
  {
    name: "it is not there",
    ...{ check: "master", args: ["--for=client", "--master=127.0.0.1:1"], status: "problem" },
    machine: { answer: told({}, {}) },
    text: /^No master answers at 127\.0\.0\.1:1: connection refused; start one/,
  },
]);

Deno.test("a master that is there is asked for its version and its time", async () => {
  await using master = await MasterProcess.start(loopModes.at(-1)!);
  const machine = { ...machineOf({}), fetch: thisMachine().fetch };
  const { code, findings } = await examined(machine, [
    ...["--for=client", `--master=127.0.0.1:${master.rpcPort}`],
    `--admin=127.0.0.1:${master.adminPort}`,
  ]);
  const of = (name: string) => findings.filter(({ check }) => check === name);
  assert.match(of("master")[0].text, /answers and speaks this protocol$/);
  assert.deepEqual(of("versions and time").map(({ status }) => status), ["ok", "ok"]);
  assert.equal(code, 0);
});

Deno.test("bad usage is one line and exit code 2", async () => {
  const wrong: [string[], RegExp][] = [
    [
      ["--for=bench"],
      /^snowskin doctor: --for=bench is refused; allowed: master, store, client, all/,
    ],
    [["--rpc_port=0"], /--rpc_port=0 is refused; allowed: 1 to 65535/],
    [["--segment_size=much"], /--segment_size="much" is not a size/],
    [["--bogus"], /unknown flag --bogus; allowed: /],
    [["--for"], /--for needs a value/],
  ];
  const { error } = console;
  for (const [args, message] of wrong) {
    const said: string[] = [];
    console.error = (line: string) => said.push(line);
    try {
      assert.equal(await main(args, machineOf({})), 2);
    } finally {
      console.error = error;
    }
    assert.equal(said.length, 1);
    assert.match(said[0], message);
  }
});

Deno.test("the text has a line for each check, and what mends it below", async () => {
  let text = "";
  const machine = machineOf({ freeDisk: GIB });
  assert.equal(await main(["--for=master"], machine, (printed) => text = printed), 0);
  assert.match(text, /^ok {7}engine {12}the C shim is ready/m);
  assert.match(text, /^note {5}data directory {4}1\.00 GiB.*\n {27}fix: make room/m);
  assert.match(text, /\n0 problems, 1 note$/);
  await main(["--help"], machine, (printed) => text = printed);
  assert.match(text, /^Usage: snowskin doctor[\s\S]*Example:/);
});

Deno.test("this machine is looked at and left as it is", async () => {
  const machine = thisMachine();
  const folder = Deno.makeTempDirSync();
  assert(machine.trySync(folder) >= 0);
  assert.deepEqual(Array.from(Deno.readDirSync(folder)), []);
  assert.throws(() => machine.trySync(`${folder}/none`), /ENOENT/);
  Deno.removeSync(folder);
  assert.match(machine.loadFault("libnosuch.so.7") ?? "", /libnosuch/);
  assert.equal(machine.loadFault("libc.so.6"), null);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const { findings } = await examined(machine, ["--for=store", `--data_port=${port}`]);
  const { text } = findings.find(({ check }) => check === "ports")!;
  assert.match(text, new RegExp(`^port ${port} .* is taken by process ${Deno.pid} \\(`));
  await new Promise((resolve) => server.close(resolve));
});

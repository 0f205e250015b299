// Goal: `snowskin te bench` measures our engine and the reference's in either role, with the flags of
// the reference's program. Method: both programs as processes, names kept in three ways.
import assert from "node:assert/strict";
import { openLibrary } from "../../ffi/library.ts";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { CommandError } from "../../te/cli/command_line.ts";
import { parseBenchFlags } from "../../te/cli/bench_flags.ts";
import { EngineServer, etcdAbsent, testWith } from "../support/engine_servers.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { findWheel } from "../support/wheel.ts";

const probe = openLibrary();
const shimAbsent = "unavailable" in probe ? probe.unavailable : null;
if ("close" in probe) probe.close();
const wheel = await findWheel();
const wheelAbsent = "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null;
const snowskin = new URL("../../snowskin.ts", import.meta.url).pathname;

const SMALL = ["--buffer_size=1048576", "--block_size=4096", "--batch_size=16", "--threads=2"];
const COMPLETED =
  /Test completed: duration 1\.\d\d, batch count [1-9]\d*, throughput \d+\.\d{3} MiB\/s/;

function ours(flags: string[]): LocalProcess {
  return new LocalProcess("te bench", Deno.execPath(), [
    "run",
    "-A",
    snowskin,
    "te",
    "bench",
    ...flags,
  ]);
}

/** The program itself: the script in the wheel's `bin` leaves it behind when it is ended. */
function theirs(flags: string[]): LocalProcess {
  assert("python" in wheel);
  const { stdout } = new Deno.Command(wheel.python, {
    args: ["-c", "import mooncake, os; print(os.path.dirname(mooncake.__file__), end='')"],
  }).outputSync();
  const program = `${new TextDecoder().decode(stdout)}/transfer_engine_bench`;
  const env = { MC_TCP_BIND_ADDRESS: "127.0.0.1" };
  return new LocalProcess("reference", program, flags, { env });
}

type Program = typeof ours;

/** Starts a target, which is called `name` where that is not its address, and uses it both ways. */
async function measure(
  target: Program,
  initiator: Program,
  metadata: string,
  name: string | null,
): Promise<void> {
  const common = ["--protocol=tcp", `--metadata_server=${metadata}`, ...SMALL];
  const server = name ?? "127.0.0.1";
  await using lender = target(["--mode=target", `--local_server_name=${server}`, ...common]);
  const ready = target === ours ? /^target ready: (\S+) lends/ : /listening on (\S+)/;
  const [, address] = ready.exec(await lender.line(ready))!;
  if (target === theirs) await lender.line(/DRAM is used/);
  for (const operation of ["read", "write"]) {
    await using user = initiator([
      ...["--mode=initiator", "--local_server_name=127.0.0.1:15921", `--operation=${operation}`],
      ...[`--segment_id=${name ?? address}`, "--duration=1", "--report_unit=MiB"],
      ...["--report_precision=3", ...common],
    ]);
    await user.line(COMPLETED);
    await user.status;
  }
  if (target !== ours) return;
  await lender.stop();
  await lender.line(/^served [1-9]\d{5,} bytes of reads, [1-9]\d{5,} bytes of writes$/);
}

Deno.test("te bench on both sides, by handshake", () => measure(ours, ours, "P2PHANDSHAKE", null));

testWith(shimAbsent, "te bench reads and writes files", async () => {
  await using store = await ReferenceMetadata.start();
  const path = await Deno.makeTempFile();
  try {
    await Deno.truncate(path, 1 << 20);
    const common = ["--protocol=nvmeof", `--metadata_server=${store.url}`];
    const server = "--local_server_name=127.0.0.1:15923";
    await using owner = ours(["--mode=target", server, `--files=${path}`, ...common]);
    await owner.line(/^target ready: nvmeof\/127\.0\.0\.1:15923 is 1048576 bytes of \//);
    for (const operation of ["read", "write"]) {
      await using user = ours([
        ...["--local_server_name=127.0.0.1:15924", "--segment_id=nvmeof/127.0.0.1:15923"],
        ...[`--local_paths=${path}=${path}`, `--operation=${operation}`, "--duration=1"],
        ...["--report_unit=MiB", "--report_precision=3", ...common, ...SMALL],
      ]);
      await user.line(COMPLETED);
      await user.status;
    }
  } finally {
    await Deno.remove(path);
  }
});

testWith(wheelAbsent, "the reference's bench moves bytes of our target", async () => {
  await measure(ours, theirs, "P2PHANDSHAKE", null);
  await using store = await ReferenceMetadata.start();
  await measure(ours, theirs, store.url, "127.0.0.1:15922");
});

testWith(wheelAbsent ?? etcdAbsent, "te bench moves bytes of the reference's target", async () => {
  await measure(theirs, ours, "P2PHANDSHAKE", null);
  await using etcd = await EngineServer.etcd();
  await measure(theirs, ours, `etcd://${etcd.address}`, "127.0.0.1:15923");
});

Deno.test("a target that is too small, or not there, is one line", async () => {
  await using lender = ours(["--mode=target", ...SMALL]);
  const [, name] = /ready: (\S+)/.exec(await lender.line(/^target ready/))!;
  const failing: [string[], RegExp][] = [
    [[`--segment_id=${name}`, "--block_size=1048576"], /has a buffer of 1048576: use a larger/],
    [["--segment_id=127.0.0.1:1", ...SMALL], /snowskin te: Cannot open segment "127\.0\.0\.1:1"/],
  ];
  for (const [flags, text] of failing) {
    await using user = ours([...flags, "--batch_size=2", "--threads=1"]);
    await user.line(text);
    assert.equal((await user.status).code, 1);
  }
});

Deno.test("flags of the bench are read as gflags reads them, and wrong ones are refused", () => {
  const parse = (...args: string[]) => parseBenchFlags(args, () => undefined);
  const read = parse("-mode=target", "--batch-size", "7", "--block_size=10", "--threads=2");
  assert.deepEqual([read.mode, read.batchSize, read.bufferSize], ["target", 7, 1 << 30]);
  assert.equal(parse("--mode=target", "--buffer_size=1").bufferSize, 128 * 65_536 * 12);
  const tls = parse("--mode=target", "--tls_cert_file=c", "--tls_key_file=k", "--tls_ca_file=a");
  assert.deepEqual(tls.engine.tls, { certFile: "c", keyFile: "k", caFile: "a" });
  const cases: [string[], RegExp][] = [
    [[], /--segment_id is missing/],
    [["--mode=both"], /^--mode=both is refused; allowed: initiator, target$/],
    [["--mode=target", "--operation=copy"], /--operation=copy is refused; allowed: read, write/],
    [["--mode=target", "--threads=0"], /--threads=0 is refused; allowed: an integer from 1 to/],
    [["--mode=target", "--duration=1.5"], /--duration=1\.5 is refused/],
    [["--mode=target", "--report_unit=TB"], /--report_unit=TB is refused; allowed: GB, GiB, /],
    [["--mode=target", "--backend=tent"], /--backend=tent is refused; allowed: classic/],
    [["--mode=target", "--protocol=nvlink"], /--protocol=nvlink is refused; allowed: tcp, rdma/],
    [["--mode=target", "--protocol=nvmeof"], /^--files is missing/],
    [["--mode=target", "--files=/a"], /^--files=\/a is refused; allowed: none without/],
    [["--segment_id=a", "--local_paths=/a=/b"], /^--local_paths=\/a=\/b is refused; allowed: FILE/],
    [["--segment_id=a", "--protocol=nvmeof", "--local_paths=/a"], /^--local_paths=\/a is refused/],
    [["--mode=target", "--nic_priority_matrix=f"], /--nic_priority_matrix.*; allowed: --mode, /],
    [["--mode=target", "--tls_cert=f"], /--tls_cert.*; allowed: .*--tls_key_file/],
    [["--mode=target", "here"], /"here" is no flag/],
  ];
  for (const [args, text] of cases) {
    assert.throws(() => parse(...args), (error) => {
      assert(error instanceof CommandError, String(error));
      assert.match(error.message, text);
      assert.equal(error.exitCode, 2);
      return true;
    });
  }
});

/**
 * `deno run -A bench/pauses.ts [--seconds=N]`: where the slow calls of a master come from.
 *
 * The wheel's client makes single calls to the reference and to ours, second by second in turn. Beside
 * the latencies stands how long the threads of the master ran and how long they were ready to run but
 * had no core, from the scheduler's accounting: what the second number explains is not the master's.
 */
import { freePort, startMaster } from "../examples/local_cluster.ts";
import { findWheel } from "../tests/support/wheel.ts";
import { JsonPeer, startReferenceMaster } from "./json_peer.ts";
import { machineLine } from "./process_stat.ts";
import { printTable, short } from "./table.ts";

const SEGMENT_BYTES = 1 << 30;
const KINDS = ["exist", "get", "put"];

interface Scheduled {
  ranMs: number;
  waitedMs: number;
}

/** Milliseconds of all threads of a process, run and waited for a core. Linux only. */
function scheduled(pid: number): Scheduled {
  const sum = { ranMs: 0, waitedMs: 0 };
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      const text = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`);
      const [ran, waited] = text.split(" ").map(Number);
      sum.ranMs += ran / 1e6;
      sum.waitedMs += waited / 1e6;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // the thread has ended
    }
  }
  return sum;
}

const seconds = Number(
  Deno.args.find((arg) => arg.startsWith("--seconds="))?.slice("--seconds=".length) ?? 3,
);
if (!Number.isInteger(seconds) || seconds < 1 || Deno.args.length > 1) {
  console.error(`Unknown arguments ${Deno.args.join(" ")}; allowed: --seconds=N with N from 1`);
  Deno.exit(2);
}
const wheel = await findWheel();
if (!("python" in wheel)) {
  console.error(`Cannot run the wheel's client: ${wheel.reason}`);
  Deno.exit(1);
}
console.log(`Machine: ${machineLine()}`);
const flags = ["--default_kv_lease_ttl=1000", "--eviction_high_watermark_ratio=0.95"];
const port = await freePort();
await using reference = await startReferenceMaster(wheel.master, port, await freePort(), flags);
const { process: master, address } = await startMaster(flags);
await using _master = master;
const script = new URL("wheel_client.py", import.meta.url).pathname;
const join = async (at: string) =>
  (await JsonPeer.start(wheel.python, [script, at, String(SEGMENT_BYTES), "0"])).peer;
await using theirs = await join(`127.0.0.1:${port}`);
await using ours = await join(address);

const rows: string[][] = [];
for (const kind of KINDS) {
  for (let second = 0; second < seconds; second++) {
    for (
      const [name, pid, client] of [["reference", reference.pid, theirs], [
        "ours",
        master.pid,
        ours,
      ]] as const
    ) {
      const before = scheduled(pid);
      const result = await client.ask<{ calls: number; p50_us: number; p99_us: number }>({
        ...{ kind, n: 1, seconds: 1 },
      });
      const after = scheduled(pid);
      rows.push([
        `${kind} ${name}`,
        short(result.calls),
        short(result.p50_us),
        short(result.p99_us),
        short(after.ranMs - before.ranMs),
        short(after.waitedMs - before.waitedMs),
      ]);
    }
  }
}
printTable(["call, master", "calls/s", "p50 us", "p99 us", "ran ms", "waited ms"], rows);

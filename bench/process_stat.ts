/** What the kernel says about a process. Linux only. */

const libc = Deno.build.os !== "linux" ? null : Deno.dlopen("libc.so.6", {
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
});
/** Of the clock that counts what the scheduler gave to all threads of a process; see `clock_getcpuclockid`. */
const CPUCLOCK_SCHED = 2;

/** Microseconds that all threads of a process have run, those that have ended included. */
export function cpuMicroseconds(pid: number): number {
  const time = new BigInt64Array(2);
  const code = libc?.symbols.clock_gettime((~pid << 3) | CPUCLOCK_SCHED, time);
  if (code !== 0) throw new Error(`There is no clock of process ${pid}`);
  return Number(time[0]) * 1e6 + Number(time[1]) / 1000;
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Load of the machine, for the head of a result. */
export function machineLine(): string {
  const model = /model name\s*: (.*)/.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "CPU";
  const load = Deno.loadavg().map((value) => value.toFixed(2)).join(" ");
  return `${navigator.hardwareConcurrency} x ${model}, kernel ${Deno.osRelease()}, load ${load}`;
}

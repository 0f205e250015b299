/** What the kernel says about a process. Linux only. */

/** Microseconds that all threads of a process have run, from scheduler accounting. */
export function cpuMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      const text = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`);
      nanoseconds += Number(text.split(" ")[0]);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // the thread has ended
    }
  }
  return nanoseconds / 1000;
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

/** What the kernel's scheduler has counted of threads. Linux only. */

/** Of all threads of a name. */
export interface ThreadTimes {
  runMs: number;
  /** How often they were put on a processor. */
  turns: number;
}

/** By name of the thread; those that have ended are not in it. */
export type Times = Map<string, ThreadTimes>;

function add(times: Times, name: string, folder: string): void {
  try {
    const [runNs, , turns] = Deno.readTextFileSync(`${folder}/schedstat`).split(" ").map(Number);
    const sum = times.get(name) ?? { runMs: 0, turns: 0 };
    times.set(name, { runMs: sum.runMs + runNs / 1e6, turns: sum.turns + turns });
  } catch (error) {
    // It has ended meanwhile: ESRCH.
    if (!(error instanceof Deno.errors.NotFound) && !/os error 3\b/.test(String(error))) {
      throw error;
    }
  }
}

function nameOf(folder: string): string {
  try {
    return Deno.readTextFileSync(`${folder}/comm`).trim();
  } catch {
    return "";
  }
}

/** Threads of a process. */
export function threadTimes(pid: number): Times {
  const times: Times = new Map();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${name}`;
    add(times, nameOf(folder), folder);
  }
  return times;
}

/** Threads of the kernel that do its deferred work, that of Soft-RoCE among it. */
export function workerTimes(): Times {
  const times: Times = new Map();
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const kind = /^(kworker|ksoftirqd)/.exec(nameOf(`/proc/${name}`))?.[1];
    if (kind !== undefined) add(times, kind, `/proc/${name}`);
  }
  return times;
}

/** All threads together. */
export function sumOf(times: Times): ThreadTimes {
  let runMs = 0, turns = 0;
  for (const one of times.values()) {
    runMs += one.runMs;
    turns += one.turns;
  }
  return { runMs, turns };
}

/** What has come to `before`. */
export function since(before: Times, now: Times): Times {
  return new Map(
    Array.from(now, ([name, { runMs, turns }]) => {
      const old = before.get(name) ?? { runMs: 0, turns: 0 };
      return [name, { runMs: runMs - old.runMs, turns: turns - old.turns }];
    }),
  );
}

import type { LocalProcess } from "../../examples/local_cluster.ts";
import { until } from "./until.ts";

/** Stops a process; on a busy machine it may go on for a while after the signal. */
export async function freeze(process: LocalProcess): Promise<void> {
  process.kill("SIGSTOP");
  const tasks = `/proc/${process.pid}/task`;
  await until(() =>
    Array.from(Deno.readDirSync(tasks)).every(({ name }) =>
      /^State:\s+[TXZ]/m.test(statusOf(`${tasks}/${name}/status`))
    )
  );
}

function statusOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "State: X"; // the thread has ended
  }
}

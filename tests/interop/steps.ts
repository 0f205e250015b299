/** Runs `steps.py` against a master and compares what two masters answered. */
import { TextLineStream } from "../support/text_lines.ts";
import type { Wheel } from "../support/wheel.ts";

const script = new URL("steps.py", import.meta.url).pathname;

export interface Step {
  step: string;
  result: unknown;
}

export interface StepsOptions {
  /** `host:port` of the master. */
  master: string;
  /** `P2PHANDSHAKE` or a URL. */
  metadata: string;
  /** Bytes that each of the two clients lends. */
  segmentBytes: number;
  /** Bytes of the whole pool, when it is not the clients' own. */
  poolBytes?: number;
  /** Called when the script has paused for a restart of the master; it goes on afterwards. */
  restart?: () => Promise<void>;
}

/** Lease that the masters under test are started with; some steps wait for it to run out. */
export const LEASE_MS = 1000;

/** Runs every step; rejects when the script ends before its last one. */
export async function runSteps(
  wheel: Extract<Wheel, { python: string }>,
  options: StepsOptions,
): Promise<Step[]> {
  const child = new Deno.Command(wheel.python, {
    args: [
      ...["-B", script, "--master", options.master, "--metadata", options.metadata],
      ...["--segment", String(options.segmentBytes), "--lease-ms", String(LEASE_MS)],
      ...(options.poolBytes === undefined ? [] : ["--pool", String(options.poolBytes)]),
      ...(options.restart ? ["--restart"] : []),
    ],
    env: { MC_TCP_BIND_ADDRESS: "127.0.0.1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const input = child.stdin.getWriter();
  const steps: Step[] = [];
  let finished = false;
  for await (const line of child.stdout.pipeThrough(new TextLineStream())) {
    if (!line.startsWith("{")) continue;
    const message = JSON.parse(line);
    if ("pause" in message) {
      await options.restart?.();
      await input.write(new TextEncoder().encode("\n"));
    } else if ("steps" in message) {
      finished = true;
    } else {
      steps.push(message);
    }
  }
  await input.close().catch(() => {});
  const { code, signal } = await child.status;
  if (!finished) {
    const last = steps.at(-1)?.step ?? "none";
    throw new Error(`steps.py ended after step "${last}" (code ${code}, signal ${signal})`);
  }
  return steps;
}

export interface Comparison {
  equal: number;
  /** Steps that differ and are meant to, with the reason. */
  intended: { step: string; reason: string; reference: unknown; ours: unknown }[];
  /** Steps that differ and are not meant to. */
  wrong: { step: string; reference: unknown; ours: unknown }[];
}

/** Compares the answers step by step; `intended` maps a step's name to why it may differ. */
export function compareSteps(
  reference: Step[],
  ours: Step[],
  intended: ReadonlyMap<string, string> = new Map(),
): Comparison {
  const result: Comparison = { equal: 0, intended: [], wrong: [] };
  for (let i = 0; i < Math.max(reference.length, ours.length); i++) {
    const [left, right] = [reference[i], ours[i]];
    const step = left?.step ?? right.step;
    if (left?.step !== right?.step) {
      result.wrong.push({ step, reference: left?.step, ours: right?.step });
    } else if (JSON.stringify(left.result) === JSON.stringify(right.result)) {
      result.equal++;
    } else {
      const reason = intended.get(step);
      const pair = { step, reference: left.result, ours: right.result };
      if (reason === undefined) result.wrong.push(pair);
      else result.intended.push({ ...pair, reason });
    }
  }
  return result;
}

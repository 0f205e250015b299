/** What the master benchmark can be told; names and defaults as those of the reference's tool. */
import { parseArgs } from "node:util";
import { parseSize } from "../../client/size.ts";

export const operations = [
  "put",
  "get",
  "exist",
  "batch_put",
  "batch_get",
  "batch_exist",
] as const;
export type Operation = (typeof operations)[number];

export interface MasterBenchOptions {
  operations: Operation[];
  /** Clients of each thread; each has one call under way in a closed loop. */
  clients: number;
  threads: number;
  /** Keys of a batch call. */
  batch: number;
  valueBytes: number;
  segments: number;
  segmentBytes: number;
  /** Seconds of each operation. */
  duration: number;
  /** Keys that are there before anything is measured. */
  keys: number;
  /** Calls per second of all clients together, begun on time whatever the answers do; 0 = closed loop. */
  rate: number;
  /** `host:port` of a running master, empty = one is started. */
  master: string;
  /** Measure the reference's master as well, operation by operation in turn. */
  compare: boolean;
  json: string;
  html: string;
}

const HELP = `Usage: deno task bench:master [OPTIONS]

Measures a master's calls without moving any bytes: segments are only announced.

  --operation LIST    of ${operations.join(", ")}; default all
  --threads N         threads that make calls (default 1)
  --clients N         clients of each thread, each on a connection of its own (default 4)
  --batch_size N      keys of a batch call (default 128)
  --value_size SIZE   bytes of an object (default 4096)
  --num_segments N    segments (default 128)
  --segment_size SIZE bytes of each (default 64gib)
  --duration SECONDS  of each operation (default 5)
  --keys N            objects that are there at the beginning (default 100000)
  --rate N            calls a second, begun on time (open loop); 0 = as fast as answered (default 0)
  --master HOST:PORT  measure a master that runs; default: start one
  --compare           measure the reference's master beside ours
  --json FILE         write everything that was measured
  --html FILE         write a page with charts

Example: deno task bench:master --operation batch_get --batch_size 128 --duration 10 --html out.html
`;

function fail(line: string): never {
  console.error(line);
  Deno.exit(2);
}

function integer(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  return fail(`--${name}=${text}: allowed are integers from ${least} to ${most}`);
}

function bytes(name: string, text: string): number {
  try {
    const size = parseSize(`--${name}`, text);
    if (size > 0) return size;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return fail(`--${name}=${text}: allowed are sizes such as 4096 or 64gib`);
}

/** Reads the command line; ends the process with 2 and one line on anything that is not allowed. */
export function readOptions(args: string[]): MasterBenchOptions {
  const text = (fallback: string) => ({ type: "string", default: fallback }) as const;
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        operation: text(operations.join(",")),
        threads: text("1"),
        clients: text("4"),
        batch_size: text("128"),
        value_size: text("4096"),
        num_segments: text("128"),
        segment_size: text("64gib"),
        duration: text("5"),
        keys: text("100000"),
        rate: text("0"),
        master: text(""),
        compare: { type: "boolean", default: false },
        json: text(""),
        html: text(""),
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return fail((error as Error).message);
  }
  if (values.help) {
    console.log(HELP);
    Deno.exit(0);
  }
  const chosen = values.operation.split(",");
  for (const one of chosen) {
    if (!operations.includes(one as Operation)) {
      fail(`--operation=${one}: allowed are ${operations.join(", ")}`);
    }
  }
  if (values.compare && values.master !== "") {
    fail("--compare starts both masters; leave --master out");
  }
  return {
    operations: chosen as Operation[],
    threads: integer("threads", values.threads, 1, 64),
    clients: integer("clients", values.clients, 1, 1024),
    batch: integer("batch_size", values.batch_size, 1, 4096),
    valueBytes: bytes("value_size", values.value_size),
    segments: integer("num_segments", values.num_segments, 1, 10_000),
    segmentBytes: bytes("segment_size", values.segment_size),
    duration: integer("duration", values.duration, 1, 3600),
    keys: integer("keys", values.keys, 1, 100_000_000),
    rate: integer("rate", values.rate, 0, 10_000_000),
    master: values.master,
    compare: values.compare,
    json: values.json,
    html: values.html,
  };
}

/** What the transfer benchmark can be told. */
import { parseArgs } from "node:util";

export const SECTIONS = ["engine", "store", "host", "idle", "crc"] as const;
export type SectionName = (typeof SECTIONS)[number];

export interface TransferBenchOptions {
  sections: SectionName[];
  /** A third of the rounds, and shorter ones. */
  quick: boolean;
  /** File for everything that was measured, empty = none. */
  json: string;
}

const HELP = `Usage: deno task bench:transfer [OPTIONS]

Transfers of bytes, with the published wheel beside ours in the same run, in interleaved rounds;
medians. Each figure stands beside what is asked of it.

  --only=LIST   of ${SECTIONS.join(", ")}; default all
                engine  single transfers, batches and several callers, between two processes
                store   put and get of a store, between two processes
                host    get from memory of the same host beside a plain memcpy
                idle    processor time of engines that have nothing to do, or wait
                crc     what checksums of values cost
  --quick       fewer and shorter rounds
  --json FILE   write everything that was measured
  --help        this text

Example: deno task bench:transfer --quick --only=engine,idle --json transfers.json
`;

function fail(line: string): never {
  console.error(line);
  Deno.exit(2);
}

/** Reads the command line; ends the process with 2 and one line on anything that is not allowed. */
export function readOptions(args: string[]): TransferBenchOptions {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        only: { type: "string", default: SECTIONS.join(",") },
        quick: { type: "boolean", default: false },
        json: { type: "string", default: "" },
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
  const chosen = values.only.split(",");
  const unknown = chosen.find((name) => !SECTIONS.includes(name as SectionName));
  if (unknown !== undefined) fail(`--only=${unknown}: allowed are ${SECTIONS.join(", ")}`);
  if (values.json !== "") {
    try {
      Deno.writeTextFileSync(values.json, "");
    } catch (error) {
      fail(`--json=${values.json} cannot be written: ${(error as Error).message}`);
    }
  }
  return {
    sections: SECTIONS.filter((name) => chosen.includes(name)),
    quick: values.quick,
    json: values.json,
  };
}

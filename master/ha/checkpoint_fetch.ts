/** Taking a checkpoint from another master: its newest one, over its admin server. */
import type { CoreConfig } from "../core/api.ts";
import { checkpointPath, syncDirectory } from "../journal/files.ts";
import type { MemberRecord } from "./fact_log.ts";
import type { FoldOrder, FoldReport } from "./fold.ts";
import { writeLogId } from "./identity.ts";

/** Where a master hands out its newest checkpoint, and what it says about it. */
export const CHECKPOINT_PATH = "/v1/ha/checkpoint";
export const SEQUENCE_HEADER = "x-snowskin-sequence";
export const LOG_HEADER = "x-snowskin-log";

/** Longest silence of the other master. */
const SILENCE_MS = 10_000;

export interface FetchOptions {
  dataPath: string;
  config: CoreConfig;
  /** Lets go of the files that are there, which are about to be replaced. */
  release: () => void;
  info: (line: string) => void;
}

/**
 * Replaces the files of a data directory by the checkpoint of one of `members`, of group `base` or
 * later. It is read back first: every part has a checksum, and the digest of the whole must be the one
 * that the other master has announced for it. Throws when none can be had; the files are untouched then.
 */
export async function fetchCheckpoint(
  members: readonly MemberRecord[],
  logId: string,
  base: number,
  { dataPath, config, release, info }: FetchOptions,
): Promise<void> {
  const incoming = `${dataPath}/incoming`;
  const failures: string[] = [];
  for (const { admin, checkpoint, checkpointToken } of members) {
    try {
      remove(incoming);
      Deno.mkdirSync(incoming, { recursive: true });
      const sequence = await download(admin, checkpointToken, logId, incoming);
      if (sequence < base) throw new Error(`it is of group ${sequence}, and ${base} is needed`);
      const { digest, bytes } = await readBack({
        ...{ kind: "read", directory: incoming, sequence, config },
      });
      if (checkpoint?.sequence === sequence && checkpoint.digest !== digest) {
        throw new Error("it is not what was announced");
      }
      release();
      install(incoming, `${dataPath}/journal`, sequence);
      writeLogId(dataPath, logId);
      remove(incoming);
      info(`took the checkpoint of group ${sequence} from ${admin}: ${bytes} bytes`);
      return;
    } catch (error) {
      failures.push(`${admin}: ${error instanceof Error ? error.message : error}`);
    }
  }
  remove(incoming);
  throw new Error(`Cannot take a checkpoint: ${failures.join("; ")}`);
}

async function download(
  admin: string,
  token: string | undefined,
  logId: string,
  directory: string,
): Promise<number> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const response = await fetch(`http://${admin}${CHECKPOINT_PATH}`, {
      signal: abort.signal,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    if (!response.ok || response.body === null) {
      throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 200)}`);
    }
    const sequence = Number(response.headers.get(SEQUENCE_HEADER));
    if (response.headers.get(LOG_HEADER) !== logId || !Number.isSafeInteger(sequence)) {
      throw new Error("it is of another log");
    }
    using file = Deno.openSync(checkpointPath(directory, sequence), {
      ...{ write: true, create: true, truncate: true },
    });
    for await (const chunk of response.body) {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE_MS);
      for (let at = 0; at < chunk.length;) at += file.writeSync(chunk.subarray(at));
    }
    file.syncSync();
    return sequence;
  } finally {
    clearTimeout(timer);
  }
}

async function readBack(order: FoldOrder) {
  const url = new URL("./fold_worker.ts", import.meta.url).href;
  const worker = new Worker(url, { type: "module" });
  try {
    const report = await new Promise<FoldReport>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<FoldReport>) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      worker.postMessage(order);
    });
    if ("failure" in report) throw new Error(report.failure);
    return report.mark;
  } finally {
    worker.terminate();
  }
}

/** The old files go first: a kill in between leaves a directory that holds nothing, or the new one. */
function install(incoming: string, journal: string, sequence: number): void {
  for (const { name } of Deno.readDirSync(journal)) Deno.removeSync(`${journal}/${name}`);
  Deno.renameSync(checkpointPath(incoming, sequence), checkpointPath(journal, sequence));
  syncDirectory(journal);
}

function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

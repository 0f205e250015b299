/** Which log the files of a data directory are a copy of. */

const FILE = "ha.json";

/** The id of the log, `null` = the files are no copy, or there are none. */
export function readLogId(dataPath: string): string | null {
  let text: string;
  try {
    text = Deno.readTextFileSync(`${dataPath}/${FILE}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  return (JSON.parse(text) as { logId: string }).logId;
}

/** Keeps the id of the log. */
export function writeLogId(dataPath: string, logId: string): void {
  const partial = `${dataPath}/${FILE}.partial`;
  const file = Deno.openSync(partial, { write: true, create: true, truncate: true });
  try {
    file.writeSync(new TextEncoder().encode(`${JSON.stringify({ format: 1, logId })}\n`));
    file.syncSync();
  } finally {
    file.close();
  }
  Deno.renameSync(partial, `${dataPath}/${FILE}`);
}

/** The files are no copy of a log any more: a lone master goes on with them. */
export function forgetLogId(dataPath: string): void {
  try {
    Deno.removeSync(`${dataPath}/${FILE}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Names of the journal's files in its directory. */
const TAIL = /^tail-(\d{16})\.log$/;
const CHECKPOINT = /^checkpoint-(\d{16})\.snap$/;

/** A file and the sequence number in its name. */
export interface NumberedFile {
  readonly path: string;
  readonly sequence: number;
}

/** A tail segment whose first group is `sequence`. */
export function tailPath(directory: string, sequence: number): string {
  return `${directory}/tail-${String(sequence).padStart(16, "0")}.log`;
}

/** A checkpoint that holds every group up to `sequence`. */
export function checkpointPath(directory: string, sequence: number): string {
  return `${directory}/checkpoint-${String(sequence).padStart(16, "0")}.snap`;
}

/** The journal's files, each kind by rising sequence. */
export function listFiles(
  directory: string,
): { tails: NumberedFile[]; checkpoints: NumberedFile[] } {
  const tails: NumberedFile[] = [];
  const checkpoints: NumberedFile[] = [];
  for (const { name } of Deno.readDirSync(directory)) {
    const path = `${directory}/${name}`;
    const tail = TAIL.exec(name);
    const checkpoint = CHECKPOINT.exec(name);
    if (tail !== null) tails.push({ path, sequence: Number(tail[1]) });
    if (checkpoint !== null) checkpoints.push({ path, sequence: Number(checkpoint[1]) });
  }
  const rising = (a: NumberedFile, b: NumberedFile) => a.sequence - b.sequence;
  return { tails: tails.sort(rising), checkpoints: checkpoints.sort(rising) };
}

/** Makes new and renamed files of a directory survive a loss of power. */
export function syncDirectory(directory: string): void {
  using handle = Deno.openSync(directory);
  handle.syncSync();
}

/** Deletes what a checkpoint has made superfluous: tails whose groups it holds, older checkpoints. */
export function deleteThrough(directory: string, checkpoint: number): void {
  const { tails, checkpoints } = listFiles(directory);
  for (const { path, sequence } of checkpoints) {
    if (sequence < checkpoint) Deno.removeSync(path);
  }
  for (const [i, { path }] of tails.entries()) {
    const next = tails[i + 1];
    if (next !== undefined && next.sequence <= checkpoint + 1) Deno.removeSync(path);
  }
}

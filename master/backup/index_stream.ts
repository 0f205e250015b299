/**
 * The index of a running master over HTTP, for backups that are made elsewhere: the files of a
 * snapshot, one after the other, and a header that says what they are.
 */
import type { IndexCopy } from "../journal/master_journal.ts";
import type { SnapshotDraft } from "./catalog.ts";
import { documentsOf, writeDocuments } from "./documents_file.ts";
import { DOCUMENTS_NAME, INDEX_NAME } from "./manifest.ts";

/** JSON: an {@linkcode IndexHeader}. */
export const INDEX_HEADER = "x-snowskin-index";
const CHUNK_BYTES = 1 << 20;

interface IndexHeader extends Omit<SnapshotDraft, "files"> {
  files: { name: string; bytes: number }[];
}

/** Answers with a copy of the index, which is deleted, and with the documents of the master. */
export async function indexResponse(
  copy: IndexCopy,
  master: { clusterId: string; version: string; tablesPath: string | null },
): Promise<Response> {
  const { path, group, keys, segments } = copy;
  const paths: Record<string, string> = { [INDEX_NAME]: path };
  const documents = documentsOf(path);
  if (master.tablesPath !== null && await writeDocuments(master.tablesPath, documents)) {
    paths[DOCUMENTS_NAME] = documents;
  }
  const opened: Deno.FsFile[] = [];
  const files: IndexHeader["files"] = [];
  for (const [name, path] of Object.entries(paths)) {
    const file = await Deno.open(path, { read: true });
    opened.push(file);
    await Deno.remove(path);
    files.push({ name, bytes: (await file.stat()).size });
  }
  const { clusterId, version } = master;
  const header: IndexHeader = { clusterId, master: version, group, keys, segments, files };
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return new Response(concatenation(opened), {
    headers: {
      "content-type": "application/octet-stream",
      "content-length": String(bytes),
      [INDEX_HEADER]: JSON.stringify(header),
    },
  });
}

/** The bytes of files, one after the other; each is closed after its end. */
function concatenation(files: Deno.FsFile[]): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (files.length > 0) {
        const chunk = new Uint8Array(CHUNK_BYTES);
        const count = await files[0].read(chunk);
        if (count !== null) return controller.enqueue(chunk.subarray(0, count));
        files.shift()!.close();
      }
      controller.close();
    },
    cancel() {
      for (const file of files.splice(0)) file.close();
    },
  });
}

/**
 * Writes what {@linkcode indexResponse} has sent into files of `directory`. Rejects with an `Error`
 * when the answer is none of those, or ends early.
 */
export async function receiveIndex(response: Response, directory: string): Promise<SnapshotDraft> {
  const text = response.headers.get(INDEX_HEADER);
  if (text === null || response.body === null) throw new Error("the answer is no index");
  const { files, ...draft } = JSON.parse(text) as IndexHeader;
  const paths: Record<string, string> = {};
  const reader = response.body.getReader();
  let chunk = new Uint8Array(0);
  for (const { name, bytes } of files) {
    if (name !== INDEX_NAME && name !== DOCUMENTS_NAME) throw new Error(`unknown file ${name}`);
    paths[name] = `${directory}/${name}`;
    using file = await Deno.open(paths[name], { write: true, createNew: true });
    for (let left = bytes; left > 0;) {
      if (chunk.length === 0) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the master stopped ${left} bytes before the end of ${name}`);
        chunk = value;
      }
      const count = await file.write(chunk.subarray(0, left));
      chunk = chunk.subarray(count);
      left -= count;
    }
  }
  await reader.cancel();
  return { ...draft, files: paths };
}

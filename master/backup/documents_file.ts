/** The documents of the HTTP metadata server as one file of a snapshot: a JSON array, in base64. */
import { Buffer } from "node:buffer";
import { DocumentTable, readDocuments } from "../http/document_table.ts";

/** Where the documents that belong to a copy of the index are written. */
export function documentsOf(copy: string): string {
  return `${copy}.documents`;
}

/** Writes the documents of the database at `tablesPath`; whether there are any. */
export async function writeDocuments(tablesPath: string, path: string): Promise<boolean> {
  if (!DocumentTable.isAvailable || !await isFile(tablesPath)) return false;
  const documents = await readDocuments(tablesPath);
  if (documents.length === 0) return false;
  const text = JSON.stringify(
    documents.map(({ key, value }) => [
      Buffer.from(key).toString("base64"),
      Buffer.from(value).toString("base64"),
    ]),
  );
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  return true;
}

/**
 * Puts the documents of a file into the database at `tablesPath`, unless it has some already. Returns
 * how many; `null` when this Deno was started without its database.
 */
export async function restoreDocuments(path: string, tablesPath: string): Promise<number | null> {
  if (!DocumentTable.isAvailable) return null;
  const documents = JSON.parse(await Deno.readTextFile(path)) as [string, string][];
  let present = 0;
  await using table = await DocumentTable.open(tablesPath, () => void present++);
  if (present > 0) return 0;
  for (const [key, value] of documents) {
    await table.set(decode(key), decode(value));
  }
  return documents.length;
}

function decode(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, "base64"));
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

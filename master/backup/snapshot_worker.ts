/** Entry of the Worker that brings one snapshot to its places and ends; see `snapshotter.ts`. */
import type { IndexCopy } from "../journal/master_journal.ts";
import { type SnapshotDraft } from "./catalog.ts";
import { documentsOf, writeDocuments } from "./documents_file.ts";
import { DOCUMENTS_NAME, INDEX_NAME, type Manifest } from "./manifest.ts";
import { ObjectStoreError } from "./object_store.ts";
import { openPlace, type SnapshotPlace } from "./places.ts";

/** What the Worker is to do. Structured-cloneable. */
export interface SnapshotOrder {
  readonly copy: IndexCopy;
  readonly places: readonly SnapshotPlace[];
  readonly clusterId: string;
  readonly master: string;
  /** Snapshots that stay in each place. */
  readonly retention: number;
  /** Database of the HTTP metadata documents. */
  readonly tablesPath: string;
}

/** How it went in one place. */
export interface Published {
  readonly location: string;
  readonly manifest: Manifest;
  /** Old snapshots could not be removed. */
  readonly trouble: string | null;
}

export type SnapshotReport =
  | { type: "progress"; location: string; bytes: number; total: number }
  | { type: "done"; published: Published[]; failures: string[] };

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<SnapshotOrder>) => void;
  postMessage(report: SnapshotReport): void;
};

scope.onmessage = async ({ data: order }) => {
  const published: Published[] = [];
  const failures: string[] = [];
  try {
    const draft = await draftOf(order);
    for (const place of order.places) {
      try {
        published.push(await publish(draft, place, order.retention));
      } catch (error) {
        if (!(error instanceof ObjectStoreError)) throw error;
        failures.push(error.message);
      }
    }
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  }
  removeFiles(order.copy.path);
  scope.postMessage({ type: "done", published, failures });
};

/** Frees the copy here: that takes long when it is large and the last of its name. */
function removeFiles(copy: string): void {
  for (const path of [copy, documentsOf(copy)]) {
    try {
      Deno.removeSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

async function draftOf(order: SnapshotOrder): Promise<SnapshotDraft> {
  const { copy, clusterId, master, tablesPath } = order;
  const { group, keys, segments } = copy;
  const documents = documentsOf(copy.path);
  const files: Record<string, string> = { [INDEX_NAME]: copy.path };
  if (await writeDocuments(tablesPath, documents)) files[DOCUMENTS_NAME] = documents;
  return { clusterId, master, group, keys, segments, files };
}

async function publish(
  draft: SnapshotDraft,
  place: SnapshotPlace,
  retention: number,
): Promise<Published> {
  using catalog = await openPlace(place);
  const { location } = catalog;
  const manifest = await catalog.publish(draft, Date.now(), (bytes, total) => {
    scope.postMessage({ type: "progress", location, bytes, total });
  });
  try {
    await catalog.prune(retention, Date.now());
    return { location, manifest, trouble: null };
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    return { location, manifest, trouble: error.message };
  }
}

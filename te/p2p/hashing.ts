import { EngineCode, EngineError } from "../engine_code.ts";
import type { Content } from "./content.ts";
import type { P2pProgress } from "./download.ts";
import {
  type Checksum,
  countPieces,
  type Crc32cSource,
  type Manifest,
  MAX_PIECES,
  piecesOf,
  type SharedFile,
  sumOf,
  totalLength,
} from "./manifest.ts";

/** Pieces that are read and summed at the same time. */
const AT_ONCE = 4;
const REPORT_BYTES = 64 << 20;

/** How checksums are computed. */
export interface HashOptions {
  readonly pieceLength: number;
  readonly checksum: Checksum;
  readonly onProgress: (progress: P2pProgress) => void;
  readonly signal: AbortSignal | undefined;
  readonly engine: Crc32cSource;
}

/**
 * Reads all of some content and makes its manifest. `EngineError`: `INVALID_ARGUMENT` when there would
 * be too many pieces or it cannot be read, `CANCELLED`.
 */
export async function makeManifest(
  files: readonly SharedFile[],
  content: Content,
  { pieceLength, checksum, onProgress, signal, engine }: HashOptions,
): Promise<Manifest> {
  const count = countPieces(files, pieceLength);
  if (count > MAX_PIECES) {
    const message = `pieceLength=${pieceLength} is refused: that makes ${count} pieces; allowed: ` +
      `${MAX_PIECES}`;
    throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
  }
  const pieces = piecesOf(files, pieceLength);
  const sums: Uint8Array[] = Array.from({ length: pieces.length });
  const totalBytes = totalLength({ files });
  let [next, doneBytes, reported] = [0, 0, 0];
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, pieces.length) }, async () => {
    const buffer = new Uint8Array(pieceLength);
    while (next < pieces.length) {
      if (signal?.aborted) throw new EngineError(EngineCode.CANCELLED, "It was stopped");
      const piece = pieces[next++];
      await content.read(piece, buffer);
      sums[piece.index] = await sumOf(checksum, buffer.subarray(0, piece.length), engine);
      doneBytes += piece.length;
      if (doneBytes - reported < REPORT_BYTES && doneBytes < totalBytes) continue;
      reported = doneBytes;
      onProgress({ doneBytes, totalBytes, holders: 0 });
    }
  }));
  const all = new Uint8Array(sums.reduce((length, sum) => length + sum.length, 0));
  let at = 0;
  for (const sum of sums) {
    all.set(sum, at);
    at += sum.length;
  }
  return { files, pieceLength, checksum, sums: all };
}

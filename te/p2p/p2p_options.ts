import { refuse, type TransferEngineOptions } from "../options.ts";
import type { P2pProgress } from "./download.ts";
import { type Checksum, isFileName, MAX_PIECE, MIN_PIECE } from "./manifest.ts";

/** What `P2pStore.open` can be told: what its engine can, and this. `metadata` has to be a service. */
export interface P2pOptions extends Omit<TransferEngineOptions, "onNotify"> {
  /** Milliseconds between signs of life of what this process holds; default 5000. */
  beatMs?: number;
  /** In [0, 1), for the order of pieces; default `Math.random`. */
  random?: () => number;
}

/** A file to share, or an array under a name. */
export type SeedSource = { readonly path: string } | {
  readonly name: string;
  /** Must not be detached until the replica is withdrawn. */
  readonly bytes: Uint8Array<ArrayBuffer>;
};

/** How content is shared. */
export interface SeedOptions {
  /** Bytes of a piece, 64 KiB to 1 GiB; default such that there are up to 4096, at least 256 KiB. */
  pieceLength?: number;
  /** Default `sha256`. */
  checksum?: Checksum;
  /** Told as checksums are computed. */
  onProgress?: (progress: P2pProgress) => void;
  /** Gives it up. */
  signal?: AbortSignal;
}

/** Where content is brought: into a folder, or into arrays, one of the right length for each file. */
export type GetTarget = { readonly directory: string } | {
  readonly arrays: readonly Uint8Array<ArrayBuffer>[];
};

/** How content is brought. */
export interface GetOptions {
  /** Pieces fetched at the same time; default 8, and as many as 256 MiB hold. */
  parallel?: number;
  /** Milliseconds to wait for the name to be there; default 0. */
  waitMs?: number;
  /** Milliseconds without a new piece after which it fails; default 30000. */
  stallTimeoutMs?: number;
  /** Whether files that are there with other content are replaced; default false. */
  overwrite?: boolean;
  /** Told every half second, and at the end. */
  onProgress?: (progress: P2pProgress) => void;
  /** Gives it up; what has come stays, to go on from. */
  signal?: AbortSignal;
}

/** Refuses what is wrong in options of a store, with `INVALID_ARGUMENT`. */
export function checkP2pOptions(options: P2pOptions) {
  const { beatMs = 5000, random = Math.random, ...engine } = options;
  whole("beatMs", beatMs, 10, 3_600_000);
  if ("onNotify" in engine) refuse("onNotify", "...", "none: messages are the store's");
  if ((engine.metadata ?? "P2PHANDSHAKE") === "P2PHANDSHAKE") {
    refuse(
      "metadata",
      "P2PHANDSHAKE",
      "a service that keeps names: http://..., etcd://..., redis://...",
    );
  }
  return { beatMs, random, engine };
}

/** Refuses what is wrong in how content is shared. */
export function checkSeedOptions(sources: readonly SeedSource[], options: SeedOptions): void {
  const { pieceLength, checksum = "sha256" } = options;
  if (pieceLength !== undefined) whole("pieceLength", pieceLength, MIN_PIECE, MAX_PIECE);
  if (checksum !== "sha256" && checksum !== "crc32c") {
    refuse("checksum", checksum, "sha256, crc32c");
  }
  if (sources.length === 0) refuse("sources", "none", "at least one file or array");
  const files = sources.filter((source) => "path" in source).length;
  if (files !== 0 && files !== sources.length) {
    refuse("sources", "both", "files only, or arrays only");
  }
  const names = sources.map(nameOf);
  const bad = names.find((name) => !isFileName(name));
  if (bad !== undefined) refuse("name", bad, "up to 255 characters without / and \\");
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse("sources", twice, "each name once");
}

/** What a source is called in a folder. */
export function nameOf(source: SeedSource): string {
  return "path" in source ? source.path.replace(/^.*\//s, "") : source.name;
}

/** Refuses what is wrong in how content is brought. */
export function checkGetOptions(options: GetOptions): void {
  whole("parallel", options.parallel ?? 1, 1, 256);
  whole("waitMs", options.waitMs ?? 0, 0, 86_400_000);
  whole("stallTimeoutMs", options.stallTimeoutMs ?? 1, 1, 86_400_000);
}

function whole(name: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  refuse(name, value, `an integer from ${low} to ${high}`);
}

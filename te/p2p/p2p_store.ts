import { type Clock, pause, systemClock } from "../../client/transfer/clock.ts";
import type { Notification } from "../../proto/handshake.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import { openServiceOf } from "../metadata_service.ts";
import { TransferEngine } from "../transfer_engine.ts";
import type { Content } from "./content.ts";
import { checkPieces, Download } from "./download.ts";
import { FileContent } from "./file_content.ts";
import { makeManifest } from "./hashing.ts";
import { Holders } from "./holders.ts";
import {
  countPieces,
  digestOf,
  type Manifest,
  pieceLengthFor,
  piecesOf,
  type SharedFile,
  totalLength,
} from "./manifest.ts";
import { MemoryContent } from "./memory_content.ts";
import { checkName, NameRegistry } from "./name_registry.ts";
import {
  checkGetOptions,
  checkP2pOptions,
  checkSeedOptions,
  type GetOptions,
  type GetTarget,
  type P2pOptions,
  type SeedOptions,
  type SeedSource,
} from "./p2p_options.ts";
import { OwnPieces } from "./piece_set.ts";
import { Replica } from "./replica.ts";
import { sourceFiles } from "./sources.ts";
import { openTarget, otherContent } from "./targets.ts";

const UNSEED = "snowskin-p2p/1 unseed ";
const STAGED_BYTES = 256 << 20;
const WAIT_STEP_MS = 200;
const UNSEED_TIMEOUT_MS = 10_000;
/** Beats that have to be missed before others remove what a process said. */
const MISSED_BEATS = 3;

/** A name and what belongs to it. */
export interface SharedContent {
  readonly name: string;
  readonly files: readonly SharedFile[];
  /** Bytes of all files. */
  readonly length: number;
  readonly pieceLength: number;
  readonly digest: string;
  /** Names of the engines that hold pieces, and whether each answers. */
  readonly holders: readonly { readonly segment: string; readonly answers: boolean }[];
}

/**
 * Files and arrays that spread from process to process: whoever has pieces of a name serves them on, so
 * that the first holder sends each piece about once however many want it. Needs a metadata service
 * that can list keys, and no master.
 *
 * @example
 * ```ts ignore
 * await using store = await P2pStore.open({ metadata: "etcd://10.0.0.1:2379", localServerName: "10.0.0.7" });
 * const replica = await store.get("llama", { directory: "/models/llama" });
 * console.log(replica.sources.receivedBytes); // and serves it until replica.withdraw()
 * ```
 */
export class P2pStore implements AsyncDisposable {
  /** What moves the bytes. */
  readonly engine: TransferEngine;
  readonly #registry: NameRegistry;
  readonly #clock: Clock;
  readonly #beatMs: number;
  readonly #random: () => number;
  readonly #log: (line: string) => void;
  /** By name: what this process holds, and what stops a download. */
  readonly #held = new Map<string, { replica: Replica; stop: AbortController }>();
  /** Names that are about to be held. */
  readonly #starting = new Set<string>();

  private constructor(
    options: ReturnType<typeof checkP2pOptions>,
    engine: TransferEngine,
    registry: NameRegistry,
  ) {
    this.engine = engine;
    this.#registry = registry;
    this.#clock = options.engine.clock ?? systemClock;
    this.#beatMs = options.beatMs;
    this.#random = options.random;
    this.#log = options.engine.log ?? (() => {});
  }

  /**
   * Opens a store and its engine. `EngineError` as `TransferEngine.initialize`, `INVALID_ARGUMENT` when
   * there is no metadata service, `METADATA` when that cannot list keys (servers of the reference over
   * HTTP cannot).
   */
  static async open(options: P2pOptions): Promise<P2pStore> {
    const checked = checkP2pOptions(options);
    let take = (_message: string): void => {};
    const onNotify = ({ message }: Notification) => take(message);
    const engine = await TransferEngine.initialize({ ...checked.engine, onNotify });
    const registry = new NameRegistry({
      kv: openServiceOf(checked.engine)!,
      clusterId: checked.engine.metadataClusterId ?? "",
      probe: (segment) => engine.probe(segment),
    });
    const store = new P2pStore(checked, engine, registry);
    take = (message) => store.#take(message);
    try {
      await registry.names("");
      return store;
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Shares files, or arrays, under a name and serves them until the replica is withdrawn. Files must
   * stay as they are meanwhile; a change ends it. `EngineError`: `INVALID_ARGUMENT` when a file cannot
   * be read, or when the name has other content that somebody holds; `METADATA`, `CANCELLED`.
   */
  seed(
    name: string,
    sources: readonly SeedSource[],
    options: SeedOptions = {},
  ): Promise<Replica> {
    return this.#alone(name, () => this.#seed(name, sources, options));
  }

  /**
   * Brings the content of a name, and serves what has come of it from the first piece on. Resolves when
   * all is there and right; goes on serving until the replica is withdrawn. In a folder files have
   * `.part` behind their names until then, and an earlier try is gone on with. `EngineError`:
   * `INVALID_ARGUMENT` for a target that does not fit, is in the way or cannot be written, `METADATA`
   * when nobody has given the name content, `TIMEOUT` when no piece comes any more, `CANCELLED`.
   */
  get(name: string, target: GetTarget, options: GetOptions = {}): Promise<Replica> {
    return this.#alone(name, () => this.#get(name, target, options));
  }

  /** The names that begin with `prefix`, and who holds them. `METADATA`. */
  async list(prefix = ""): Promise<SharedContent[]> {
    const names = await this.#registry.names(prefix);
    const all = await Promise.all(names.map((name) => this.#describe(name)));
    return all.filter((content) => content !== null);
  }

  /**
   * Takes a name back everywhere: every holder is told to serve it no more, and what those that do not
   * answer have said is removed. Files stay where they are. Resolves with how many were told. `METADATA`
   * when there is no such name, `TIMEOUT` when somebody who answers goes on.
   */
  async unseed(name: string): Promise<number> {
    checkName(name);
    const registry = this.#registry;
    const segments = await registry.segments(name);
    if (segments.length === 0 && await registry.manifest(name) === null) throw unknown(name);
    await Promise.all(segments.map(async (segment) => {
      try {
        await this.engine.notify(segment, UNSEED + name);
      } catch {
        if (!await this.engine.probe(segment)) await registry.remove(name, segment);
      }
    }));
    const deadline = this.#clock.now() + UNSEED_TIMEOUT_MS;
    while ((await registry.segments(name)).length > 0) {
      if (this.#clock.now() > deadline) {
        const left = (await registry.segments(name)).join(", ");
        const message = `${JSON.stringify(name)} is still held by ${left}`;
        throw new EngineError(EngineCode.TIMEOUT, message);
      }
      await pause(this.#clock, WAIT_STEP_MS / 4);
    }
    await registry.remove(name, this.engine.localName);
    return segments.length;
  }

  /** Withdraws everything and closes the engine. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#held.values()].map(({ replica, stop }) => {
      stop.abort();
      return replica.withdraw("its store was closed");
    }));
    await this.#registry.close();
    await this.engine[Symbol.asyncDispose]();
  }

  async #seed(
    name: string,
    sources: readonly SeedSource[],
    options: SeedOptions,
  ): Promise<Replica> {
    checkSeedOptions(sources, options);
    const files = await sourceFiles(sources);
    const content = await this.#openSources(sources, files);
    try {
      const known = await this.#registry.manifest(name);
      const { onProgress = () => {}, signal } = options;
      // The same files are the same content, however they would be cut by default.
      const cut = known ?? { pieceLength: pieceLengthFor(files), checksum: "sha256" as const };
      const manifest = await makeManifest(files, content, {
        pieceLength: options.pieceLength ?? cut.pieceLength,
        checksum: options.checksum ?? cut.checksum,
        ...{ onProgress, signal, engine: this.engine },
      });
      await this.#registry.claim(name, manifest);
      const own = await this.#own(manifest);
      for (let i = 0; i < own.count; i++) own.have.add(i);
      return (await this.#serve(name, manifest, content, own)).replica;
    } catch (error) {
      await content.close();
      throw error;
    }
  }

  async #get(name: string, target: GetTarget, options: GetOptions): Promise<Replica> {
    checkGetOptions(options);
    const manifest = await this.#find(name, options);
    const { overwrite = false } = options;
    const { content, present } = await openTarget(manifest, target, this.engine, {
      ...{ overwrite, log: this.#log },
    });
    let held: { replica: Replica; stop: AbortController };
    let foundPieces = 0;
    let own: OwnPieces;
    try {
      own = await this.#own(manifest);
      const never = new AbortController().signal;
      foundPieces = await checkPieces(manifest, content, own, this.engine, options.signal ?? never);
      checkPresent(manifest, present, own);
      held = await this.#serve(name, manifest, content, own);
    } catch (error) {
      await content.close();
      throw error;
    }
    const { replica } = held;
    try {
      await this.#download(name, manifest, content, own, held, options, foundPieces);
      return replica;
    } catch (error) {
      const stopped = held.stop.signal.aborted ? await replica.ended : null;
      await replica.withdraw("its download failed");
      if (stopped === null) throw error;
      const message = `The download of ${JSON.stringify(name)} was stopped: ${stopped}`;
      throw new EngineError(EngineCode.CANCELLED, message, { cause: error });
    }
  }

  async #openSources(
    sources: readonly SeedSource[],
    files: readonly SharedFile[],
  ): Promise<Content> {
    const arrays = sources.flatMap((source) => "bytes" in source ? [source.bytes] : []);
    if (arrays.length > 0) return await MemoryContent.open(this.engine, arrays);
    const paths = sources.flatMap((source, i) =>
      "path" in source ? [{ path: source.path, length: files[i].length }] : []
    );
    return await FileContent.open(this.engine, paths, this.#log);
  }

  #own(manifest: Manifest): Promise<OwnPieces> {
    return OwnPieces.open(this.engine, countPieces(manifest.files, manifest.pieceLength));
  }

  async #serve(name: string, manifest: Manifest, content: Content, own: OwnPieces) {
    const replica = new Replica({
      ...{ name, manifest, content, own, engine: this.engine, registry: this.#registry },
      ...{ clock: this.#clock, beatMs: this.#beatMs, log: this.#log },
    });
    const held = { replica, stop: new AbortController() };
    this.#held.set(name, held);
    replica.ended.then(() => {
      held.stop.abort();
      if (this.#held.get(name) === held) this.#held.delete(name);
    });
    try {
      await replica.start();
    } catch (error) {
      await replica.withdraw("it could not be made known");
      throw error;
    }
    return held;
  }

  async #download(
    name: string,
    manifest: Manifest,
    content: Content,
    own: OwnPieces,
    { replica, stop }: { replica: Replica; stop: AbortController },
    options: GetOptions,
    foundPieces: number,
  ): Promise<void> {
    const { engine } = this;
    const fits = Math.max(2, Math.floor(STAGED_BYTES / manifest.pieceLength));
    const holders = new Holders({
      ...{ name, digest: digestOf(manifest), count: own.count, engine, clock: this.#clock },
      registry: this.#registry,
      deadAfterMs: MISSED_BEATS * this.#beatMs,
      onNews: () => download.wake(),
    });
    const foundBytes = foundPieces === own.count ? totalLength(manifest) : bytesOf(manifest, own);
    const download: Download = new Download({
      ...{ name, manifest, engine, content, own, holders, clock: this.#clock },
      random: this.#random,
      parallel: Math.min(options.parallel ?? 8, fits),
      stallTimeoutMs: options.stallTimeoutMs ?? 30_000,
      onProgress: options.onProgress ?? (() => {}),
      signal: options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal,
    });
    try {
      await download.run();
      await content.finish();
    } finally {
      const received = holders.all.filter((one) => one.receivedBytes > 0);
      const byName = received.map((one) => [one.segment.name, one.receivedBytes] as const);
      const { wrongPieces } = download;
      replica.sources = { receivedBytes: new Map(byName), foundBytes, wrongPieces };
      holders.close();
    }
  }

  async #find(name: string, { waitMs = 0, signal }: GetOptions): Promise<Manifest> {
    const deadline = this.#clock.now() + waitMs;
    for (;;) {
      const manifest = await this.#registry.manifest(name);
      if (manifest !== null) return manifest;
      if (signal?.aborted || this.#clock.now() >= deadline) throw unknown(name);
      await pause(this.#clock, WAIT_STEP_MS, signal);
    }
  }

  async #describe(name: string): Promise<SharedContent | null> {
    const manifest = await this.#registry.manifest(name);
    if (manifest === null) return null;
    const segments = await this.#registry.segments(name);
    const holders = await Promise.all(segments.map(async (segment) => ({
      ...{ segment, answers: await this.engine.probe(segment) },
    })));
    const { files, pieceLength } = manifest;
    const digest = digestOf(manifest);
    return { name, files, length: totalLength(manifest), pieceLength, digest, holders };
  }

  /** Does what makes this process hold a name, once at a time. */
  async #alone(name: string, start: () => Promise<Replica>): Promise<Replica> {
    checkName(name);
    if (this.#held.has(name) || this.#starting.has(name)) {
      const message = `This process holds ${JSON.stringify(name)} already`;
      throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
    }
    this.#starting.add(name);
    try {
      return await start();
    } finally {
      this.#starting.delete(name);
    }
  }

  #take(message: string): void {
    if (!message.startsWith(UNSEED)) throw new Error("no message of a p2p store");
    const held = this.#held.get(message.slice(UNSEED.length));
    if (held !== undefined) void held.replica.withdraw("somebody took the name back");
  }
}

/** Bytes of the pieces that are there. */
function bytesOf({ files, pieceLength }: Manifest, own: OwnPieces): number {
  return piecesOf(files, pieceLength).reduce(
    (sum, { index, length }) => sum + (own.have.has(index) ? length : 0),
    0,
  );
}

/** Refuses files that are there under their own names and are not right. */
function checkPresent(manifest: Manifest, present: readonly string[], own: OwnPieces): void {
  const wrong = piecesOf(manifest.files, manifest.pieceLength).find(({ index, file }) =>
    !own.have.has(index) && present.some((path) => path.endsWith(`/${manifest.files[file].name}`))
  );
  if (wrong === undefined) return;
  const name = manifest.files[wrong.file].name;
  const path = present.find((one) => one.endsWith(`/${name}`))!;
  throw new EngineError(EngineCode.INVALID_ARGUMENT, otherContent(path));
}

function unknown(name: string): EngineError {
  return new EngineError(EngineCode.METADATA, `Nobody shares ${JSON.stringify(name)}`);
}

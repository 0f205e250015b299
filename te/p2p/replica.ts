import type { Clock } from "../../client/transfer/clock.ts";
import { errorText } from "../../client/transfer/error_text.ts";
import { deferred } from "../deferred.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import type { Content } from "./content.ts";
import { digestOf, type Manifest, type SharedFile, totalLength } from "./manifest.ts";
import type { NameRegistry } from "./name_registry.ts";
import type { OwnPieces } from "./piece_set.ts";

/** What a replica is made of. */
export interface ReplicaParts {
  readonly name: string;
  readonly manifest: Manifest;
  readonly content: Content;
  readonly own: OwnPieces;
  readonly engine: TransferEngine;
  readonly registry: NameRegistry;
  readonly clock: Clock;
  /** Milliseconds between signs of life. */
  readonly beatMs: number;
  readonly log: (line: string) => void;
}

/** Where the bytes of a replica came from. */
export interface ReplicaSources {
  /** Bytes that came from each holder, by the name of its engine. */
  readonly receivedBytes: ReadonlyMap<string, number>;
  /** Bytes that were there before. */
  readonly foundBytes: number;
  /** Pieces that came with a wrong checksum, and were fetched elsewhere. */
  readonly wrongPieces: number;
}

/**
 * Content of a name that this process holds, in whole or in part, and serves until it is withdrawn.
 *
 * @example
 * ```ts ignore
 * const replica = await store.seed("llama", [{ path: "/models/llama/model.safetensors" }]);
 * const why = await Promise.race([replica.ended, stopSignal()]);
 * await replica.withdraw();
 * ```
 */
export class Replica {
  readonly #parts: ReplicaParts;
  readonly #ended = deferred<string>();
  #beat = 0;
  #stopBeat: () => void = () => {};
  /** The beat that is under way. */
  #beating: Promise<void> = Promise.resolve();
  #withdrawn: Promise<void> | null = null;
  /** What was fetched for it; all zero for one that was seeded. */
  sources: ReplicaSources = { receivedBytes: new Map(), foundBytes: 0, wrongPieces: 0 };

  /** Made by `P2pStore`. */
  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  /** Under which it is found. */
  get name(): string {
    return this.#parts.name;
  }

  /** Its files, or arrays. */
  get files(): readonly SharedFile[] {
    return this.#parts.manifest.files;
  }

  /** Bytes of all files. */
  get length(): number {
    return totalLength(this.#parts.manifest);
  }

  /** Bytes of a piece, but of the last one of a file. */
  get pieceLength(): number {
    return this.#parts.manifest.pieceLength;
  }

  /** Names the content: the same content cut in the same way has the same digest. */
  get digest(): string {
    return digestOf(this.#parts.manifest);
  }

  /**
   * Resolves with one line on why it is served no more: it was withdrawn, taken back by somebody, or
   * its files were changed. Never rejects.
   */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  /** Begins to serve it. Rejects with `EngineError` `METADATA` when that cannot be made known. */
  async start(): Promise<void> {
    await this.#tell();
    this.#scheduleBeat();
  }

  /** Serves it no more: who is reading it goes on elsewhere. Files stay. Never rejects. */
  withdraw(why = "it was withdrawn"): Promise<void> {
    return this.#withdrawn ??= this.#end(why);
  }

  async #end(why: string): Promise<void> {
    const { name, registry, engine, own, content, log } = this.#parts;
    this.#stopBeat();
    this.#ended.resolve(why);
    await this.#beating;
    try {
      await registry.remove(name, engine.localName);
    } catch (error) {
      log(`${name} could not be withdrawn: ${errorText(error)}`);
    }
    await own[Symbol.asyncDispose]();
    await content.close();
  }

  #scheduleBeat(): void {
    const { clock, beatMs } = this.#parts;
    if (this.#withdrawn !== null) return;
    this.#stopBeat = clock.after(beatMs, () => {
      this.#beating = this.#look().finally(() => this.#scheduleBeat());
    });
  }

  /** A sign of life, and a look whether all is as it was. Never rejects. */
  async #look(): Promise<void> {
    const { name, manifest, registry, content, log } = this.#parts;
    try {
      const changed = await content.changed();
      if (changed !== null) return this.#endLater(changed);
      if (!await registry.keep(name, manifest)) {
        return this.#endLater(`the name ${JSON.stringify(name)} was given other content`);
      }
      await this.#tell();
    } catch (error) {
      log(`no sign of life of ${name}: ${errorText(error)}`);
    }
  }

  /** The end waits for the beat that asks for it. */
  #endLater(why: string): void {
    queueMicrotask(() => void this.withdraw(why));
  }

  #tell(): Promise<void> {
    const { name, manifest, registry, engine, own, content } = this.#parts;
    return registry.put(name, {
      digest: digestOf(manifest),
      segment: engine.localName,
      piecesAddress: own.address,
      addresses: content.addresses,
      beat: this.#beat++,
    });
  }
}

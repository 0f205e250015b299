import type { Clock } from "../client/transfer/clock.ts";
import { parseHostPort } from "../client/transfer/address.ts";
import type { TransferEndpoint } from "../client/transfer/endpoint.ts";
import type { TransferEngine as ByteMover } from "../client/transfer/engine.ts";
import { errorText } from "../client/transfer/error_text.ts";
import { type LocalPaths, measureFile } from "../client/transfer/file_segments.ts";
import type { MetadataStore } from "../client/transfer/metadata_store.ts";
import { documentTimestamp, filesDocument } from "../proto/metadata/segment_document.ts";
import type { SegmentFile } from "../proto/metadata/segment_files.ts";
import { EngineCode, EngineError } from "./engine_code.ts";
import { refuse, type TransferEngineOptions } from "./options.ts";
import { missing } from "./transports.ts";

/** Name of the transport. */
export const NVMEOF = "nvmeof";
const MAX_NAME = 512;
const MAX_FILES = 4096;

/** A block device or file that several hosts have, such as a namespace of NVMe over fabrics. */
export interface FileToRegister {
  /** Absolute path on this host. */
  path: string;
  /** Bytes from its start; default all that it has now. */
  length?: number;
  /** The path on other hosts by the server names of the processes there, `host` or `host:port`. */
  localPaths?: Readonly<Record<string, string>>;
}

/** The segments of one engine that are files: which it has registered, and how it finds others. */
export class FileSegments {
  readonly #options: TransferEngineOptions;
  readonly #metadata: MetadataStore;
  readonly #clock: Clock;
  readonly #registered = new Set<string>();
  #installed = false;

  constructor(options: TransferEngineOptions, metadata: MetadataStore, clock: Clock) {
    this.#options = options;
    this.#metadata = metadata;
    this.#clock = clock;
  }

  /** Whether the transport is installed. */
  get installed(): boolean {
    return this.#installed;
  }

  /** Installs the transport; there is no device to open. `DEVICE_NOT_FOUND` where it cannot be. */
  install(mover: ByteMover): void {
    if (this.#options.tls) throw missing(NVMEOF, "it is not encrypted, and tls is asked for");
    if (mover.files === undefined) {
      throw missing(NVMEOF, "the engine in TypeScript has none but tcp");
    }
    this.#installed = true;
  }

  /** Where this host has files; `null` without the transport. */
  localPaths(localName: string): LocalPaths | null {
    if (!this.#installed) return null;
    const { localServerName = "127.0.0.1", localPaths } = this.#options;
    const host = parseHostPort(localServerName)?.host ?? localServerName;
    return {
      names: [...new Set([localName, localServerName, host])],
      given: localPaths === undefined ? null : new Map(Object.entries(localPaths)),
    };
  }

  /** Publishes files; errors as `TransferEngine.registerFiles`. */
  async register(name: string, files: readonly FileToRegister[], owner: string): Promise<void> {
    this.#checkInstalled();
    if (!/^nvmeof\/[^\s/][^\s]*$/.test(name) || name.length > MAX_NAME) {
      refuse("name", name, `nvmeof/ and a name without blanks, at most ${MAX_NAME} characters`);
    }
    if (files.length === 0 || files.length > MAX_FILES) {
      refuse("files", files.length, `1 to ${MAX_FILES} of them`);
    }
    const documents = this.#metadata.files;
    if (documents === undefined) {
      refuse("metadata", "P2PHANDSHAKE", "for files, http://..., etcd://... or redis://...");
    }
    const all = files.map((file) => segmentFile(name, file, owner));
    const timestamp = documentTimestamp(this.#clock.wallTime());
    try {
      await documents.publish(filesDocument(name, { owner, all }, timestamp));
    } catch (cause) {
      throw cannotRegister(EngineCode.METADATA, name, errorText(cause), cause);
    }
    this.#registered.add(name);
  }

  /** Takes registered files back; errors as `TransferEngine.unregisterFiles`. */
  async unregister(name: string): Promise<void> {
    if (!this.#registered.delete(name)) {
      const message = `No files are registered as ${JSON.stringify(name)} with this engine`;
      throw new EngineError(EngineCode.ADDRESS_NOT_REGISTERED, message);
    }
    try {
      await this.#metadata.files?.withdraw(name);
    } catch (cause) {
      const message = `Cannot take the files of ${JSON.stringify(name)} back: ${errorText(cause)}`;
      throw new EngineError(EngineCode.METADATA, message, { cause });
    }
  }

  /** Opens the files of a segment. `DEVICE_NOT_FOUND` with one line when this host has them not. */
  async reach(name: string, endpoint: TransferEndpoint): Promise<void> {
    this.#checkInstalled();
    try {
      await endpoint.reach(name);
    } catch (cause) {
      const why = errorText((cause as Error).cause ?? cause);
      const message = `Cannot open segment ${JSON.stringify(name)} at ${endpoint.name}: ${why}`;
      throw new EngineError(EngineCode.DEVICE_NOT_FOUND, message, { cause });
    }
  }

  #checkInstalled(): void {
    if (this.#installed) return;
    const message = `Segments of files need a transport: installTransport("${NVMEOF}") does that`;
    throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
  }
}

function segmentFile(name: string, file: FileToRegister, owner: string): SegmentFile {
  const { path, length, localPaths = {} } = file;
  const isPath = (text: unknown) =>
    typeof text === "string" && text.startsWith("/") && !text.includes("\0");
  if (!isPath(path)) refuse("path", path ?? null, "the absolute path of a block device or file");
  for (const [host, there] of Object.entries(localPaths)) {
    if (host === "" || !isPath(there)) {
      refuse(`localPaths[${JSON.stringify(host)}]`, there ?? null, "an absolute path on that host");
    }
  }
  let there: number;
  try {
    there = measureFile(path);
  } catch (cause) {
    throw cannotRegister(EngineCode.DEVICE_NOT_FOUND, name, errorText(cause), cause);
  }
  if (there === 0) refuse("path", path, "a block device or file that has bytes");
  if (length !== undefined && !(Number.isSafeInteger(length) && length > 0 && length <= there)) {
    refuse("length", length, `an integer from 1 to ${there}, which ${path} has`);
  }
  return {
    path,
    length: length ?? there,
    localPaths: new Map([...Object.entries(localPaths), [owner, path]]),
  };
}

function cannotRegister(code: EngineCode, name: string, why: string, cause: unknown): EngineError {
  const message = `Cannot register files as ${JSON.stringify(name)}: ${why}`;
  return new EngineError(code, message, { cause });
}

import type { MetadataKv } from "../../client/transfer/kv_metadata.ts";
import { segmentKey } from "../../proto/metadata/keys.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import { asked } from "../metadata_service.ts";
import { formatHolder, type HolderDocument, parseHolder } from "./holder_document.ts";
import { digestOf, formatManifest, type Manifest, parseManifest, totalLength } from "./manifest.ts";

/** Bytes of a manifest that every service takes. */
const MAX_MANIFEST_BYTES = 1_000_000;
const NAMES = "1 to 200 characters, no control characters";

/** How names are kept. */
export interface RegistryOptions {
  readonly kv: MetadataKv;
  /** Inserted into keys. */
  readonly clusterId: string;
  /** Whether an engine answers. Never rejects. */
  readonly probe: (segment: string) => Promise<boolean>;
}

/** Refuses what cannot be a name with `INVALID_ARGUMENT`. */
export function checkName(name: string): void {
  // deno-lint-ignore no-control-regex -- these are what is refused
  const isName = typeof name === "string" && /^[^\x00-\x1f\x7f]{1,200}$/.test(name) &&
    name.isWellFormed();
  if (isName) return;
  const message = `name=${JSON.stringify(name) ?? "nothing"} is refused; allowed: ${NAMES}`;
  throw new EngineError(EngineCode.INVALID_ARGUMENT, message);
}

/**
 * Which content belongs to which name, and who has pieces of it. One key holds the manifest of a name,
 * and one for each holder what that says; so nobody has to change what another one wrote.
 */
export class NameRegistry {
  readonly #options: RegistryOptions;
  readonly #kv: MetadataKv;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#kv = options.kv;
  }

  /** The content of a name; `null` when nobody has given it one. `METADATA`. */
  async manifest(name: string): Promise<Manifest | null> {
    const text = await asked(`look ${name} up`, this.#kv.get(this.#manifestKey(name)));
    return text === null ? null : readAs(name, () => parseManifest(text));
  }

  /**
   * Gives a name its content, unless it has the same already. `INVALID_ARGUMENT` when it has other
   * content that a living process holds; that of dead ones is replaced.
   */
  async claim(name: string, manifest: Manifest): Promise<void> {
    const text = formatManifest(manifest);
    if (text.length > MAX_MANIFEST_BYTES) {
      throw new EngineError(
        EngineCode.INVALID_ARGUMENT,
        `The manifest of ${JSON.stringify(name)} is ${text.length} bytes; allowed: ` +
          `${MAX_MANIFEST_BYTES}: take fewer files, or larger pieces`,
      );
    }
    const key = this.#manifestKey(name);
    const what = `register ${JSON.stringify(name)}`;
    for (;;) {
      const old = await asked(what, this.#kv.get(key));
      if (old === text) return;
      if (old !== null) {
        await this.#refuseHeld(name, old);
        await asked(what, this.#kv.delete(key));
      }
      await asked(what, this.#kv.claim(key, text));
    }
  }

  /** Whether a name still has that content; puts it back when somebody lost it. */
  async keep(name: string, manifest: Manifest): Promise<boolean> {
    const text = formatManifest(manifest);
    const key = this.#manifestKey(name);
    const now = await asked(`look ${name} up`, this.#kv.get(key));
    if (now === null) await asked(`keep ${name}`, this.#kv.claim(key, text));
    return now === null || now === text;
  }

  /** Says that a process holds pieces of a name, in place of what it said before. `METADATA`. */
  async put(name: string, holder: HolderDocument): Promise<void> {
    const key = this.#holderKey(name, holder.segment);
    await asked(`tell who holds ${name}`, this.#kv.put(key, formatHolder(holder)));
  }

  /** Takes a holder out; with the last one the content of the name goes. `METADATA`. */
  async remove(name: string, segment: string): Promise<void> {
    const what = `take ${segment} out of ${name}`;
    await asked(what, this.#kv.delete(this.#holderKey(name, segment)));
    if ((await this.segments(name)).length > 0) return;
    await asked(what, this.#kv.delete(this.#manifestKey(name)));
  }

  /** The engines that say to hold pieces of a name. `METADATA`. */
  async segments(name: string): Promise<string[]> {
    const prefix = this.#holderKey(name, "");
    const keys = await asked(`list who holds ${name}`, this.#kv.list(prefix));
    return keys.map((key) => key.slice(prefix.length));
  }

  /** What a holder says; `null` when it is gone or says nothing that can be read. `METADATA`. */
  async holder(name: string, segment: string): Promise<HolderDocument | null> {
    const text = await asked(`ask for ${segment}`, this.#kv.get(this.#holderKey(name, segment)));
    try {
      return text === null ? null : parseHolder(text);
    } catch {
      return null;
    }
  }

  /** Names that begin with `prefix`, sorted. `METADATA`. */
  async names(prefix: string): Promise<string[]> {
    const start = this.#key("manifest", "");
    const keys = await asked("list names", this.#kv.list(start));
    const names = keys.map((key) => decodeURIComponent(key.slice(start.length)));
    return names.filter((name) => name.startsWith(prefix));
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  async #refuseHeld(name: string, other: string): Promise<void> {
    for (const segment of await this.segments(name)) {
      if (!await this.#options.probe(segment)) {
        await asked(
          `take ${segment} out of ${name}`,
          this.#kv.delete(this.#holderKey(name, segment)),
        );
        continue;
      }
      const old = readAs(name, () => parseManifest(other));
      throw new EngineError(
        EngineCode.INVALID_ARGUMENT,
        `The name ${JSON.stringify(name)} has other content: ${old.files.length} files of ` +
          `${totalLength(old)} bytes (${digestOf(old).slice(0, 12)}), held by ${segment}`,
      );
    }
  }

  #manifestKey(name: string): string {
    return this.#key("manifest", encodeURIComponent(name));
  }

  #holderKey(name: string, segment: string): string {
    return this.#key("holder", `${encodeURIComponent(name)}/${segment}`);
  }

  #key(kind: "manifest" | "holder", rest: string): string {
    return segmentKey(`p2p/${kind}/${rest}`, this.#options);
  }
}

function readAs(name: string, parse: () => Manifest): Manifest {
  try {
    return parse();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `What is kept of ${JSON.stringify(name)} cannot be read: ${why}`;
    throw new EngineError(EngineCode.METADATA, message, { cause });
  }
}

import { replicateConfig } from "../../proto/messages/values.ts";
import type { Reader } from "../../proto/struct_pack/reader.ts";
import type { ReplicateConfig } from "../../proto/types.ts";

/**
 * Reads `ReplicateConfig` arguments. Clients send the same bytes again and again, so the last value
 * is kept with its bytes: equal bytes under an equal size width decode to an equal value.
 */
export class ConfigReader {
  #bytes = new Uint8Array(0);
  #width = 0;
  #value: ReplicateConfig | null = null;

  /** The returned object is shared and must not be changed. */
  read(reader: Reader): ReplicateConfig {
    if (this.#value !== null && this.#width === reader.width && this.#same(reader)) {
      reader.skip(this.#bytes.length);
      return this.#value;
    }
    const start = reader.position;
    const value = replicateConfig.read(reader);
    this.#value = value;
    this.#width = reader.width;
    this.#bytes = reader.bytes.slice(start, reader.position);
    return value;
  }

  #same(reader: Reader): boolean {
    const kept = this.#bytes;
    if (reader.remaining < kept.length) return false;
    const { bytes, position } = reader;
    for (let i = 0; i < kept.length; i++) if (bytes[position + i] !== kept[i]) return false;
    return true;
  }
}

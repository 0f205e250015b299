import type { Reader } from "../../proto/struct_pack/reader.ts";

/**
 * Where the keys of a batch lie in the request buffer, kept from call to call so that reading a batch
 * allocates nothing.
 */
export class KeyList {
  count = 0;
  starts = new Uint32Array(1024);
  ends = new Uint32Array(1024);

  /** Takes a `vector<string>`. */
  readKeys(reader: Reader): void {
    const count = this.#begin(reader.size(1));
    for (let i = 0; i < count; i++) this.#readBlob(reader, i);
  }

  /** Takes a `vector<ObjectMeta>`; `checksums` receives one value per key. */
  readMetas(reader: Reader, checksums: (bigint | null)[]): void {
    const count = this.#begin(reader.size(2));
    for (let i = 0; i < count; i++) {
      this.#readBlob(reader, i);
      checksums[i] = reader.bool() ? reader.u64() : null;
    }
  }

  #begin(count: number): number {
    if (count > this.starts.length) {
      this.starts = new Uint32Array(count * 2);
      this.ends = new Uint32Array(count * 2);
    }
    this.count = count;
    return count;
  }

  #readBlob(reader: Reader, i: number): void {
    const length = reader.length();
    const start = reader.skip(length);
    this.starts[i] = start;
    this.ends[i] = start + length;
  }
}

import { createHash } from "node:crypto";

const DIRECTORIES = 16;
const LONGEST_NAME = 200;

/**
 * Where the shared file system keeps an object: `<fsdir>/<a-p>/<a-p>/<name>`. The name is the key
 * with every byte outside `[A-Za-z0-9_-]` and dots inside as `%xx`, so that no two keys share a file;
 * of a long key it is the SHA-256 in hexadecimal after a `%`.
 */
export function sharedPath(fsdir: string, key: Uint8Array, hash: number): string {
  const letter = (n: number) => String.fromCharCode(97 + n % DIRECTORIES);
  return `${fsdir}/${letter(hash & 15)}/${letter(hash >>> 4 & 15)}/${fileName(key)}`;
}

/** Bytes of the longest path that {@linkcode sharedPath} can give. */
export function longestSharedPath(fsdir: string): number {
  return new TextEncoder().encode(fsdir).length + 5 + LONGEST_NAME + 3;
}

function fileName(key: Uint8Array): string {
  let name = "";
  for (let i = 0; i < key.length; i++) {
    const byte = key[i];
    const plain = byte >= 48 && byte <= 57 || byte >= 65 && byte <= 90 ||
      byte >= 97 && byte <= 122 || byte === 45 || byte === 95 || byte === 46 && i > 0;
    name += plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
    if (name.length > LONGEST_NAME) {
      return `%${createHash("sha256").update(key).digest("hex")}`;
    }
  }
  return name;
}

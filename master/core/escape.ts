const PRINTABLE_FROM = 0x21;
const PRINTABLE_TO = 0x7e;
const PERCENT = 0x25;

/**
 * Bytes as one word of printable characters: those that are none, blanks and `%` as `%` and two
 * hexadecimal digits, as the admin port takes keys.
 */
export function escapeBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    const plain = byte >= PRINTABLE_FROM && byte <= PRINTABLE_TO && byte !== PERCENT;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
  }
  return text;
}

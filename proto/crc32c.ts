/** CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), eight bytes at a time. */
const tables = makeTables();
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;

/** CRC-32C of `bytes[start, end)`, unsigned; `seed` is that of the bytes before them. */
export type Crc32c = (bytes: Uint8Array, start: number, end: number, seed?: number) => number;

/** The checksum of `bytes[start, end)`, unsigned; `seed` is that of the bytes before them. */
export function crc32c(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let crc = ~seed;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    const low = crc ^ (bytes[i] | bytes[i + 1] << 8 | bytes[i + 2] << 16 | bytes[i + 3] << 24);
    crc = t7[low & 255] ^ t6[low >>> 8 & 255] ^ t5[low >>> 16 & 255] ^ t4[low >>> 24] ^
      t3[bytes[i + 4]] ^ t2[bytes[i + 5]] ^ t1[bytes[i + 6]] ^ t0[bytes[i + 7]];
  }
  for (; i < end; i++) crc = crc >>> 8 ^ t0[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

/** x^(8 * 2^i) modulo the polynomial, reflected; `i` below 53. */
const byteSteps = makeByteSteps();

/** The checksum of bytes of checksum `first`, followed by `secondLength` bytes of checksum `second`. */
export function crc32cCombine(first: number, second: number, secondLength: number): number {
  let crc = first;
  for (let i = 0, left = secondLength; left > 0; i++) {
    if (left % 2 === 1) crc = times(crc, byteSteps[i]);
    left = Math.floor(left / 2);
  }
  return (crc ^ second) >>> 0;
}

/** A product of reflected polynomials, reduced. */
function times(a: number, b: number): number {
  let product = 0;
  for (let bit = 31; bit >= 0; bit--) {
    if (a >>> bit & 1) product ^= b;
    b = b & 1 ? b >>> 1 ^ 0x82f63b78 : b >>> 1;
  }
  return product >>> 0;
}

function makeByteSteps(): Uint32Array {
  const steps = new Uint32Array(53);
  steps[0] = 0x80000000 >>> 8;
  for (let i = 1; i < steps.length; i++) steps[i] = times(steps[i - 1], steps[i - 1]);
  return steps;
}

function makeTables(): Uint32Array[] {
  const made = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let i = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? value >>> 1 ^ 0x82f63b78 : value >>> 1;
    made[0][i] = value;
  }
  for (let i = 0; i < 256; i++) {
    for (let k = 1; k < 8; k++) made[k][i] = made[k - 1][i] >>> 8 ^ made[0][made[k - 1][i] & 255];
  }
  return made;
}

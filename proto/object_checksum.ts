/**
 * The checksum that clients of ours give an object when they have written it: `object_checksum` of
 * `ObjectMeta` and of the answers to look-ups. Its lower half is the CRC-32C of the whole value, its
 * upper half says that it is one: the reference keeps a CRC-64 there. Of 2^32 of those one looks like
 * ours.
 */

/** "SWC1": the upper half of a checksum of ours. */
export const CHECKSUM_TAG = 0x53574331;

/** What the wire carries for the CRC-32C of a value. */
export function objectChecksum(crc: number): bigint {
  return BigInt(CHECKSUM_TAG) << 32n | BigInt(crc);
}

/** The CRC-32C that a checksum carries; -1 when there is none, or one of somebody else's kind. */
export function crcOf(checksum: bigint | null): number {
  if (checksum === null || Number(checksum >> 32n) !== CHECKSUM_TAG) return -1;
  return Number(checksum & 0xffff_ffffn);
}

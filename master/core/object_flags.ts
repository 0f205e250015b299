/** Facts about an object that fit in a bit. The data type and the tenant share the word. */
export const ObjectFlag = {
  /** A version has been committed; without it only unfinished replicas exist. */
  COMMITTED: 1 << 0,
  HARD_PIN: 1 << 1,
  SOFT_PIN: 1 << 2,
  CHECKSUM: 1 << 3,
  GROUPED: 1 << 4,
  /** A copy, move or promotion is running. */
  TRANSFER: 1 << 5,
  /** A client has been asked, or will be, to write the object to its disk. */
  OFFLOAD: 1 << 6,
  /** Counted as held in memory. */
  IN_MEMORY: 1 << 7,
  /** Counted as held on a disk. */
  ON_DISK: 1 << 8,
} as const;

/** What readers have been promised of an object's version; the two bits share a word with the client. */
export const ObjectHold = {
  NONE: 0,
  /** Somebody may have been promised that it stays for a while, since the lease was renewed last. */
  GRANTED: 1,
  /** It is replaced now and then: nobody is promised anything any more. */
  REFUSED: 2,
} as const;
export type ObjectHold = (typeof ObjectHold)[keyof typeof ObjectHold];

/** Stands between the replies of a batch and the sockets: changes are kept before they are answered. */
export interface ReplyGate {
  /** Called whenever replies are about to leave, and between batches. */
  settle(): void;
  /** Whether changes are on their way to the disk. */
  readonly isSyncing: boolean;
  /** Whether something is waited for that only turns of the event loop bring. */
  readonly needsTurns: boolean;
}

/** For a master that keeps nothing. */
export const openGate: ReplyGate = { settle() {}, isSyncing: false, needsTurns: false };

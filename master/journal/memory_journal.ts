import { sealGroup } from "./group_format.ts";
import { type Journal, JournalError } from "./journal.ts";

/** A journal of this process only. `broken` makes it refuse what it is given. */
export class MemoryJournal implements Journal {
  readonly groups: Uint8Array[] = [];
  sequence = 0;
  syncedSequence = 0;
  tailBytes = 0;
  readonly needsCheckpoint = false;
  broken: string | null = null;

  append(group: Uint8Array): void {
    if (this.broken !== null) throw new JournalError(this.broken);
    sealGroup(group, this.sequence + 1);
    this.groups.push(group.slice());
    this.tailBytes += group.length;
    this.sequence++;
  }

  sync(): void {
    if (this.broken !== null) throw new JournalError(this.broken);
    this.syncedSequence = this.sequence;
  }

  beginSync(): void {
    if (this.broken === null) this.syncedSequence = this.sequence;
  }

  seal(): number {
    return this.sequence;
  }

  noteCheckpoint(sequence: number): void {
    const kept = this.sequence - sequence;
    this.groups.splice(0, this.groups.length - kept);
    this.tailBytes = this.groups.reduce((sum, group) => sum + group.length, 0);
  }

  close(): void {}
}

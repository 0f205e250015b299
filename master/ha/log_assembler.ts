import type { LogGroup } from "./fact_log.ts";

/** A part of a group, as an engine keeps it whose values are limited in size. */
export interface LogPart {
  readonly sequence: number;
  /** From 0 on, of so many. */
  readonly part: number;
  readonly parts: number;
}

/**
 * Puts the parts of a log together, in whatever order they come, and hands out the groups that follow
 * the last one without a gap.
 */
export class LogAssembler {
  readonly #parts = new Map<number, (Uint8Array | null)[]>();
  #last: number;

  /** `last` is the group that is known already. */
  constructor(last: number) {
    this.#last = last;
  }

  /** The last group handed out. */
  get last(): number {
    return this.#last;
  }

  /** Highest group of which something was seen. */
  get highest(): number {
    return Math.max(this.#last, ...this.#parts.keys());
  }

  put({ sequence, part, parts }: LogPart, bytes: Uint8Array): void {
    if (sequence <= this.#last) return;
    let known = this.#parts.get(sequence);
    if (known === undefined || known.length !== parts) {
      this.#parts.set(sequence, known = new Array<Uint8Array | null>(parts).fill(null));
    }
    known[part] = bytes;
  }

  drop({ sequence }: LogPart): void {
    this.#parts.delete(sequence);
  }

  /** The groups that are complete and follow the last one. */
  take(): LogGroup[] {
    const groups: LogGroup[] = [];
    for (;;) {
      const parts = this.#parts.get(this.#last + 1);
      if (parts === undefined || parts.includes(null)) return groups;
      this.#parts.delete(++this.#last);
      groups.push({ sequence: this.#last, bytes: joined(parts as Uint8Array[]) });
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * Who has changed what: one JSON object a line in `audit.log`, appended before the answer leaves. A
 * file that has grown to its limit becomes `audit.log.1`, that one `audit.log.2`, and so on.
 */
const LIMIT_BYTES = 16 << 20;
const OLD_FILES = 5;

export interface AuditEntry {
  /** Unix milliseconds. */
  readonly timeMs: number;
  /** Id of the key, `null` = there was none. */
  readonly key: string | null;
  readonly role: string | null;
  /** Whose key it is, `null` = nobody's in particular. */
  readonly user: string | null;
  /** Address of the caller. */
  readonly peer: string;
  readonly method: string;
  /** Path and query of the call, which hold no secrets. */
  readonly target: string;
  readonly status: number;
}

export class AuditLog implements Disposable {
  readonly #path: string;
  readonly #limitBytes: number;
  #file: Deno.FsFile;
  #bytes: number;

  constructor(path: string, limitBytes = LIMIT_BYTES) {
    this.#path = path;
    this.#limitBytes = limitBytes;
    this.#file = open(path);
    this.#bytes = this.#file.statSync().size;
  }

  append({ timeMs, ...entry }: AuditEntry): void {
    const line = JSON.stringify({ time: new Date(timeMs).toISOString(), ...entry });
    const bytes = new TextEncoder().encode(`${line}\n`);
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#limitBytes) this.#rotate();
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    this.#bytes += bytes.length;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  #rotate(): void {
    this.#file.close();
    for (let i = OLD_FILES; i > 0; i--) {
      const from = i === 1 ? this.#path : `${this.#path}.${i - 1}`;
      try {
        Deno.renameSync(from, `${this.#path}.${i}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    this.#file = open(this.#path);
    this.#bytes = 0;
  }
}

function open(path: string): Deno.FsFile {
  return Deno.openSync(path, { append: true, create: true, mode: 0o600 });
}

/** What `deno test` prints, read while it prints it and afterwards. */

/** Names the tests and steps that fail as soon as their lines are whole. */
export class FailureWatch {
  #rest = "";
  #file = "";

  /** Takes the next piece of output; the failures that it has told, as `file: name ... FAILED (1s)`. */
  see(text: string): string[] {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    const failures: string[] = [];
    for (const line of lines) {
      this.#file = /^running \d+ tests? from (\S+)$/.exec(line)?.[1] ?? this.#file;
      if (/ \.\.\. FAILED \(/.test(line)) failures.push(`${this.#file}: ${line.trim()}`);
    }
    return failures;
  }
}

/** Reads `N passed | N failed | N ignored` out of the summary that `deno test` prints last. */
export function readSummary(
  output: string,
): { passed: number; failed: number; skipped: number } | null {
  const line = output.split("\n").filter((text) => /^(ok|FAILED) \| \d+ passed/.test(text)).pop();
  if (line === undefined) return null;
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

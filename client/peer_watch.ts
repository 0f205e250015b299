import type { PeerReport } from "../proto/messages.ts";

/** How often a client repeats that a store which it uses works. */
const REPEAT_MS = 4000;
/** Stores that one report names; the others follow with the next. */
const MAX_REPORTED = 1024;
const MAX_WATCHED = 4096;

/** What a client has seen of a peer since it last told the master. */
interface Seen {
  /** It did something since then. */
  used: boolean;
  /** Its last failure was that it did not answer in time, or at all. */
  silent: boolean;
  /** What was told last. */
  told: "nothing" | "works" | "suspected";
  toldAtMs: number;
}

/**
 * What a client tells the master of the stores that it uses: at once whom it suspects, and again for as
 * long as it does; who works again; and now and then who works.
 */
export class PeerWatch {
  /** Called when there is something that should not wait for the next report. */
  onSuspicion: () => void = () => {};
  readonly #seen = new Map<string, Seen>();
  #last = "";

  /** Notes that a peer worked. */
  worked(peer: string): void {
    if (peer === this.#last) return;
    this.#last = peer;
    const seen = this.#of(peer);
    seen.used = true;
    seen.silent = false;
  }

  /** Notes a failure; `answered`: the peer is there and refused. */
  failed(peer: string, answered: boolean): void {
    if (peer === this.#last) this.#last = "";
    const seen = this.#of(peer);
    seen.used = true;
    seen.silent = !answered;
    if (!answered && seen.told !== "suspected") this.onSuspicion();
  }

  /** What is to be told now; it counts as told. */
  report(nowMs: number, isSuspected: (peer: string) => boolean): PeerReport[] {
    const reports: PeerReport[] = [];
    this.#last = "";
    for (const [endpoint, seen] of this.#seen) {
      if (reports.length === MAX_REPORTED) break;
      const suspected = seen.silent && isSuspected(endpoint);
      const isDue = seen.used &&
        (seen.told === "suspected" || nowMs - seen.toldAtMs >= REPEAT_MS);
      if (suspected || isDue) {
        reports.push({ endpoint, suspected });
        seen.told = suspected ? "suspected" : "works";
        seen.toldAtMs = nowMs;
        seen.used = false;
      } else if (!seen.used && nowMs - seen.toldAtMs >= 2 * REPEAT_MS) {
        this.#seen.delete(endpoint);
      }
    }
    return reports;
  }

  #of(peer: string): Seen {
    let seen = this.#seen.get(peer);
    if (seen === undefined) {
      if (this.#seen.size >= MAX_WATCHED) this.#seen.clear();
      seen = { used: false, silent: false, told: "nothing", toldAtMs: -Infinity };
      this.#seen.set(peer, seen);
    }
    return seen;
  }
}

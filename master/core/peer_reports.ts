import type { Uuid } from "./api.ts";

/** How long a report counts. Clients repeat what they say of a store twice in that time. */
export const REPORT_MS = 10_000;
/** How long a store that most of its users suspect is avoided, from the last report on. */
export const AVOID_MS = 10_000;
/** Votes of one store that are kept; more change nothing about a majority. */
const MAX_VOTES = 4096;
const MAX_REPORTERS = 65_536;

interface Vote {
  suspected: boolean;
  atMs: number;
}

interface Peer {
  readonly votes: Map<Uuid, Vote>;
  /** When the first of the present suspicions came, `Infinity` = nobody suspects it. */
  suspectedMs: number;
  /** When it began to be avoided. */
  avoidedMs: number;
  avoidedUntilMs: number;
}

/** What clients say of a store. */
export interface PeerOpinion {
  /** Clients that used it lately, and those of them that suspect it. */
  users: number;
  votes: number;
  /** Milliseconds for which somebody has suspected it, `null` = nobody does. */
  suspectedForMs: number | null;
  /** Milliseconds for which it has been avoided, `null` = it is not. */
  avoidedForMs: number | null;
}

/**
 * What clients say of the stores that they use, by endpoint. A store is avoided when more than half of
 * the clients that used it lately suspect it, and at least two; one is enough where it is the only
 * client that says anything. Times are those of `ClientTable.awakeMs`, in which a stalled master
 * forgets nothing.
 */
export class PeerReports {
  readonly #peers = new Map<string, Peer>();
  /** When clients last said something. */
  readonly #reporters = new Map<Uuid, number>();
  #avoidedUntilMs = -Infinity;

  /** Takes one report; returns whether the store is avoided now and was not before. */
  take(client: Uuid, endpoint: string, suspected: boolean, nowMs: number): boolean {
    this.#noteReporter(client, nowMs);
    let peer = this.#peers.get(endpoint);
    if (peer === undefined) {
      const never = { suspectedMs: Infinity, avoidedMs: 0, avoidedUntilMs: -Infinity };
      this.#peers.set(endpoint, peer = { votes: new Map(), ...never });
    }
    forgetOld(peer, nowMs);
    if (peer.votes.has(client) || peer.votes.size < MAX_VOTES) {
      peer.votes.set(client, { suspected, atMs: nowMs });
    }
    const { users, votes } = count(peer);
    if (votes === 0) peer.suspectedMs = Infinity;
    else peer.suspectedMs = Math.min(peer.suspectedMs, nowMs);
    const wasAvoided = nowMs < peer.avoidedUntilMs;
    if (votes * 2 > users && (votes > 1 || this.#reporters.size === 1)) {
      if (!wasAvoided) peer.avoidedMs = nowMs;
      peer.avoidedUntilMs = nowMs + AVOID_MS;
      this.#avoidedUntilMs = Math.max(this.#avoidedUntilMs, peer.avoidedUntilMs);
    } else {
      peer.avoidedUntilMs = -Infinity;
    }
    return !wasAvoided && nowMs < peer.avoidedUntilMs;
  }

  /** Whether nothing new is to be placed there if there is room elsewhere. */
  isAvoided(endpoint: string, nowMs: number): boolean {
    if (nowMs >= this.#avoidedUntilMs) return false;
    const peer = this.#peers.get(endpoint);
    return peer !== undefined && nowMs < peer.avoidedUntilMs;
  }

  opinion(endpoint: string, nowMs: number): PeerOpinion {
    const peer = this.#peers.get(endpoint);
    if (peer === undefined) return { users: 0, votes: 0, suspectedForMs: null, avoidedForMs: null };
    const live = Array.from(peer.votes.values()).filter(({ atMs }) => nowMs - atMs < REPORT_MS);
    const votes = live.filter(({ suspected }) => suspected).length;
    return {
      users: live.length,
      votes,
      suspectedForMs: votes === 0 ? null : nowMs - peer.suspectedMs,
      avoidedForMs: nowMs < peer.avoidedUntilMs ? nowMs - peer.avoidedMs : null,
    };
  }

  /** Forgets stores that are not there any more. */
  keepOnly(isThere: (endpoint: string) => boolean): void {
    for (const endpoint of [...this.#peers.keys()]) {
      if (!isThere(endpoint)) this.#peers.delete(endpoint);
    }
  }

  /** Stores of which something is remembered. */
  get size(): number {
    return this.#peers.size;
  }

  /** The reporter that was heard of last comes last. */
  #noteReporter(client: Uuid, nowMs: number): void {
    this.#reporters.delete(client);
    this.#reporters.set(client, nowMs);
    for (const [oldest, atMs] of this.#reporters) {
      if (nowMs - atMs < REPORT_MS && this.#reporters.size <= MAX_REPORTERS) break;
      this.#reporters.delete(oldest);
    }
  }
}

function forgetOld(peer: Peer, nowMs: number): void {
  for (const [client, { atMs }] of peer.votes) {
    if (nowMs - atMs >= REPORT_MS) peer.votes.delete(client);
  }
}

function count({ votes }: Peer): { users: number; votes: number } {
  let suspecting = 0;
  for (const { suspected } of votes.values()) if (suspected) suspecting++;
  return { users: votes.size, votes: suspecting };
}

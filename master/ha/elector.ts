/** How the masters of a cluster agree on the one that leads. */

/** The present leader as clients find it. */
export interface LeaderRecord {
  /** `host:port` of its RPC server. */
  readonly address: string;
  /** Grows with every leader. */
  readonly epoch: number;
}

/** What became of an attempt to lead. */
export type Candidacy =
  | { readonly won: true; readonly epoch: number; readonly validUntilMs: number }
  | { readonly won: false; readonly leader: LeaderRecord | null };

/**
 * Elects one leader at a time, each with a higher epoch than all before it. Calls reject with
 * `EngineError` when the engine cannot be reached.
 *
 * Times are on the clock that the elector was given. A leader is one until `validUntilMs` only; the
 * engine elects nobody else before that, as the time is counted from before the request was sent.
 */
export interface Elector {
  /** Becomes the leader if there is none. */
  campaign(address: string): Promise<Candidacy>;
  /** Stays the leader; the new `validUntilMs`, or `null` when the epoch is over. */
  renew(epoch: number): Promise<number | null>;
  /** Ends the epoch, so that another can begin at once. Nothing when it is over. */
  resign(epoch: number): Promise<void>;
  /** Calls `changed` when it is worth while to campaign; it may be called too often or too late. */
  watch(changed: () => void): void;
  close(): Promise<void>;
}

/** Share of the lease that is given up for clocks that do not run at the same speed. */
const DRIFT = 0.05;

/** Until when a lease that was asked for at `sentMs` may be relied on. */
export function validUntil(sentMs: number, leaseMs: number): number {
  return sentMs + leaseMs * (1 - DRIFT);
}

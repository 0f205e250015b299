import { type Candidacy, type Elector, type LeaderRecord, validUntil } from "./elector.ts";
import type { K8sClient, Lease } from "./k8s_client.ts";

/** Annotations of the Lease. */
const LEADER = "snowskin.dev/leader";
const EPOCH = "snowskin.dev/epoch";

export interface K8sElectorOptions {
  client: K8sClient;
  namespace: string;
  clusterId: string;
  /** Unlike that of every other master, and of this one's earlier lives. */
  identity: string;
  leaseMs: number;
  /** Milliseconds, monotonic. */
  clock: () => number;
  /** Milliseconds since the Unix epoch. */
  wallClock: () => number;
}

/** Name of the Lease of a cluster: Kubernetes takes no `_` and no capitals. */
export function leaseName(clusterId: string): string {
  return clusterId.toLowerCase().replaceAll("_", "-");
}

/**
 * Elects with a Lease: whoever replaces the version it has read holds it. Nobody's clock is compared
 * with another's: a Lease is over when it has not changed for its whole length while this master
 * watched.
 */
export class K8sElector implements Elector {
  readonly #options: K8sElectorOptions;
  /** The Lease as it was last seen, and since when it has been like that. */
  #seen: { version: string; sinceMs: number } | null = null;
  #held: Lease | null = null;

  constructor(options: K8sElectorOptions) {
    this.#options = options;
  }

  async campaign(address: string): Promise<Candidacy> {
    const { client, clusterId, namespace, leaseMs, clock, wallClock } = this.#options;
    const name = leaseName(clusterId);
    const present = await client.read(name);
    if (present !== null && !this.#isOver(present)) {
      return { won: false, leader: recordOf(present) };
    }
    const now = timestamp(wallClock());
    const epoch = Math.max(epochOf(present) + 1, Math.floor(wallClock() / 1000));
    const sentMs = clock();
    const written = await client.write({
      ...{ apiVersion: "coordination.k8s.io/v1", kind: "Lease" },
      metadata: {
        ...{ name, namespace },
        ...present?.metadata,
        annotations: {
          ...present?.metadata.annotations,
          ...{ [LEADER]: address, [EPOCH]: String(epoch) },
        },
      },
      spec: {
        ...{ holderIdentity: this.#options.identity, acquireTime: now, renewTime: now },
        leaseDurationSeconds: Math.ceil(leaseMs / 1000),
        leaseTransitions: (present?.spec.leaseTransitions ?? -1) + 1,
      },
    });
    if (written === null) return { won: false, leader: null };
    this.#held = written;
    return { won: true, epoch, validUntilMs: validUntil(sentMs, leaseMs) };
  }

  async renew(epoch: number): Promise<number | null> {
    const { client, clock, wallClock, leaseMs } = this.#options;
    const held = await this.#present(epoch);
    if (held === null) return null;
    const sentMs = clock();
    const spec = { ...held.spec, renewTime: timestamp(wallClock()) };
    const written = await client.write({ ...held, spec });
    this.#held = written ?? null;
    if (written !== null) return validUntil(sentMs, leaseMs);
    return await this.#present(epoch) === null ? null : await this.renew(epoch);
  }

  async resign(epoch: number): Promise<void> {
    const held = await this.#present(epoch);
    this.#held = null;
    if (held === null) return;
    const spec = { ...held.spec, holderIdentity: "", leaseDurationSeconds: 1 };
    await this.#options.client.write({ ...held, spec });
  }

  /** Nothing tells: members ask often enough by themselves. */
  watch(): void {}

  close(): Promise<void> {
    this.#options.client.close();
    return Promise.resolve();
  }

  /** The Lease of an epoch of this master, `null` when that is over. */
  async #present(epoch: number): Promise<Lease | null> {
    const { client, clusterId, identity } = this.#options;
    const lease = this.#held ?? await client.read(leaseName(clusterId));
    const own = lease !== null && lease.spec.holderIdentity === identity;
    return own && epochOf(lease) === epoch ? lease : null;
  }

  #isOver({ metadata, spec }: Lease): boolean {
    if (!spec.holderIdentity) return true;
    const nowMs = this.#options.clock();
    const version = metadata.resourceVersion ?? "";
    if (this.#seen?.version !== version) this.#seen = { version, sinceMs: nowMs };
    const lengthMs = (spec.leaseDurationSeconds ?? 0) * 1000;
    return nowMs - this.#seen.sinceMs > Math.max(lengthMs, this.#options.leaseMs);
  }
}

function epochOf(lease: Lease | null): number {
  return Number(lease?.metadata.annotations?.[EPOCH] ?? 0);
}

function recordOf(lease: Lease): LeaderRecord | null {
  const address = lease.metadata.annotations?.[LEADER];
  return address === undefined ? null : { address, epoch: epochOf(lease) };
}

/** With the six digits of a fraction that the API asks for. */
function timestamp(unixMs: number): string {
  return new Date(unixMs).toISOString().replace("Z", "000Z");
}

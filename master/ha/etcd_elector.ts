import { type Candidacy, type Elector, type LeaderRecord, validUntil } from "./elector.ts";
import type { EtcdClient, EtcdEntry } from "./etcd_client.ts";

/**
 * The key in which the leader of a cluster is found, as the reference's clients read it: its value is
 * `host:port` and nothing else.
 */
export function leaderKey(clusterId: string): string {
  return `mooncake-store/${clusterId}/master_view`;
}

/** Between two attempts to watch after a failure. */
const WATCH_AGAIN_MS = 300;

export interface EtcdElectorOptions {
  client: EtcdClient;
  clusterId: string;
  /** Whole seconds, as etcd counts them. */
  leaseMs: number;
  /** Milliseconds, monotonic. */
  clock: () => number;
}

/**
 * Elects with a key that lives as long as the leader's lease. The key's create revision is the epoch:
 * it grows, and a transaction can compare it.
 */
export class EtcdElector implements Elector {
  readonly #options: EtcdElectorOptions;
  readonly #key: string;
  #lease: string | null = null;
  #unwatch = () => {};
  #closed = false;

  constructor(options: EtcdElectorOptions) {
    this.#options = options;
    this.#key = leaderKey(options.clusterId);
  }

  async campaign(address: string): Promise<Candidacy> {
    const { client, leaseMs, clock } = this.#options;
    const { entries } = await client.range(this.#key);
    if (entries.length > 0) return { won: false, leader: recordOf(entries[0]) };
    const sentMs = clock();
    const lease = await client.grantLease(Math.ceil(leaseMs / 1000));
    const { succeeded, revision, read } = await client.transact(
      [{ key: this.#key, createRevision: 0 }],
      [{ put: this.#key, value: address, lease }],
      [{ get: this.#key }],
    );
    if (succeeded) {
      this.#lease = lease;
      return { won: true, epoch: revision, validUntilMs: validUntil(sentMs, leaseMs) };
    }
    await client.revokeLease(lease);
    return { won: false, leader: read.length > 0 ? recordOf(read[0]) : null };
  }

  async renew(epoch: number): Promise<number | null> {
    const { client, leaseMs, clock } = this.#options;
    if (this.#lease === null) return null;
    const sentMs = clock();
    const [lives, { entries }] = await Promise.all([
      client.keepAlive(this.#lease),
      client.range(this.#key),
    ]);
    const leads = lives && entries[0]?.createRevision === epoch;
    return leads ? validUntil(sentMs, leaseMs) : null;
  }

  async resign(epoch: number): Promise<void> {
    const { client } = this.#options;
    const lease = this.#lease;
    this.#lease = null;
    const condition = { key: this.#key, createRevision: epoch };
    await client.transact([condition], [{ delete: this.#key }]);
    if (lease !== null) await client.revokeLease(lease);
  }

  watch(changed: () => void): void {
    if (this.#closed) return;
    const { client } = this.#options;
    this.#unwatch = client.watch(this.#key, null, 0, {
      events: changed,
      ended: () => {
        changed();
        const timer = setTimeout(() => this.watch(changed), WATCH_AGAIN_MS);
        this.#unwatch = () => clearTimeout(timer);
      },
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    this.#options.client.close();
    return Promise.resolve();
  }
}

function recordOf({ value, createRevision }: EtcdEntry): LeaderRecord {
  return { address: new TextDecoder().decode(value), epoch: createRevision };
}

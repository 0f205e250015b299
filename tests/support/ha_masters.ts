/** Masters of one cluster as processes, and a load whose answers are remembered. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, LocalProcess, startMaster } from "../../examples/local_cluster.ts";
import { StoreError } from "../../proto/error.ts";
import { until } from "./until.ts";

const VALUE_BYTES = 4096;

/** What `/ready` says, as far as tests look at it. */
export interface Ready {
  status: number;
  role: string;
  state: string;
  promotion_keeps_index: boolean;
  obstacles: string[];
  keys: number;
  applied_group: number;
  lag_groups: number;
  checkpoint_group: number | null;
  self_check: { group: number; same_as_leader: boolean } | null;
}

/** One master, across its lives. */
export class HaMaster implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-ha-" });
  adminUrl = "";
  process!: LocalProcess;

  constructor(
    readonly rpcPort: number,
    readonly flags: string[],
    readonly env: Record<string, string>,
    /** Where it runs and listens. */
    readonly place: { host: string; launcher: readonly string[] } = {
      ...{ host: "127.0.0.1", launcher: [] },
    },
  ) {}

  get address(): string {
    return `${this.place.host}:${this.rpcPort}`;
  }

  async start(): Promise<void> {
    const flags = [
      ...["--enable_ha=true", `--data_dir=${this.directory}`, "--default_kv_lease_ttl=500"],
      ...["--enable_metric_reporting=false", ...this.flags],
    ];
    const { process, adminUrl } = await startMaster(flags, {
      ...{ rpcPort: this.rpcPort, env: this.env, ...this.place },
    });
    this.process = process;
    this.adminUrl = adminUrl;
  }

  async ready(query = ""): Promise<Ready> {
    const response = await fetch(`${this.adminUrl}/ready${query}`, {
      signal: AbortSignal.timeout(1000),
    });
    return { ...await response.json(), status: response.status };
  }

  /** Whether this master would keep the index if it were promoted, or leads. */
  async canLead(): Promise<boolean> {
    return await this.ready("?promote=1").then(({ status }) => status === 200, () => false);
  }

  /** Whether this master says that it leads. */
  async leads(): Promise<boolean> {
    return await this.ready().then(({ role }) => role === "leader", () => false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGCONT");
    await this.process.stop();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** Masters that share an engine. */
export class HaMasters implements AsyncDisposable {
  readonly all: HaMaster[] = [];

  private constructor(readonly flags: string[], readonly env: Record<string, string>) {}

  static async start(
    count: number,
    flags: string[],
    env: Record<string, string> = {},
  ): Promise<HaMasters> {
    const masters = new HaMasters(flags, env);
    await Promise.all(Array.from({ length: count }, () => masters.add()));
    if (count > 0) await masters.leader();
    return masters;
  }

  async add(flags: string[] = this.flags, place?: HaMaster["place"]): Promise<HaMaster> {
    const master = new HaMaster(await freePort(), flags, this.env, place);
    this.all.push(master);
    await master.start();
    return master;
  }

  /** The one that leads; `except` those that may still believe so. */
  async leader(...except: HaMaster[]): Promise<HaMaster> {
    let found: HaMaster | undefined;
    await until(async () => {
      const candidates = this.all.filter((master) => !except.includes(master));
      const answers = await Promise.all(candidates.map((master) => master.leads()));
      found = candidates[answers.indexOf(true)];
      return found !== undefined;
    });
    return found!;
  }

  /** The others, once a promotion would keep the index. */
  async standbys(): Promise<HaMaster[]> {
    const leader = await this.leader();
    const others = this.all.filter((master) => master !== leader);
    for (const master of others) {
      await until(() => master.canLead());
    }
    return others;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((master) => master[Symbol.asyncDispose]()));
  }
}

/** Bytes that follow from a key. */
export function valueOf(key: string): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES);
  let state = 0x811c9dc5;
  for (const letter of key) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193);
  for (let i = 0; i < value.length; i++) {
    state = Math.imul(state ^ i, 0x01000193);
    value[i] = state >>> 13;
  }
  return value;
}

/** Writers that go on through failures, and what they were told. */
export class HaLoad {
  readonly stored = new Set<string>();
  readonly removed = new Set<string>();
  readonly failures: string[] = [];
  /** When the last put before, and the first one after the longest silence were acknowledged. */
  longestPauseMs = 0;
  #lastAtMs = performance.now();
  #stopped = false;

  /** Puts, and removes every fourth key again, until {@linkcode stop}. */
  async write(client: StoreClient, prefix: string): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const key = `${prefix}/${i}`;
      try {
        await client.put(key, valueOf(key));
        this.#acknowledged();
        this.stored.add(key);
        if (i % 4 !== 3) continue;
        this.stored.delete(key);
        await client.remove(key, { force: true });
        this.removed.add(key);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.failures.push(error.message);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Every acknowledged put is there with its bytes, every acknowledged removal holds. */
  async check(client: StoreClient): Promise<void> {
    for (const key of this.stored) {
      const value = await client.get(key);
      assert(value !== null, `${key} was acknowledged and is gone`);
      assert.deepEqual(value, valueOf(key), `${key} has other bytes`);
    }
    for (const key of this.removed) {
      assert.equal(await client.get(key), null, `${key} was removed and is back`);
    }
  }

  #acknowledged(): void {
    const nowMs = performance.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - this.#lastAtMs);
    this.#lastAtMs = nowMs;
  }
}

/** A client of a cluster that is found in its engine. */
export function connectTo(
  masterServerAddress: string,
  options: { bytes?: number; password?: string } = {},
): Promise<StoreClient> {
  const { bytes = 0, password = "" } = options;
  return StoreClient.connect({
    ...{ masterServerAddress, haPassword: password },
    ...{ globalSegmentSize: bytes, rpcConnectTimeoutMs: 1000 },
  });
}

/** The settings in force, and those of them that can be changed while the master runs. */
import { buildMasterConfig, type MasterConfig } from "./config.ts";
import { FlagError } from "./flag_layers.ts";
import { FlagGroup, type FlagSource } from "./flag_types.ts";
import { parseFlagValue } from "./flag_value.ts";
import { type FlagName, FLAGS, flagsByName, type FlagValues } from "./flags.ts";

/**
 * Flags that every decision reads anew, so that a change is safe at any time. The others are refused:
 * they shape what is opened at the start, or what was promised under the old value must stay true.
 */
export const LIVE_FLAGS = [
  "eviction_ratio",
  "eviction_high_watermark_ratio",
  "allow_evict_soft_pinned_objects",
  "default_kv_lease_ttl",
  "read_hold_ms",
  "default_kv_soft_pin_ttl",
  "max_kv_soft_pin_ttl",
  "put_start_discard_timeout_sec",
  "put_wait_ms",
  "max_reserved_ratio",
  "promotion_admission_threshold",
  "promotion_max_per_heartbeat",
  "dynamic_replication_mode",
  "dynamic_replication_heat_window_seconds",
  "dynamic_replication_admission_qps_threshold",
  "dynamic_replication_max_memory_replicas",
  "dynamic_replication_max_memory_ratio",
  "key_format",
  "model_aliases",
  "auto_compaction",
  "auto_compaction_free_ratio",
  "auto_compaction_bytes_per_second",
  "minloglevel",
] as const satisfies readonly FlagName[];

/**
 * Not above the value of the start: a master that is killed and started again counts what can be
 * read as leased for as long as its flags say.
 */
const CAPPED = "default_kv_lease_ttl";

/** Where a value came from: a flag, a change since the start, or one that was kept before it. */
export type ValueSource = FlagSource | "changed" | "kept change";

/** A flag as it is shown. */
export interface ShownFlag {
  value: boolean | number | string;
  source: ValueSource;
  /** Whether it can be changed while the master runs. */
  live: boolean;
}

/** Texts of flags by name; `null` = back to the value of the start. */
export type ConfigChanges = Readonly<Record<string, string | null>>;

export interface LiveConfigOptions {
  config: MasterConfig;
  /** Puts settings into force. `RangeError` that begins with the name of a flag when they do not fit. */
  apply: (config: MasterConfig) => void;
  /** Told about every change, as a line of the log. */
  log: (line: string) => void;
}

export class LiveConfig {
  readonly #start: MasterConfig;
  readonly #apply: LiveConfigOptions["apply"];
  readonly #log: LiveConfigOptions["log"];
  readonly #changed = new Map<FlagName, ValueSource>();
  #now: MasterConfig;

  constructor({ config, apply, log }: LiveConfigOptions) {
    this.#start = config;
    this.#now = config;
    this.#apply = apply;
    this.#log = log;
  }

  /** The settings in force. */
  get config(): MasterConfig {
    return this.#now;
  }

  /** Every flag but those of absent features. */
  shown(): Record<string, ShownFlag> {
    const shown = FLAGS.filter((flag) => flag.group !== FlagGroup.ABSENT);
    return Object.fromEntries(shown.map(({ name }) => {
      const value = this.#now.values[name];
      const source = this.#changed.get(name) ?? this.#now.sources[name];
      const shownValue = typeof value === "bigint" ? String(value) : value;
      return [name, { value: shownValue, source, live: isLive(name) }];
    }));
  }

  /**
   * Changes flags, all or none. With `keep` they must be fit for a later start, too. Throws
   * {@linkcode FlagError}, which names the flag, the value and what is allowed.
   */
  change(changes: ConfigChanges, keep: boolean, source: ValueSource = "changed"): void {
    const values: Record<string, unknown> = { ...this.#now.values };
    const names: FlagName[] = [];
    for (const [name, text] of Object.entries(changes)) {
      const flag = liveFlag(name);
      names.push(flag.name);
      if (text === null) {
        values[name] = this.#start.values[flag.name];
        continue;
      }
      if (keep) this.#checkKept(flag.name, text);
      const result = parseFlagValue(flag, text);
      if ("error" in result) throw new FlagError(`--${name}=${text}: ${result.error}`);
      const most = this.#start.values[flag.name];
      if (name === CAPPED && result.value > most) {
        throw new FlagError(`--${name}=${text}: allowed without a restart: at most ${most} ms`);
      }
      values[name] = result.value;
    }
    const next = buildMasterConfig(values as FlagValues, this.#start.sources);
    try {
      this.#apply(next);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new FlagError(`--${error.message}`);
    }
    for (const name of names) {
      this.#log(`--${name}: ${this.#now.values[name]} -> ${next.values[name]} (${source})`);
      if (changes[name] === null) this.#changed.delete(name);
      else this.#changed.set(name, source);
    }
    this.#now = next;
  }

  /** Puts changes into force that were kept before the start; what does not fit any more is told. */
  restore(kept: ConfigChanges): void {
    for (const [name, text] of Object.entries(kept)) {
      try {
        this.change({ [name]: text }, true, "kept change");
      } catch (error) {
        if (!(error instanceof FlagError)) throw error;
        this.#log(`a kept change is passed over: ${error.message}`);
      }
    }
  }

  /**
   * Follows a change that another master has kept, `null` = the change is taken back; what does not
   * fit here is told.
   */
  follow(name: string, text: string | null): void {
    const inForce = flagsByName.has(name) ? String(this.#now.values[name as FlagName]) : null;
    if (text === null ? this.#changed.has(name as FlagName) : text !== inForce) {
      this.restore({ [name]: text });
    }
  }

  #checkKept(name: FlagName, text: string): void {
    if (name === CAPPED) {
      throw new FlagError(`--${name}=${text}: cannot be kept; allowed: without persist`);
    }
    if (this.#start.sources[name] !== "command line") return;
    throw new FlagError(
      `--${name}=${text}: cannot be kept, the command line says ${this.#start.values[name]}; ` +
        "allowed: without persist, or a change of the command line",
    );
  }
}

function isLive(name: FlagName): boolean {
  return (LIVE_FLAGS as readonly FlagName[]).includes(name);
}

function liveFlag(name: string) {
  const flag = FLAGS.find((known) => known.name === name);
  if (flag === undefined || !flagsByName.has(name)) {
    throw new FlagError(`unknown flag ${JSON.stringify(name)}; allowed: ${LIVE_FLAGS.join(", ")}`);
  }
  if (isLive(flag.name)) return flag;
  const message = "cannot be changed while the master runs; allowed: ";
  throw new FlagError(`--${name}: ${message}${LIVE_FLAGS.join(", ")}`);
}

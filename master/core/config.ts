import type { CoreConfig } from "./api.ts";
import { MAX_READ_HOLD_MS } from "./holds.ts";
import { KeyFormat } from "./key_format.ts";
import { ModelAliases } from "./model_aliases.ts";

/** The reference's defaults. */
export function defaultCoreConfig(changes: Partial<CoreConfig> = {}): CoreConfig {
  return {
    defaultKvLeaseTtlMs: 10_000,
    readHoldMs: MAX_READ_HOLD_MS,
    defaultKvSoftPinTtlMs: 1_800_000,
    maxKvSoftPinTtlMs: 86_400_000,
    allowEvictSoftPinnedObjects: true,
    evictionRatio: 0.05,
    evictionHighWatermarkRatio: 0.9,
    clientTtlMs: 10_000,
    putStartDiscardTimeoutMs: 30_000,
    putStartReleaseTimeoutMs: 600_000,
    slowStartMs: 10_000,
    allocationStrategy: "random",
    enableOffload: false,
    offloadOnEvict: false,
    offloadForceEvict: false,
    offloadingQueueLimit: 50_000,
    offloadCapRatio: 0.5,
    promotionOnHit: false,
    promotionAdmissionThreshold: 2,
    promotionMaxPerHeartbeat: 1,
    promotionQueueLimit: 50_000,
    maxTotalFinishedTasks: 10_000,
    maxTotalPendingTasks: 10_000,
    maxTotalProcessingTasks: 10_000,
    pendingTaskTimeoutMs: 300_000,
    processingTaskTimeoutMs: 300_000,
    maxRetryAttempts: 10,
    reattachGraceMs: 60_000,
    maxReservedShare: 0.03,
    replicationMode: "off",
    replicationHeatWindowMs: 10_000,
    replicationAdmissionQps: 0.8,
    replicationMaxReplicas: 2,
    replicationMaxShare: 0.1,
    autoCompaction: true,
    autoCompactionFreeRatio: 0,
    autoCompactionBytesPerSecond: 64 * 2 ** 20,
    lifeEvents: 1024,
    enableMultiTenants: false,
    keyFormat: "",
    modelAliases: "",
    fsdir: "",
    epochOffsetMs: 0,
    ...changes,
  };
}

/** Throws a `RangeError` for a setting that the core cannot honour. */
export function checkCoreConfig(config: CoreConfig): void {
  const limits: [keyof CoreConfig, least: number, most: number][] = [
    ["defaultKvLeaseTtlMs", 0, 2 ** 31],
    ["readHoldMs", 0, MAX_READ_HOLD_MS],
    ["defaultKvSoftPinTtlMs", 0, 2 ** 32 - 1],
    ["maxKvSoftPinTtlMs", 0, 2 ** 32 - 1],
    ["evictionRatio", 0, 1],
    ["evictionHighWatermarkRatio", 0, 1],
    ["clientTtlMs", 1, Infinity],
    ["putStartDiscardTimeoutMs", 0, Infinity],
    ["putStartReleaseTimeoutMs", 0, Infinity],
    ["slowStartMs", 0, Infinity],
    ["offloadCapRatio", 0, 1],
    ["reattachGraceMs", 0, Infinity],
    ["maxReservedShare", 0, 1],
    ["replicationHeatWindowMs", 1, Infinity],
    ["replicationAdmissionQps", 0, Infinity],
    ["replicationMaxReplicas", 1, 64],
    ["replicationMaxShare", 0, 1],
    ["autoCompactionFreeRatio", 0, 1],
    ["autoCompactionBytesPerSecond", 0, Number.MAX_SAFE_INTEGER],
    ["promotionAdmissionThreshold", 1, 255],
  ];
  const { lifeEvents } = config;
  if (
    lifeEvents !== 0 && (lifeEvents < 2 || 2 ** Math.round(Math.log2(lifeEvents)) !== lifeEvents)
  ) {
    throw new RangeError(`lifeEvents is ${lifeEvents}, it must be 0 or a power of 2`);
  }
  if (config.keyFormat !== "") new KeyFormat(config.keyFormat);
  if (config.modelAliases !== "") new ModelAliases(config.modelAliases);
  for (const [name, least, most] of limits) {
    const value = config[name] as number;
    if (!(value >= least && value <= most)) {
      throw new RangeError(`${name} is ${value}, it must be from ${least} to ${most}`);
    }
  }
}

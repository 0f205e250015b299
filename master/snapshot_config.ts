/** The settings of snapshots, from flags and variables. */
import { parsePlace, s3Place, type SnapshotPlace } from "./backup/places.ts";
import type { SnapshotPolicy } from "./backup/snapshotter.ts";
import { FlagError } from "./flag_layers.ts";
import type { FlagSource } from "./flag_types.ts";
import type { FlagName, FlagValues } from "./flags.ts";

/** Structured-cloneable. */
export interface SnapshotConfig extends SnapshotPolicy {
  /** Start from the newest snapshot when there is nothing else. */
  readonly restore: boolean;
}

/** Older names and the flags they stand for. */
const OLDER_NAMES = {
  snapshot_payload_store_type: "snapshot_object_store_type",
  snapshot_payload_backend_type: "snapshot_object_store_type",
  snapshot_catalog_backend_type: "snapshot_catalog_store_type",
} as const;

/** `null` when snapshots are off. Throws a {@linkcode FlagError}. */
export function snapshotConfig(
  values: FlagValues,
  sources: Readonly<Record<FlagName, FlagSource>>,
  env: Readonly<Record<string, string>>,
  notes: string[],
): SnapshotConfig | null {
  const { enable_snapshot: enabled, enable_snapshot_restore: restore } = values;
  for (const [older, name] of Object.entries(OLDER_NAMES) as [FlagName, FlagName][]) {
    if (sources[older] !== "default") notes.push(`--${older} is an older name of --${name}`);
  }
  if (!enabled && !restore) return null;
  const flag = enabled ? "enable_snapshot" : "enable_snapshot_restore";
  if (values.durability === "none") {
    throw new FlagError(
      `--${flag}=true: needs what --durability=none leaves out; allowed: false, or ` +
        "--durability=batch or fsync",
    );
  }
  const places = snapshotPlaces(values, env, flag);
  const policy = {
    intervalMs: enabled ? values.snapshot_interval_seconds * 1000 : null,
    timeoutMs: values.snapshot_child_timeout_seconds * 1000,
    retention: values.snapshot_retention_count,
    places,
  };
  if (enabled) {
    notes.push(
      `a snapshot every ${values.snapshot_interval_seconds} s to ` +
        `${places.map(placeName).join(" and ")}; the newest ${policy.retention} are kept`,
    );
  }
  return { ...policy, restore };
}

function snapshotPlaces(
  values: FlagValues,
  env: Readonly<Record<string, string>>,
  flag: FlagName,
): SnapshotPlace[] {
  const type = values.snapshot_object_store_type || values.snapshot_payload_store_type ||
    values.snapshot_payload_backend_type || "local";
  const cluster = values.cluster_id;
  const backup = values.snapshot_backup_dir;
  const local = env.MOONCAKE_SNAPSHOT_LOCAL_PATH ?? "";
  const paths = type === "local" ? [local, backup] : [backup];
  const further = [...new Set(paths)].filter((path) => path !== "")
    .map((path) => parsePlace(`file://${path}`, env))
    .map((place) => place.kind === "s3" ? place : { ...place, path: `${place.path}/${cluster}` });
  if (type === "local") {
    if (further.length > 0) return further;
    throw new FlagError(
      `--${flag}=true: needs a directory for snapshots: set MOONCAKE_SNAPSHOT_LOCAL_PATH, ` +
        "--snapshot_backup_dir or --snapshot_object_store_type=s3",
    );
  }
  const bucket = env.MOONCAKE_AWS_BUCKET_NAME ?? "";
  if (bucket === "") {
    throw new FlagError(
      "--snapshot_object_store_type=s3: needs the variable MOONCAKE_AWS_BUCKET_NAME",
    );
  }
  try {
    return [s3Place(bucket, `snowskin/${cluster}`, env), ...further];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new FlagError(`--snapshot_object_store_type=s3: ${error.message}`);
  }
}

function placeName(place: SnapshotPlace): string {
  return place.kind === "directory" ? place.path : `s3://${place.bucket}/${place.prefix}`;
}

import assert from "node:assert/strict";
import { parseMasterFlags } from "./flag_parser.ts";

const LOCAL = { MOONCAKE_SNAPSHOT_LOCAL_PATH: "/snapshots" };

async function parse(flags: string[], env: Record<string, string> = {}) {
  const parsed = await parseMasterFlags(flags, env, () => assert.fail("no file is read"));
  if ("error" in parsed) return { error: parsed.error };
  assert("config" in parsed);
  return parsed.config;
}

async function snapshots(flags: string[], env: Record<string, string> = LOCAL) {
  const config = await parse(flags, env);
  assert(!("error" in config), "error" in config ? config.error : "");
  return config.snapshots;
}

async function refusal(flags: string[], env: Record<string, string> = {}): Promise<string> {
  const config = await parse(flags, env);
  assert("error" in config);
  assert(!config.error.includes("\n"));
  return config.error;
}

Deno.test("snapshots are off by default, and their other flags are then without effect", async () => {
  assert.equal(await snapshots([], {}), null);
  assert.equal(await snapshots(["--snapshot_interval_seconds=5"], {}), null);
});

Deno.test("the reference's flags say when, where to and how many", async () => {
  assert.deepEqual(await snapshots(["--enable_snapshot"]), {
    ...{ intervalMs: 600_000, timeoutMs: 300_000, retention: 2, restore: false },
    places: [{ kind: "directory", path: "/snapshots/mooncake_cluster" }],
  });
  const all = await snapshots([
    ...["--enable_snapshot=true", "--enable_snapshot_restore=true", "--cluster_id=pool"],
    ...["--snapshot_interval_seconds=5", "--snapshot_retention_count=7"],
    ...["--snapshot_child_timeout_seconds=9", "--snapshot_object_store_type=local"],
    ...["--snapshot_backup_dir=/backup", "--snapshot_catalog_store_type=embedded"],
  ]);
  assert.deepEqual(all, {
    ...{ intervalMs: 5000, timeoutMs: 9000, retention: 7, restore: true },
    places: [
      { kind: "directory", path: "/snapshots/pool" },
      { kind: "directory", path: "/backup/pool" },
    ],
  });
  const only = await snapshots(["--enable_snapshot_restore", "--snapshot_backup_dir=/backup"], {});
  assert.equal(only?.intervalMs, null);
  assert.deepEqual(only?.places, [{ kind: "directory", path: "/backup/mooncake_cluster" }]);
});

Deno.test("S3 is a bucket from the environment, with a directory beside it where asked", async () => {
  const env = { MOONCAKE_AWS_BUCKET_NAME: "bucket", MOONCAKE_AWS_REGION: "eu-1", ...LOCAL };
  const flags = ["--enable_snapshot", "--snapshot_object_store_type=s3"];
  const one = await snapshots(flags, env);
  assert.equal(one?.places.length, 1);
  const [place] = one!.places;
  assert(place.kind === "s3");
  assert.deepEqual([place.bucket, place.prefix], ["bucket", "snowskin/mooncake_cluster"]);
  assert.equal(place.settings.region, "eu-1");
  const two = await snapshots([...flags, "--snapshot_backup_dir=/b"], env);
  assert.deepEqual(two?.places[1], { kind: "directory", path: "/b/mooncake_cluster" });
});

Deno.test("older names of flags are taken and noted", async () => {
  const env = { MOONCAKE_AWS_BUCKET_NAME: "bucket" };
  for (const older of ["snapshot_payload_store_type", "snapshot_payload_backend_type"]) {
    const config = await parse(["--enable_snapshot", `--${older}=s3`], env);
    assert(!("error" in config));
    assert.equal(config.snapshots?.places[0].kind, "s3");
    const note = `--${older} is an older name of --snapshot_object_store_type`;
    assert(config.notes.includes(note));
  }
});

Deno.test("what cannot be done is refused in one line that says what is allowed", async () => {
  assert.equal(
    await refusal(["--enable_snapshot"]),
    "--enable_snapshot=true: needs a directory for snapshots: set MOONCAKE_SNAPSHOT_LOCAL_PATH, " +
      "--snapshot_backup_dir or --snapshot_object_store_type=s3",
  );
  assert.match(
    await refusal(["--enable_snapshot_restore", "--durability=none"], LOCAL),
    /^--enable_snapshot_restore=true: needs .*--durability=none.*; allowed: false, or /,
  );
  assert.equal(
    await refusal(["--enable_snapshot", "--snapshot_object_store_type=s3"], LOCAL),
    "--snapshot_object_store_type=s3: needs the variable MOONCAKE_AWS_BUCKET_NAME",
  );
  const env = { MOONCAKE_AWS_BUCKET_NAME: "bucket", MOONCAKE_AWS_USE_HTTPS: "perhaps" };
  assert.match(
    await refusal(["--enable_snapshot", "--snapshot_object_store_type=s3"], {
      ...env,
      MOONCAKE_AWS_S3_ENDPOINT: "h",
    }),
    /^--snapshot_object_store_type=s3: MOONCAKE_AWS_USE_HTTPS=perhaps: .*allowed: true, false$/,
  );
  assert.equal(
    await refusal(["--snapshot_object_store_type=hdfs"]),
    '--snapshot_object_store_type=hdfs: unknown value; allowed: "", local, s3',
  );
  assert.equal(
    await refusal(["--snapshot_catalog_store_type=redis"]),
    "--snapshot_catalog_store_type=redis: a snapshot catalog in Redis is not available in this " +
      'version; allowed: "", embedded, payload',
  );
  assert.match(
    await refusal(["--snapshot_catalog_store_connstring=redis://h"]),
    /a snapshot catalog in Redis is not available in this version/,
  );
  assert.match(await refusal(["--snapshot_retention_count=0"]), /allowed: 1 to 100000$/);
  assert.match(await refusal(["--snapshot_interval_seconds=0"]), /allowed: 1 to /);
});

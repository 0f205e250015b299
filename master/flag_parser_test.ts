import assert from "node:assert/strict";
import { type MasterConfig, resolveRpcHost, toCoreConfig } from "./config.ts";
import { checkCoreConfig } from "./core/config.ts";
import { FlagError } from "./flag_layers.ts";
import { parseMasterFlags } from "./flag_parser.ts";
import { type Flag, FlagGroup } from "./flag_types.ts";
import { FLAGS } from "./flags.ts";
import { LiveConfig } from "./live_config.ts";

type Files = Record<string, string>;

function parse(args: string[], env: Record<string, string> = {}, files: Files = {}) {
  return parseMasterFlags(args, env, (path) => {
    if (!(path in files)) throw new Error("no such file");
    return files[path];
  });
}

async function config(...input: Parameters<typeof parse>): Promise<MasterConfig> {
  const result = await parse(...input);
  if (!("config" in result)) assert.fail(`refused: ${JSON.stringify(result)}`);
  return result.config;
}

async function refused(...input: Parameters<typeof parse>): Promise<string> {
  const result = await parse(...input);
  if (!("error" in result)) assert.fail(`accepted: ${JSON.stringify(input[0])}`);
  assert.equal(result.exitCode, 2);
  assert.doesNotMatch(result.error, /\n/);
  return result.error;
}

Deno.test("without flags the master has the reference's addresses and defaults", async () => {
  const { rpc, admin, metadata, log, storage, notes } = await config([]);
  assert.deepEqual([rpc.host, rpc.port], ["::", 50051]);
  assert.deepEqual(admin, { host: "::", port: 9003, insecure: false });
  assert.equal(metadata, null);
  assert.equal(log.summaryIntervalMs, 10_000);
  assert.deepEqual(storage, { fsdir: "", enableDiskEviction: true, quotaBytes: 0 });
  assert.deepEqual(notes, []);
});

Deno.test("the core gets milliseconds, and no time-out where a flag says 0", async () => {
  const args = ["--client_ttl=12", "--default_kv_lease_ttl=7s", "--pending_task_timeout_sec=0"];
  const core = toCoreConfig(await config(args), 5);
  assert.equal(core.clientTtlMs, 12_000);
  assert.equal(core.defaultKvLeaseTtlMs, 7000);
  assert.equal(core.pendingTaskTimeoutMs, Infinity);
  assert.equal(core.processingTaskTimeoutMs, 300_000);
  assert.equal(core.allocationStrategy, "random");
  assert.equal(core.epochOffsetMs, 5);
  assert.ok(Object.values(core).every((value) => value !== undefined));
});

Deno.test("the core takes every value that a flag takes", async () => {
  const together: Record<string, string[]> = {
    default_kv_soft_pin_ttl: ["--max_kv_soft_pin_ttl=1000h"],
    put_start_discard_timeout_sec: ["--put_start_release_timeout_sec=31536000"],
    offload_on_evict: ["--enable_offload"],
    offload_force_evict: ["--enable_offload", "--offload_on_evict"],
    promotion_on_hit: ["--enable_offload"],
  };
  let checked = 0;
  for (const flag of FLAGS) {
    if ("unavailable" in flag || !/CLIENTS|EVICTION|DISK|TASKS/.test(groupOf(flag))) continue;
    for (const extreme of extremesOf(flag)) {
      const arg = `--${flag.name}=${extreme}`;
      const result = await parse([...together[flag.name] ?? [], arg]);
      if ("error" in result) {
        assert.match(result.error, /does not fit the other flags/, arg);
        continue;
      }
      assert.ok("config" in result);
      checkCoreConfig(toCoreConfig(result.config, 0));
      checked++;
    }
  }
  assert.ok(checked > 50, `${checked} values`);
});

function groupOf(flag: Flag): string {
  return Object.entries(FlagGroup).find(([, title]) => title === flag.group)![0];
}

function extremesOf(flag: Flag): unknown[] {
  switch (flag.type) {
    case "bool":
      return [true, false];
    case "int":
    case "double":
      return [flag.min, flag.max];
    case "duration":
      return [0, flag.max];
    case "enum":
      return [...flag.allowed];
    case "string":
      return [flag.default];
  }
}

Deno.test("values are written --x=y, --x y, -x=y, --x and --nox", async () => {
  assert.equal((await config(["--rpc_port=1234"])).rpc.port, 1234);
  assert.equal((await config(["--rpc_port", "1234"])).rpc.port, 1234);
  assert.equal((await config(["-rpc_port=0x4d2"])).rpc.port, 1234);
  assert.equal((await config(["--insecure"])).admin.insecure, true);
  assert.equal((await config(["--insecure", "--noinsecure"])).admin.insecure, false);
  for (const yes of ["1", "t", "TRUE", "y", "yes"]) {
    assert.equal((await config([`--insecure=${yes}`])).admin.insecure, true, yes);
  }
});

Deno.test("durations take the reference's suffixes", async () => {
  const texts = {
    "5000": 5000,
    "5s": 5000,
    "5S": 5000,
    " 5 s ": 5000,
    "5000ms": 5000,
    "2m": 120_000,
  };
  for (const [text, ms] of Object.entries(texts)) {
    const { values } = await config([`--default_kv_lease_ttl=${text}`]);
    assert.equal(values.default_kv_lease_ttl, ms, text);
  }
  for (const bad of ["", "5x", "5sec", "-5", "1.5s", "s", "constructor", "9999999h"]) {
    assert.match(
      await refused([`--default_kv_lease_ttl=${bad}`]),
      /^--default_kv_lease_ttl=.*: not a duration in range; allowed: 0 to 500h, .*ms, s, m or h$/,
    );
  }
});

Deno.test("command line beats flag file beats environment beats config file beats default", async () => {
  const files = { "a.flags": "--client_ttl=3\n", "m.yaml": "client_ttl: 5\nport: 6000\n" };
  const env = { FLAGS_client_ttl: "4", FLAGS_config_path: "m.yaml", FLAGS_other: "x" };
  const ttl = async (args: string[], e = {}, f = files) =>
    (await config(args, e, f)).values.client_ttl;
  assert.equal(await ttl(["--client_ttl=2", "--flagfile=a.flags"], env), 2);
  assert.equal(await ttl(["--flagfile=a.flags"], env), 3);
  assert.equal(await ttl([], env), 4);
  assert.equal(await ttl(["--config_path=m.yaml"]), 5);
  assert.equal(await ttl([]), 10);

  const { sources, rpc } = await config(["--flagfile=a.flags"], env, files);
  assert.equal(rpc.port, 6000);
  assert.equal(sources.client_ttl, "flag file");
  assert.equal(sources.port, "config file");
  assert.equal(sources.rpc_port, "default");
});

Deno.test("flag files nest, skip comments and may be given twice", async () => {
  const files = {
    "a": "# comment\n\n--client_ttl=3\n-noinsecure\n--flagfile=b",
    "b": "--rpc_port=7000",
    "c": "--metrics_port=7001",
    "loop": "--flagfile=loop",
    "bad": "client_ttl 3",
  };
  const { rpc, admin, values } = await config(["--flagfile=a", "--flagfile=c"], {}, files);
  assert.deepEqual([rpc.port, admin.port, values.client_ttl], [7000, 7001, 3]);
  assert.match(await refused(["--flagfile=loop"], {}, files), /nested too deep; allowed: 8 levels/);
  assert.match(await refused(["--flagfile=bad"], {}, files), /^flag file "bad": "client_ttl 3"/);
  assert.match(await refused(["--flagfile=x"], {}, files), /--flagfile=x: cannot be read: no such/);
});

Deno.test("config files are JSON or YAML with flag names, and 64-bit numbers stay exact", async () => {
  const files = {
    "a.json": '{"rpc_port": 7000, "insecure": true, "default_kv_lease_ttl": "7s", ' +
      '"eviction_ratio": 0.25, "global_file_segment_size": 9223372036854775807}',
    "a.yml": "rpc_port: 7000\ninsecure: yes\ndefault_kv_lease_ttl: 7s\neviction_ratio: 0.25\n" +
      "global_file_segment_size: 9223372036854775807\nrpc_interface:\n",
    "empty.yaml": "# nothing\n",
  };
  for (const path of ["a.json", "a.yml"]) {
    const { rpc, admin, values } = await config([`--config_path=${path}`], {}, files);
    assert.deepEqual([rpc.port, admin.insecure], [7000, true]);
    assert.deepEqual([values.default_kv_lease_ttl, values.eviction_ratio], [7000, 0.25]);
  }
  assert.equal((await config(["--config_path=empty.yaml"], {}, files)).rpc.port, 50051);
});

Deno.test("a config file with anything else is refused with its name and the key", async () => {
  const files: Files = {
    "typo.yaml": "rpc_prot: 1",
    "nested.yaml": "rpc_port: {a: 1}",
    "list.json": "[1]",
    "broken.json": "{",
    "range.json": '{"eviction_ratio": 5}',
    "self.yaml": "config_path: other.yaml",
    "twice.yaml": "port: 1\nport: 2",
  };
  const expected: Record<string, RegExp> = {
    "typo.yaml": /^config file "typo\.yaml": unknown flag "rpc_prot"; did you mean --rpc_port\?/,
    "nested.yaml": /rpc_port: not a single value; allowed: 0 to 65535$/,
    "list.json": /not a map of flag names to values$/,
    "broken.json": /^config file "broken\.json": /,
    "range.json": /eviction_ratio=5: not a number in range; allowed: 0 to 1$/,
    "self.yaml": /config_path: not allowed in a config file$/,
    "twice.yaml": /^config file "twice\.yaml": .*unique/,
  };
  for (const [path, pattern] of Object.entries(expected)) {
    assert.match(await refused([`--config_path=${path}`], {}, files), pattern);
  }
  assert.match(await refused(["--config_path=a.toml"]), /unknown format; allowed: \.json, \.yaml/);
});

Deno.test("an unknown flag is refused with the nearest name", async () => {
  assert.match(
    await refused(["--rpc_prot=1"]),
    /^--rpc_prot=1: unknown flag "rpc_prot"; did you mean --rpc_port\?/,
  );
  assert.match(await refused(["--rpc-port=1"]), /did you mean --rpc_port\?/);
  assert.doesNotMatch(await refused(["--zzzzzzzzz"]), /did you mean/);
  assert.match(await refused(["positional"]), /^"positional": not a flag/);
  assert.match(await refused(["--rpc_port"]), /^--rpc_port: needs a value; allowed: 0 to 65535$/);
  assert.match(await refused(["--noinsecure=1"]), /takes no value/);
  await config(["--undefok=foo,bar", "--foo=1", "--nobar"]);
});

Deno.test("a value outside the allowed set is refused with that set", async () => {
  const cases: Record<string, RegExp> = {
    "--allocation_strategy=bogus": /: unknown value; allowed: random, free_ratio_first, /,
    "--allocation_strategy=cxl": /: CXL memory is not available in this version; allowed: random,/,
    "--memory_allocator=cachelib": /not available in this version; allowed: offset$/,
    "--eviction_ratio=5": /: not a number in range; allowed: 0 to 1$/,
    "--eviction_ratio=NaN": /: not a number in range/,
    "--rpc_port=70000": /: not a whole number in range; allowed: 0 to 65535$/,
    "--rpc_port=-1": /: not a whole number in range/,
    "--rpc_port=1.5": /: not a whole number in range/,
    "--client_ttl=0": /; allowed: 1 to 86400$/,
    "--insecure=maybe": /: not a boolean; allowed: true, false$/,
    "--log_format=xml": /: unknown value; allowed: text, kep, json$/,
    "--cluster_id=a b/c": /: malformed; allowed: 1 to 128 of/,
    "--rpc_address=": /: malformed; allowed: an IPv4/,
    "--rpc_advertise=a b": /: malformed; allowed: an IPv4/,
  };
  for (const [arg, pattern] of Object.entries(cases)) {
    const error = await refused([arg]);
    assert.ok(error.startsWith(`${arg}: `), error);
    assert.match(error, pattern);
  }
  assert.match(
    await refused([], { FLAGS_eviction_ratio: "5" }),
    /^FLAGS_eviction_ratio=5: not a number/,
  );
});

Deno.test("flags of absent features are accepted at their default and refused otherwise", async () => {
  const absent = FLAGS.filter((flag) => "unavailable" in flag);
  assert.ok(absent.length > 40);
  await config(absent.map((flag) => `--${flag.name}=${flag.default}`));
  for (const flag of absent) {
    const other = typeof flag.default === "boolean" ? !flag.default : `${flag.default}1`;
    const error = await refused([`--${flag.name}=${other}`]);
    assert.match(error, / is not available in this version; allowed: /);
    assert.ok(error.startsWith(`--${flag.name}=${other}: `), error);
  }
  assert.equal(
    await refused(["--enable_cxl"]),
    "--enable_cxl=true: CXL memory is not available in this version; allowed: false",
  );
});

Deno.test("flags that contradict each other are refused", async () => {
  const cases: [string[], RegExp][] = [
    [["--default_kv_soft_pin_ttl=100h"], /^--default_kv_soft_pin_ttl=360000000: .*=86400000$/],
    [["--put_start_discard_timeout_sec=700"], /^--put_start_release_timeout_sec=600: .*=700$/],
    [["--offload_on_evict"], /^--offload_on_evict=true: needs --enable_offload=true/],
    [["--promotion_on_hit"], /needs --enable_offload=true; allowed: false$/],
    [["--enable_metadata_cleanup_on_timeout"], /needs --enable_http_metadata_server=true/],
    [["--metrics_port=50051"], /^--metrics_port=50051: already taken by --port/],
    [["--http_metadata_server_port=9003"], /already taken by --metrics_port/],
    [["--enable_ha"], /^--enable_ha=true: needs --etcd_endpoints with --ha_backend_type=etcd$/],
    [["--enable_oplog"], /^--enable_oplog=true: needs --enable_ha=true; allowed: false$/],
    [["--max_frame_bytes=4096"], /^--max_key_bytes=1048576: .* below --max_frame_bytes=4096$/],
  ];
  for (const [args, pattern] of cases) assert.match(await refused(args), pattern);
  await config(["--metrics_port=50051", "--metrics_host=127.0.0.1", "--rpc_address=127.0.0.2"]);
  await config(["--metrics_port=0", "--port=0", "--http_metadata_server_port=0"]);
});

Deno.test("an explicit host or port turns the metadata server on, unless it is switched off", async () => {
  const on = await config(["--http_metadata_server_host=127.0.0.2"]);
  assert.deepEqual(on.metadata, { host: "127.0.0.2", port: 8080, cleanupOnTimeout: false });
  assert.deepEqual(on.notes, [
    "the HTTP metadata server is on because --http_metadata_server_host is given",
  ]);
  const port = await config([], { FLAGS_http_metadata_server_port: "8081" });
  assert.equal(port.metadata?.port, 8081);
  const off = await config([
    "--http_metadata_server_port=8081",
    "--noenable_http_metadata_server",
  ]);
  assert.equal(off.metadata, null);
  assert.equal(off.notes.length, 1);
});

Deno.test("rpc_port 0 falls back to port, and a thread count is an upper bound", async () => {
  const { rpc, notes } = await config(["--port=6001", "--rpc_thread_num=8"]);
  assert.equal(rpc.port, 6001);
  assert.deepEqual(notes, [
    "--port is an older name of --rpc_port",
    "one thread serves all RPCs; 8 is the most that was allowed",
  ]);
});

Deno.test("an interface name becomes its IPv4 address", async () => {
  const interfaces = [
    { name: "lo", family: "IPv6", address: "::1" },
    { name: "lo", family: "IPv4", address: "127.0.0.1" },
    { name: "eth0", family: "IPv6", address: "fd00::2" },
  ] as const;
  assert.equal(resolveRpcHost(await config([]), interfaces), "::");
  assert.equal(resolveRpcHost(await config(["--rpc_interface=lo"]), interfaces), "127.0.0.1");
  assert.equal(resolveRpcHost(await config(["--rpc_interface=eth0"]), interfaces), "fd00::2");
  const missing = await config(["--rpc_interface=eth1"]);
  assert.throws(
    () => resolveRpcHost(missing, interfaces),
    (error) =>
      error instanceof FlagError &&
      error.message === "--rpc_interface=eth1: no such interface; allowed: lo, eth0",
  );
});

Deno.test("fromenv names must be flags and set", async () => {
  await config(["--fromenv=client_ttl"], { FLAGS_client_ttl: "5" });
  assert.match(await refused(["--fromenv=client_ttl"]), /FLAGS_client_ttl is not set$/);
  assert.match(await refused(["--tryfromenv=client_tl"]), /did you mean --client_ttl\?/);
});

Deno.test("help lists every flag under its group, and version names the program", async () => {
  for (const flag of ["-h", "--help", "--helpfull", "--helpshort"]) {
    const result = await parse([flag]);
    assert.ok("help" in result);
    for (const { name } of FLAGS) assert.ok(result.help.includes(`--${name}`), name);
    assert.ok(result.help.split("\n").every((line) => line.length <= 100));
  }
  const project = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  assert.deepEqual(await parse(["--version"]), { version: `snowskin master ${project.version}\n` });
});

Deno.test("flags of high availability that contradict each other are refused", async () => {
  const etcd = ["--enable_ha", "--etcd_endpoints=10.0.0.1:2379;https://b:2379"];
  const redis = ["--enable_ha", "--ha_backend_type=redis", "--ha_backend_connstring=redis://h:1/2"];
  const k8s = ["--enable_ha", "--ha_backend_type=k8s"];
  const cases: [string[], RegExp][] = [
    [[...etcd, "--durability=none"], /^--durability=none: .*; allowed: batch$/],
    [[...etcd, "--durability=fsync"], /^--durability=fsync: .*; allowed: batch$/],
    [[...etcd, "--enable_snapshot", "--snapshot_backup_dir=/x"], /^--enable_snapshot=true: /],
    [[...etcd, "--port=0"], /^--port=0: with --enable_ha=true clients must know it/],
    [[...etcd, "--ha_backend_connstring=c:1"], /^--ha_backend_connstring=c:1: differs from/],
    [
      [...etcd, "--etcd_endpoints=nonsense"],
      /^--etcd_endpoints=nonsense: malformed; allowed: host/,
    ],
    [[...etcd, "--ha_user=me"], /^--ha_user=me: needs --ha_password_file$/],
    [[...etcd, "--ha_tls_cert=a"], /^--ha_tls_cert: needs --ha_tls_key$/],
    [[...etcd, "--ha_tls_cert=a", "--ha_tls_key=b"], /^--ha_tls_cert=a: needs --ha_tls_ca$/],
    [[...etcd, "--ha_tls_ca=a"], /^--etcd_endpoints=10.0.0.1:2379: .*; allowed: a host name$/],
    [[...etcd, "--ha_lease_sec=1"], /^--ha_lease_sec=1: .*allowed: 2 to 60$/],
    [[...etcd, "--cluster_id=a/b"], /^--cluster_id=a\/b: malformed; allowed: 1 to 128 of/],
    [[...etcd, `--cluster_id=${"c".repeat(129)}`], /malformed; allowed: 1 to 128 of/],
    [[...etcd, "--ha_log_connstring=redis://h:1"], /the log lies in etcd; allowed: ""$/],
    [[...redis, "--etcd_endpoints=h:1"], /^--etcd_endpoints=h:1: is for --ha_backend_type=etcd/],
    [[...redis, "--ha_backend_connstring=redis://u:p@h:1"], /^--ha_backend_connstring: holds a/],
    [[...redis, "--ha_backend_connstring=http://h:1"], /malformed; allowed: redis:/],
    [k8s, /^--ha_backend_type=k8s: a Lease keeps no log; --ha_log_connstring must name a Redis/],
  ];
  for (const [args, pattern] of cases) assert.match(await refused(args), pattern);
  const { ha } = await config(etcd);
  assert.deepEqual(ha?.elector.endpoints, ["10.0.0.1:2379", "https://b:2379"]);
  assert.equal((await config(redis)).ha?.log.kind, "redis");
  const idle = await config(["--etcd_endpoints=h:1"]);
  assert.equal(idle.ha, null);
  assert.match(idle.notes.join(), /--etcd_endpoints has no effect without --enable_ha=true/);
});

Deno.test("the effective configuration is JSON and names the source of each value", async () => {
  const parsed = await config(["--client_ttl=7"], { FLAGS_insecure: "1" });
  const shown = new LiveConfig({ config: parsed, apply() {}, log() {} }).shown();
  assert.deepEqual(shown.client_ttl, { value: 7, source: "command line", live: false });
  assert.deepEqual(shown.insecure, { value: true, source: "environment", live: false });
  assert.deepEqual(shown.rpc_port, { value: 0, source: "default", live: false });
  assert.deepEqual(shown.put_wait_ms, { value: 50, source: "default", live: true });
  assert.ok(!("enable_cxl" in shown));
  assert.deepEqual(JSON.parse(JSON.stringify(shown)), shown);
});

Deno.test("keys are asked for only where they can be kept and mean something", async () => {
  assert.equal((await config(["--require_auth"])).requireAuth, true);
  const etcd = ["--enable_ha=true", "--etcd_endpoints=127.0.0.1:2379"];
  assert.equal((await config(["--require_auth", ...etcd])).requireAuth, true);
  const cases: [string[], RegExp][] = [
    [["--durability=none"], /^--require_auth=true: keys are kept in the data directory/],
    [["--insecure"], /^--insecure=true: contradicts --require_auth=true; allowed: false$/],
  ];
  for (const [flags, why] of cases) assert.match(await refused(["--require_auth", ...flags]), why);
});

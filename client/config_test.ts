import assert from "node:assert/strict";
import { type Config, type ConfigSources, readConfig } from "./config.ts";
import type { StoreSettings } from "./settings.ts";

function read(sources: Partial<ConfigSources> & { file?: unknown }): Config {
  const { file, ...rest } = sources;
  return readConfig({
    env: {},
    readFile: (path) => {
      if (file === undefined) throw new Error(`${path} is not there`);
      return typeof file === "string" ? file : JSON.stringify(file);
    },
    ...rest,
  });
}

function refused(sources: Parameters<typeof read>[0], ...patterns: RegExp[]): void {
  assert.throws(() => read(sources), (error) => {
    assert(error instanceof RangeError, String(error));
    assert(!error.message.includes("\n"), "one line");
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });
}

const API_KEY = `mk_0123456789ab_${"x".repeat(43)}`;

Deno.test("without any source the defaults stand and nothing counts as given", () => {
  const { settings, given } = read({});
  assert.equal(settings.masterServerAddress, "127.0.0.1:50051");
  assert.equal(settings.metadataServer, "P2PHANDSHAKE");
  assert.equal(settings.globalSegmentSize, 0);
  assert.equal(settings.protocol, "tcp");
  assert.equal(settings.tenantId, "default");
  assert.deepEqual([settings.minPort, settings.maxPort], [15000, 17000]);
  assert.equal(given.size, 0);
});

Deno.test("a key that is none is refused without being repeated", () => {
  assert.throws(
    () => read({ env: { MOONCAKE_API_KEY: "mk_secret" } }),
    (error) =>
      error instanceof RangeError && /MOONCAKE_API_KEY/.test(error.message) &&
      !error.message.includes("secret"),
  );
});

Deno.test("every variable of the environment reaches its setting", () => {
  const cases: [string, string, keyof StoreSettings, unknown][] = [
    ["MOONCAKE_MASTER", "m:1", "masterServerAddress", "m:1"],
    [
      "MOONCAKE_TE_META_DATA_SERVER",
      "http://m:8080/metadata",
      "metadataServer",
      "http://m:8080/metadata",
    ],
    ["MOONCAKE_LOCAL_HOSTNAME", "10.0.0.1:12345", "localHostname", "10.0.0.1:12345"],
    ["MOONCAKE_GLOBAL_SEGMENT_SIZE", "16GB", "globalSegmentSize", 16 * 1024 ** 3],
    ["MOONCAKE_LOCAL_BUFFER_SIZE", "4194304", "localBufferSize", 4 << 20],
    ["MOONCAKE_PROTOCOL", "TCP", "protocol", "tcp"],
    ["MOONCAKE_DEVICE", "auto-discovery", "deviceName", ""],
    ["MOONCAKE_TENANT_ID", "t1", "tenantId", "t1"],
    ["MOONCAKE_API_KEY", API_KEY, "authKey", API_KEY],
    ["MOONCAKE_ENABLE_CLIENT_HTTP_SERVER", "on", "enableHttpServer", true],
    ["MOONCAKE_CLIENT_HTTP_PORT", "9400", "httpPort", 9400],
    ["MC_RPC_TIMEOUT_MS", "1500", "rpcTimeoutMs", 1500],
    ["MC_RPC_CONNECT_TIMEOUT_MS", "250", "rpcConnectTimeoutMs", 250],
    ["MC_TRANSFER_TIMEOUT", "7", "transferTimeoutMs", 7000],
    ["SNOWSKIN_OP_BUDGET_MS", "500", "opBudgetMs", 500],
    ["SNOWSKIN_BANDWIDTH", "low=1gb", "bandwidth", "low=1gb"],
    ["SNOWSKIN_REPLICA_PATIENCE_MS", "90", "replicaPatienceMs", 90],
    ["SNOWSKIN_HEDGE_PERCENT", "0", "hedgePercent", 0],
    ["SNOWSKIN_EARLY_READS", "off", "earlyReads", "off"],
    ["SNOWSKIN_HELD_READS", "off", "heldReads", "off"],
    ["SNOWSKIN_RESERVED_PUTS", "off", "reservedPuts", "off"],
    ["MC_HANDSHAKE_CONNECT_TIMEOUT", "2", "handshakeTimeoutMs", 2000],
    ["MC_HANDSHAKE_MAX_LENGTH", "2097152", "handshakeMaxLength", 2 << 20],
    ["SNOWSKIN_DATA_PORT", "12345", "dataPort", 12345],
    ["SNOWSKIN_BIND_ADDRESS", "::", "bindAddress", "::"],
    ["MC_MIN_RPC_PORT", "16000", "minPort", 16000],
    ["MC_MAX_RPC_PORT", "16010", "maxPort", 16010],
    ["MC_MAX_PRC_PORT", "16010", "maxPort", 16010],
    ["MC_TCP_BIND_ADDRESS", "10.0.0.9", "advertisedHost", "10.0.0.9"],
    ["MC_METADATA_CLUSTER_ID", "c7", "metadataClusterId", "c7"],
    ["SNOWSKIN_METADATA_USER", "te", "metadataUser", "te"],
    ["SNOWSKIN_METADATA_PASSWORD", "p", "metadataPassword", "p"],
    ["SNOWSKIN_METADATA_TLS_CA", "ca.pem", "metadataTlsCa", "ca.pem"],
    ["SNOWSKIN_TLS_CERT_FILE", "", "tlsCertFile", ""],
    ["SNOWSKIN_TLS_KEY_FILE", "", "tlsKeyFile", ""],
    ["SNOWSKIN_TLS_CA_FILE", "", "tlsCaFile", ""],
    ["MC_STORE_MEMCPY", "0", "memcpy", false],
    ["MC_FORCE_TCP", "1", "forceTcp", true],
    ["MC_CUSTOM_TOPO_JSON", "topo.json", "topologyFile", "topo.json"],
    ["MC_TCP_PROTO", "1", "tcpProtocolVersion", 1],
  ];
  for (const [name, value, field, wanted] of cases) {
    const { settings, given } = read({ env: { [name]: value } });
    assert.deepEqual(settings[field], wanted, name);
    assert.deepEqual([...given], [field], name);
  }
});

Deno.test("TLS takes three files, and TCP", () => {
  const tls = ["CERT", "KEY", "CA"].map((name) => [`SNOWSKIN_TLS_${name}_FILE`, `${name}.pem`]);
  const env = Object.fromEntries(tls);
  const { tlsCertFile, tlsKeyFile, tlsCaFile } = read({ env }).settings;
  assert.deepEqual([tlsCertFile, tlsKeyFile, tlsCaFile], ["CERT.pem", "KEY.pem", "CA.pem"]);
  assert.equal(read({ env: { ...env, MOONCAKE_PROTOCOL: "rpc_only" } }).settings.forceTcp, true);
  for (const protocol of ["rdma", "libfabric", "efa", "cxi", "barex"]) {
    assert.throws(
      () => read({ env: { ...env, MOONCAKE_PROTOCOL: protocol } }),
      /^RangeError: SNOWSKIN_TLS_CERT_FILE="CERT.pem" is refused; .*only tcp is encrypted/,
      protocol,
    );
  }
});

Deno.test("memory of a device goes over TCP and RDMA, and over no other transport", () => {
  const env = { SNOWSKIN_DEVICE_MEMORY: "cuda:0" };
  for (const protocol of ["tcp", "rdma", "rpc_only"]) {
    const { settings } = read({ env: { ...env, MOONCAKE_PROTOCOL: protocol } });
    assert.equal(settings.deviceMemory, "cuda:0", protocol);
  }
  assert.throws(
    () => read({ env: { ...env, MOONCAKE_PROTOCOL: "libfabric" } }),
    /^RangeError: SNOWSKIN_DEVICE_MEMORY="cuda:0" is refused; .*libfabric .*over tcp and rdma/,
  );
});

Deno.test("a definition wins over the file, the file over the environment", () => {
  const env = { MOONCAKE_MASTER: "env:1", MOONCAKE_TENANT_ID: "env", MOONCAKE_CONFIG_PATH: "c" };
  const file = { master_server_address: "file:1", global_segment_size: "1gb" };
  const definitions = [
    { name: "-D", key: "global_segment_size", value: "2gb" },
    { name: "--segment_size", key: "global_segment_size", value: "3gb" },
  ];
  const { settings } = read({ env, file, definitions });
  assert.equal(settings.tenantId, "env");
  assert.equal(settings.masterServerAddress, "file:1");
  assert.equal(settings.globalSegmentSize, 3 * 1024 ** 3);
});

Deno.test("the file may hold numbers, texts and truth values, and both spellings of a key", () => {
  const { settings } = read({
    configPath: "c.json",
    file: {
      local_hostname: "node1",
      master_server_addr: "m:5",
      global_segment_size: 3355443200,
      local_buffer_size: "16mb",
      enable_client_http_server: true,
      client_http_port: 9301,
      enable_ssd_offload: false,
      ssd_offload_path: "",
    },
  });
  assert.equal(settings.masterServerAddress, "m:5");
  assert.equal(settings.globalSegmentSize, 3355443200);
  assert.equal(settings.localBufferSize, 16 << 20);
  assert(settings.enableHttpServer);
  assert.equal(settings.httpPort, 9301);
});

Deno.test("the reference's variables for Redis count when Redis keeps the metadata", () => {
  const env = {
    MC_REDIS_USERNAME: "u",
    MC_REDIS_PASSWORD: "p",
    MC_REDIS_DB_INDEX: "7",
  };
  const read = (server: string) =>
    readConfig({ env: { ...env, MOONCAKE_TE_META_DATA_SERVER: server }, readFile: () => "" })
      .settings;
  const { metadataUser, metadataPassword, metadataDatabase } = read("redis://h:6379");
  assert.deepEqual([metadataUser, metadataPassword, metadataDatabase], ["u", "p", 7]);
  const other = read("etcd://h:2379");
  assert.deepEqual([other.metadataUser, other.metadataPassword], ["", ""]);
});

Deno.test("a bad value is refused with its variable, itself and what is allowed", () => {
  const cases: [string, string, RegExp][] = [
    ["MOONCAKE_GLOBAL_SEGMENT_SIZE", "12xb", /allowed: a number of bytes/],
    ["MOONCAKE_GLOBAL_SEGMENT_SIZE", "", /allowed: a number of bytes/],
    ["MOONCAKE_GLOBAL_SEGMENT_SIZE", "-5", /allowed: a number of bytes/],
    ["MOONCAKE_GLOBAL_SEGMENT_SIZE", "512", /allowed: 0, or 1kb to 1tb/],
    ["MOONCAKE_GLOBAL_SEGMENT_SIZE", "2tb", /allowed: 0, or 1kb to 1tb/],
    ["SNOWSKIN_BANDWIDTH", "lower=1gb", /allowed: CLASS=BYTES/],
    ["SNOWSKIN_BANDWIDTH", "low=0", /allowed: CLASS=BYTES/],
    ["SNOWSKIN_BANDWIDTH", "low=1gb,low=2gb", /allowed: CLASS=BYTES/],
    ["MC_MTU", "1000", /allowed: 256, 512, 1024, 2048, 4096/],
    ["MC_GID_INDEX", "256", /-1 to 255/],
    ["MOONCAKE_PROTOCOL", "bogus", /allowed: tcp, rdma, rpc_only, libfabric, /],
    ["MOONCAKE_DEVICE", "mlx5_0", /allowed: empty or auto-discovery/],
    ["MOONCAKE_MASTER", "etcd://h", /allowed: host:port, .* etcd:/],
    ["MOONCAKE_MASTER", "a:1,b", /allowed: host:port/],
    ["MC_STORE_CLUSTER_ID", "a/b", /allowed: 1 to 128 of/],
    ["MOONCAKE_MASTER", "hostonly", /allowed: host:port/],
    ["MOONCAKE_MASTER", "", /allowed: host:port/],
    ["MOONCAKE_TE_META_DATA_SERVER", "etcd://h", /allowed: P2PHANDSHAKE, .*etcd:/],
    ["MOONCAKE_TE_META_DATA_SERVER", "redis://u:p@h:1", /allowed: P2PHANDSHAKE, .*redis:/],
    ["MOONCAKE_TE_META_DATA_SERVER", "localhost", /allowed: P2PHANDSHAKE/],
    ["SNOWSKIN_METADATA_TLS_CERT", "client.pem", /allowed: together with metadataTlsKey/],
    ["SNOWSKIN_TLS_CERT_FILE", "n.pem", /"n.pem" is refused; allowed: together with tlsKeyFile/],
    ["SNOWSKIN_TLS_CA_FILE", "ca.pem", /"ca.pem" is refused; allowed: together with tlsCertFile/],
    ["MOONCAKE_TE_META_DATA_SERVER", "ftp://h/", /allowed: P2PHANDSHAKE/],
    ["MOONCAKE_LOCAL_HOSTNAME", "a b", /allowed: host, host:port/],
    ["MOONCAKE_OFFLOAD_ENABLED", "true", /offload to SSD is not available in this version/],
    ["MOONCAKE_STORE_CHECKSUM", "crc", /allowed: true or false/],
    ["MC_RPC_PROTOCOL", "rdma", /allowed: tcp/],
    ["MC_RPC_TIMEOUT_MS", "0", /allowed: an integer from 1/],
    ["MC_RPC_TIMEOUT_MS", "1.5", /allowed: an integer from 1/],
    ["SNOWSKIN_DATA_PORT", "65536", /allowed: an integer from 0 to 65535/],
    ["SNOWSKIN_BIND_ADDRESS", "eth0", /"eth0" is refused; allowed: an IPv4 or IPv6 address/],
    ["MC_MIN_RPC_PORT", "70000", /allowed: an integer from 1 to 65535/],
    ["MC_MIN_RPC_PORT", "18000", /upper end of the range, 17000/],
    ["MC_TRANSFER_TIMEOUT", "-1", /allowed: an integer from 1/],
    ["MC_TCP_PROTO", "3", /allowed: an integer from 1 to 2/],
    ["MC_STORE_MEMCPY", "maybe", /allowed: true or false/],
  ];
  for (const [name, value, allowed] of cases) {
    refused(
      { env: { [name]: value } },
      new RegExp(`^${name}=`),
      allowed,
    );
  }
});

Deno.test("a bad value of the file names the key and the file", () => {
  refused(
    { configPath: "/etc/c.json", file: { local_buffer_size: true } },
    /^local_buffer_size of \/etc\/c\.json=true/,
  );
});

Deno.test("an unknown key of the file or of a definition is refused with the known ones", () => {
  refused({ configPath: "c.json", file: { masterserver: "x:1" } }, /"masterserver"/, /tenant_id/);
  refused(
    { definitions: [{ name: "-D", key: "tenant", value: "x" }] },
    /^-D: the key "tenant" is unknown/,
  );
});

Deno.test("a configuration file that cannot be read or is no object is refused", () => {
  refused({ configPath: "gone.json" }, /"gone\.json": .*not there/);
  refused({ configPath: "bad.json", file: "{" }, /Cannot read the configuration file "bad\.json"/);
  refused({ configPath: "list.json", file: [] }, /holds no JSON object/);
});

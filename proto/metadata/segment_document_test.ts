import assert from "node:assert/strict";
import { chosenSeed, Random } from "../../tests/support/random.ts";
import { ProtocolError } from "../error.ts";
import type { JsonObject } from "../json_exact.ts";
import {
  documentTimestamp,
  formatSegmentDocument,
  parseSegmentDocument,
  segmentDocumentJson,
} from "./segment_document.ts";

/** As stored by a store client of the reference wheel with TCP and HTTP metadata. */
const GOLDEN_TCP =
  '{"buffers":[{"addr":140033096937536,"length":16777216,"name":"127.0.0.1:60399"},' +
  '{"addr":140032996278272,"length":67108864,"name":"127.0.0.1:60399"}],' +
  '"name":"127.0.0.1:60399","protocol":"tcp","rdma_server_name":"","tcp_data_host":"127.0.0.1",' +
  '"tcp_data_port":16932,"tcp_proto_version":2,"timestamp":"2026-11-22 19:41:00.684878"}';

const RDMA = '{"buffers":[{"addr":18446744073709547520,"length":4096,"lkey":[1,2],' +
  '"name":"cpu:0","rkey":[4294967295,7]}],' +
  '"devices":[{"gid":"00:01","lid":0,"name":"mlx5_0"},{"gid":"00:02","lid":3,"name":"mlx5_1"}],' +
  '"name":"a","priority_matrix":{"cpu:0":[["mlx5_0"],["mlx5_1"]]},"protocol":"rdma",' +
  '"rdma_server_name":"10.0.0.1:1","tcp_data_host":"","tcp_data_port":0,"tcp_proto_version":1,' +
  '"timestamp":"2026-01-02 03:04:05.000000"}';

function changed(change: (document: JsonObject) => void): JsonObject {
  const document = JSON.parse(GOLDEN_TCP);
  change(document);
  return document;
}

Deno.test("the reference's TCP document parses and is written back to the same bytes", () => {
  const document = parseSegmentDocument(new TextEncoder().encode(GOLDEN_TCP));
  assert.deepEqual(document.buffers[0], {
    name: "127.0.0.1:60399",
    addr: 140033096937536n,
    length: 16777216,
    protocol: "",
    rkeys: [],
    lkeys: [],
  });
  assert.deepEqual(document.protocols, ["tcp"]);
  assert.equal(document.tcpDataHost, "127.0.0.1");
  assert.equal(document.tcpDataPort, 16932);
  assert.equal(document.tcpProtoVersion, 2);
  assert.equal(formatSegmentDocument(document), GOLDEN_TCP);
});

Deno.test("an RDMA document keeps devices, keys, priorities and addresses of 64 bits", () => {
  const document = parseSegmentDocument(RDMA);
  assert.equal(document.buffers[0].addr, 18446744073709547520n);
  assert.deepEqual(document.buffers[0].rkeys, [4294967295, 7]);
  assert.deepEqual(document.devices[1], { name: "mlx5_1", lid: 3, gid: "00:02" });
  assert.deepEqual(document.priorities.get("cpu:0"), { preferred: ["mlx5_0"], others: ["mlx5_1"] });
  assert.equal(formatSegmentDocument(document), RDMA);
  assert.deepEqual(parseSegmentDocument(segmentDocumentJson(document)), document);
});

Deno.test("a segment with several protocols keeps the buffers of those it knows", () => {
  const document = parseSegmentDocument(changed((json) => {
    json.protocol = ["hip", "tcp"];
    json.buffers = [
      { name: "gpu", addr: 1, length: 2, protocol: "hip", shm_name: "x" },
      { name: "cpu", addr: 3, length: 4, protocol: "tcp" },
    ];
  }));
  assert.deepEqual(document.protocols, ["tcp"]);
  assert.deepEqual(document.buffers.map(({ name }) => name), ["cpu"]);
});

Deno.test("a node with TLS has one member more", () => {
  const plain = parseSegmentDocument(GOLDEN_TCP);
  assert.equal("tls" in plain, false);
  const text = formatSegmentDocument({ ...plain, tls: true });
  assert.equal(text.replace('"snowskin_tls":true,', ""), GOLDEN_TCP);
  assert.equal(parseSegmentDocument(text).tls, true);
});

/** As a script of the reference stores it; it writes no name. */
const GOLDEN_FILES = '{"buffers":[{"file_path":"/mnt/nvme0","length":1073741824,' +
  '"local_path_map":{"node01":"/mnt/transfer_engine/node01/nvme0"}},' +
  '{"file_path":"/mnt/nvme1","length":4096,"local_path_map":{}}],' +
  '"protocol":"nvmeof","server_name":"node00"}';

Deno.test("the reference's document of files parses, and is written with a name", () => {
  const document = parseSegmentDocument(GOLDEN_FILES);
  assert.equal(document.name, "node00");
  assert.deepEqual(document.protocols, ["nvmeof"]);
  assert.equal(document.files?.owner, "node00");
  assert.deepEqual(document.files.all[0], {
    path: "/mnt/nvme0",
    length: 1073741824,
    localPaths: new Map([["node01", "/mnt/transfer_engine/node01/nvme0"]]),
  });
  const named = { ...document, name: "nvmeof/node00", timestamp: "now" };
  assert.equal(
    formatSegmentDocument(named),
    GOLDEN_FILES.replace('"protocol"', '"name":"nvmeof/node00","protocol"')
      .replace('"node00"}', '"node00","timestamp":"now"}'),
  );
  assert.deepEqual(parseSegmentDocument(segmentDocumentJson(named)), named);
  const older = GOLDEN_FILES.replace('"nvmeof"', '"NVMeoF"');
  assert.deepEqual(parseSegmentDocument(older), document);
});

Deno.test("absent members take the reference's defaults", () => {
  const document = parseSegmentDocument('{"name":"n","protocol":"tcp"}');
  assert.deepEqual(document, {
    name: "n",
    protocols: ["tcp"],
    buffers: [],
    tcpDataHost: "",
    tcpDataPort: 0,
    tcpProtoVersion: 1,
    localName: "",
    rdmaServerName: "",
    devices: [],
    priorities: new Map(),
    timestamp: "",
  });
});

Deno.test("incomplete documents are refused with the name of what is wrong", () => {
  const buffer = { name: "b", addr: 1, length: 1 };
  const cases: [RegExp, (document: JsonObject) => void][] = [
    [/name of a segment document/, (json) => json.name = ""],
    [/protocol "barex", not one of tcp, rdma, nvmeof/, (json) => json.protocol = "barex"],
    [/file_path of buffer 0/, (json) => json.protocol = "nvmeof"],
    [/length of buffer 0/, (json) => {
      json.protocol = "nvmeof";
      json.buffers = [{ file_path: "/f", length: 0 }];
    }],
    [/n of local_path_map of buffer 0/, (json) => {
      json.protocol = "nvmeof";
      json.buffers = [{ file_path: "/f", length: 1, local_path_map: { n: 5 } }];
    }],
    [/name of buffer 0/, (json) => json.buffers = [{ ...buffer, name: "" }]],
    [/addr of buffer 1/, (json) => json.buffers = [buffer, { ...buffer, addr: 0 }]],
    [/addr of buffer 0/, (json) => json.buffers = [{ ...buffer, addr: "5" }]],
    [/addr of buffer 0/, (json) => json.buffers = [{ ...buffer, addr: -5 }]],
    [/length of buffer 0/, (json) => json.buffers = [{ ...buffer, length: 0 }]],
    [/length of buffer 0/, (json) => json.buffers = [{ ...buffer, length: 1n << 60n }]],
    [/buffers of segment/, (json) => json.buffers = {}],
    [/buffer 0 of segment/, (json) => json.buffers = [7]],
    [/tcp_data_port/, (json) => json.tcp_data_port = 65536],
    [/tcp_proto_version/, (json) => json.tcp_proto_version = "2"],
    [/tcp_data_host/, (json) => json.tcp_data_host = 1],
  ];
  for (const [message, change] of cases) {
    assert.throws(() => parseSegmentDocument(changed(change)), (error: Error) => {
      return error instanceof ProtocolError && message.test(error.message);
    }, String(message));
  }
  for (const text of ["null", "[]", "7", "{}"]) {
    assert.throws(() => parseSegmentDocument(text), ProtocolError);
  }
});

Deno.test("an RDMA document whose keys do not match its devices is refused", () => {
  for (const damage of [/,2\]/, /,7\]/, /"mlx5_0"/, /"00:01"/]) {
    const damaged = RDMA.replace(damage, (text) => text.endsWith("]") ? "]" : '""');
    assert.notEqual(damaged, RDMA);
    assert.throws(() => parseSegmentDocument(damaged), ProtocolError, damaged);
  }
});

Deno.test("memory that its owner keeps from peers has no rkeys", () => {
  const { buffers } = parseSegmentDocument(RDMA.replace("[4294967295,7]", "[]"));
  assert.deepEqual(buffers[0].rkeys, []);
});

Deno.test("10000 damaged documents parse or give a ProtocolError", () => {
  const seed = chosenSeed();
  const random = new Random(seed);
  const values = [null, true, -1, 0, 1n << 63n, 1.5, "", "x", [], [0], {}, { name: 1 }];
  for (let i = 0; i < 10_000; i++) {
    const document = JSON.parse(random.oneIn(2) ? RDMA : GOLDEN_TCP);
    damage(document, random, values);
    try {
      parseSegmentDocument(document);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `seed ${seed}, document ${i}: ${error}`);
    }
  }
});

function damage(value: Record<string, unknown>, random: Random, values: readonly unknown[]): void {
  const names = Object.keys(value);
  if (names.length === 0) return;
  const name = random.pick(names);
  const member = value[name];
  if (typeof member === "object" && member !== null && !random.oneIn(4)) {
    return damage(member as Record<string, unknown>, random, values);
  }
  if (random.oneIn(4)) delete value[name];
  else value[name] = random.pick(values);
}

Deno.test("the timestamp has the reference's form", () => {
  assert.equal(documentTimestamp(Date.UTC(2026, 0, 2, 3, 4, 5, 67)), "2026-01-02 03:04:05.067000");
});

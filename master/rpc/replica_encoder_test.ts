import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import * as m from "../../proto/messages.ts";
import { beginBody } from "../../proto/struct_pack/codec.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { type SizeWidth, Writer } from "../../proto/struct_pack/writer.ts";
import type { ReplicaDescriptor, ReplicaList } from "../../proto/types.ts";
import { halves, segmentOf } from "../../tests/support/core_driver.ts";
import { ReplicaEncoder } from "./replica_encoder.ts";

const encoder = new TextEncoder();

function views(endpoints: string[]) {
  const all = endpoints.map((teEndpoint, index) => ({
    index,
    segment: { ...segmentOf(index + 1, `s${index}`, 1 << 30), teEndpoint },
    protocolBytes: encoder.encode("tcp"),
    endpointBytes: encoder.encode(teEndpoint),
  }));
  return { view: (index: number) => all[index], all };
}

/** Has the encoder write a list, and reads it with the generic codec. */
function written(
  endpoints: string[],
  replicas: ReplicaDescriptor[],
  { width = 1, checksum = null }: { width?: SizeWidth; checksum?: bigint | null } = {},
): ReplicaList | null {
  const segments = views(endpoints);
  const writer = new Writer();
  beginBody(writer, m.GetReplicaList.response, width, false);
  const sink = new ReplicaEncoder(segments, writer);
  sink.begin(replicas.length, 12_345);
  if (checksum !== null) {
    const { low, high } = halves(checksum);
    sink.checksum(low, high);
  }
  for (const { id, status, location } of replicas) {
    if (location.kind === "memory") {
      const { bufferAddress, transportEndpoint, size } = location.buffer;
      const { index, segment } = segments.all.find(({ segment }) =>
        segment.teEndpoint === transportEndpoint
      )!;
      sink.memory(id, status, size, index, Number(bufferAddress - segment.base));
    } else if (location.kind === "disk") {
      sink.disk(id, status, location.objectSize, location.filePath);
    } else if (location.kind === "local_disk") {
      const { objectSize, clientId, transportEndpoint } = location;
      sink.localDisk(id, status, objectSize, clientId, transportEndpoint);
    }
  }
  sink.endList();
  if (writer.neededWidth > width) return null;
  const { code, value } = m.GetReplicaList.response.decode(new Reader(writer.bytes));
  assert.equal(code, ErrorCode.OK);
  return value;
}

function memory(id: number, endpoint: string, base: bigint, offset: number): ReplicaDescriptor {
  const bufferAddress = base + BigInt(offset);
  const buffer = { size: 1000, bufferAddress, protocol: "tcp", transportEndpoint: endpoint };
  return { id, status: 3, location: { kind: "memory", buffer } };
}

Deno.test("replicas of every kind are read back as they were described", () => {
  const endpoints = ["10.0.0.1:1234", "[::1]:5"];
  const [first, second] = views(endpoints).all;
  const replicas: ReplicaDescriptor[] = [
    memory(1, endpoints[0], first.segment.base, 0),
    memory(2 ** 40, endpoints[1], second.segment.base, 2 ** 38),
    { id: 3, status: 2, location: { kind: "disk", filePath: "/a/ü", objectSize: 2 ** 35 } },
    {
      id: 4,
      status: 3,
      location: {
        kind: "local_disk",
        clientId: "18446744073709551615-1",
        objectSize: 7,
        transportEndpoint: "h:1",
      },
    },
  ];
  for (const width of [1, 2, 4, 8] as const) {
    for (const checksum of [null, 2n ** 64n - 1n]) {
      assert.deepEqual(
        written(endpoints, replicas, { width, checksum }),
        { replicas, leaseTtlMs: 12_345, objectChecksum: checksum },
      );
    }
  }
});

Deno.test("a text or a list that is too long for the width is noticed by the writer", () => {
  const long = "e".repeat(256);
  const base = views([long]).all[0].segment.base;
  assert.equal(written([long], [memory(1, long, base, 0)]), null);
  assert.notEqual(written([long], [memory(1, long, base, 0)], { width: 2 }), null);
  const many = Array.from(
    { length: 256 },
    (_, i) => memory(i, "h", views(["h"]).all[0].segment.base, i),
  );
  assert.equal(written(["h"], many), null);
  assert.equal(written(["h"], many, { width: 2 })?.replicas.length, 256);
});

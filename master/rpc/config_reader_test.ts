import assert from "node:assert/strict";
import { ProtocolError } from "../../proto/error.ts";
import { replicateConfig as schema } from "../../proto/messages/values.ts";
import { Reader } from "../../proto/struct_pack/reader.ts";
import { type SizeWidth, Writer } from "../../proto/struct_pack/writer.ts";
import type { ReplicateConfig } from "../../proto/types.ts";
import { bytesOf, replicateConfig } from "../../tests/support/core_driver.ts";
import { ConfigReader } from "./config_reader.ts";

const TRAILER = 3;

function encoded(config: ReplicateConfig, width: SizeWidth): Reader {
  const writer = new Writer();
  writer.startSizes(width);
  schema.write(writer, config);
  writer.raw(new Uint8Array(TRAILER));
  const reader = new Reader(writer.bytes.slice());
  reader.width = width;
  return reader;
}

const samples: ReplicateConfig[] = [
  replicateConfig(),
  replicateConfig({ replicaNum: 2 }),
  replicateConfig({ preferredSegments: ["a"] }),
  replicateConfig({ preferredSegments: ["a", "b"], preferredSegment: "a" }),
  replicateConfig({ softPinAction: 1, softPinTtlMs: 5 }),
  replicateConfig({ groupIds: [] }),
  replicateConfig({ groupIds: [bytesOf("g"), bytesOf("h")], hostId: "host" }),
];

Deno.test("whatever came before, a configuration is read as its bytes say", () => {
  const reader = new ConfigReader();
  for (const first of samples) {
    for (const second of samples) {
      for (const width of [1, 2, 4, 8] as const) {
        for (const sample of [first, second, second]) {
          const input = encoded(sample, width);
          assert.deepEqual(reader.read(input), sample);
          assert.equal(input.remaining, TRAILER);
        }
      }
    }
  }
});

Deno.test("equal bytes give the same object, so that reading them creates nothing", () => {
  const reader = new ConfigReader();
  const config = reader.read(encoded(samples[3], 1));
  assert.equal(reader.read(encoded(samples[3], 1)), config);
  assert.notEqual(reader.read(encoded(samples[3], 2)), config);
});

Deno.test("a configuration that is cut is refused, also when the one before was whole", () => {
  const reader = new ConfigReader();
  const whole = encoded(samples[6], 1);
  reader.read(encoded(samples[6], 1));
  for (let length = 0; length < whole.bytes.length - TRAILER; length++) {
    const cut = new Reader(whole.bytes, 0, length);
    assert.throws(() => reader.read(cut), ProtocolError, `${length} bytes`);
  }
  assert.deepEqual(reader.read(encoded(samples[6], 1)), samples[6]);
});

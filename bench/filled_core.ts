/** A core with many keys of one size, and what benches of it share. */
import { HugePages } from "../ffi/huge_pages.ts";
import { openLibrary } from "../ffi/library.ts";
import type { CoreConfig, ReplicaSink, Writer } from "../master/core/api.ts";
import { defaultCoreConfig } from "../master/core/config.ts";
import { MasterCore } from "../master/core/core.ts";
import { ordinaryPages } from "../master/core/pages.ts";
import { SeededRng } from "../master/core/rng.ts";
import { clientId, replicateConfig, segmentOf } from "../tests/support/core_driver.ts";

export const KEY_BYTES = 62;
export const OBJECT_BYTES = 64 * 1024;
const SEGMENTS = 8;

/** Takes descriptions and drops them. */
class NullSink implements ReplicaSink {
  begin(): void {}
  checksum(): void {}
  memory(): void {}
  disk(): void {}
  localDisk(): void {}
}

export const sink: ReplicaSink = new NullSink();
const config = replicateConfig();

/** A core whose memory holds `keys` objects, none of them there yet, and who writes them. */
export function emptyCore(
  keys: number,
  settings: Partial<CoreConfig> = {},
): { core: MasterCore; writer: Writer } {
  const library = openLibrary();
  const core = new MasterCore(
    defaultCoreConfig({ evictionHighWatermarkRatio: 1, defaultKvLeaseTtlMs: 1, ...settings }),
    new SeededRng(1),
    "unavailable" in library ? ordinaryPages : new HugePages(library),
  );
  core.tick(1);
  const capacity = Math.ceil(keys / SEGMENTS) * OBJECT_BYTES;
  for (let i = 1; i <= SEGMENTS; i++) {
    core.cluster.mountSegment(segmentOf(i, `segment-${i}`, capacity), clientId(1));
  }
  return { core, writer: { client: core.internClientUuid(clientId(1)), writeId: 0 } };
}

/** The starts of the writes of keys that lie one after the other in `[from, to)`, then their ends. */
export function putKeys(
  { core, writer }: { core: MasterCore; writer: Writer },
  bytes: Uint8Array,
  [from, to]: readonly [number, number],
  nowMs: number,
): void {
  for (let at = from; at < to; at += KEY_BYTES) {
    const end = at + KEY_BYTES;
    core.putStart(writer, 0, bytes, at, end, OBJECT_BYTES, config, null, nowMs, sink);
  }
  for (let at = from; at < to; at += KEY_BYTES) {
    core.putEnd(writer, 0, bytes, at, at + KEY_BYTES, null, 4, nowMs);
  }
}

/** A different key for each number, spread over all of the key's bytes; the middle is left alone. */
export function nameKey(key: Uint8Array, at: number, n: number): void {
  let mixed = Math.imul(n + 1, 0x9e3779b1);
  for (let i = 0; i < 16; i++) {
    key[at + i] = 0x61 + (mixed >>> 28);
    mixed = Math.imul(mixed, 0x85ebca6b) + n | 0;
  }
  for (let i = KEY_BYTES - 1; i >= KEY_BYTES - 8; i--) {
    key[at + i] = 0x30 + n % 10;
    n = Math.floor(n / 10);
  }
}

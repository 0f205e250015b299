/** Gets and reads from memory of another process on this host, beside a plain memcpy of as many bytes. */
import { LocalCluster } from "../../examples/local_cluster.ts";
import { startOurs } from "./engine_pair.ts";
import { type Asked, type Figure, figure, type Scale, sizeLabel } from "./figure.ts";
import type { Section } from "./section.ts";
import { interleave } from "./rounds.ts";
import { FIRST_READS, StoreContestant } from "./store_contestant.ts";

const MIB = 1 << 20;
const SIZES = [MIB, 4 * MIB, 16 * MIB];
const ASKED: Asked = { compare: ">=", limit: 0.7 };
const ASSUMED_CACHE = 32 * MIB;

/** Bytes of the last-level cache of the first processor. */
function cacheBytes(): number {
  let largest = 0;
  for (let index = 0; index < 8; index++) {
    try {
      const path = `/sys/devices/system/cpu/cpu0/cache/index${index}/size`;
      const [, count, unit] = /^(\d+)([KMG])/.exec(Deno.readTextFileSync(path)) ?? [];
      const scale = { K: 1 << 10, M: 1 << 20, G: 1 << 30 }[unit ?? "K"] ?? 1;
      largest = Math.max(largest, Number(count ?? 0) * scale);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return largest || ASSUMED_CACHE;
}

/** The figures of one host. Rejects with one line when something fails. */
export async function measureHost(scale: Scale): Promise<Section> {
  const cache = cacheBytes();
  const rotation = Math.min(1024 * MIB, Math.max(128 * MIB, 4 * cache));
  const nodeBytes = SIZES.length * rotation + 128 * MIB;
  await using cluster = await LocalCluster.start({ nodes: 1, nodeBytes });
  const { masterAddress } = cluster;
  await using client = await StoreContestant.ours("our client", masterAddress);
  await using first = await StoreContestant.ours("our client, first", masterAddress, FIRST_READS);
  await using lender = await startOurs("host", rotation + SIZES[SIZES.length - 1]);
  const figures: Figure[] = [];
  for (const length of SIZES) {
    const cold = Math.ceil(rotation / length);
    await client.fill(length, cold);
    for (const [label, values] of [["rotating", cold], ["hot", 1]] as const) {
      const rate = (op: "memcpy" | "get" | "read", by = client) => async () => {
        const shared = { length, values, seconds: scale.seconds };
        const order = { op, memory: "buffer", source: lender.target, ...shared } as const;
        const { p50_us } = await by.turn(order);
        return length / p50_us / 1000;
      };
      const rates = await interleave({
        ...{ memcpy: rate("memcpy"), get: rate("get"), first: rate("get", first) },
        read: rate("read"),
      }, scale.rounds);
      const beside = { against: "memcpy", base: rates.memcpy, asked: ASKED };
      const size = `${sizeLabel(length)}, ${label}`;
      figures.push(
        figure(`store get into a buffer, known key, held, ${size}`, "GB/s", rates.get, beside),
        figure(`store get into a buffer, first, ${size}`, "GB/s", rates.first, beside),
        figure(`engine READ, ${size}`, "GB/s", rates.read, beside),
      );
    }
  }
  const notes = [
    "The lender is another process, a store's node or an engine; memcpy is that of libc in the client,",
    "from memory such as engines lend; medians of single operations. A get checks the value. Of a known",
    "key, which the client has looked up within the last 250 ms, it does not ask the master, which",
    'has promised that the value stays (SNOWSKIN_HELD_READS=on); "first": it asks, as of a key of',
    'which it knows nothing (SNOWSKIN_HELD_READS=off, SNOWSKIN_EARLY_READS=off). "rotating": values of',
    `${rotation / MIB} MiB together, where the last-level cache has ${cache / MIB} MiB; "hot": one`,
    "value. The target is one buffer.",
  ];
  return { notes, figures };
}

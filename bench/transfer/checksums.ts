/** What checksums of values cost: the same gets and puts with and without them, in turns. */
import { LocalCluster } from "../../examples/local_cluster.ts";
import { type Figure, figure, type Scale, sizeLabel } from "./figure.ts";
import type { Section } from "./section.ts";
import { interleave } from "./rounds.ts";
import { FIRST_READS, StoreContestant } from "./store_contestant.ts";
import type { StoreTurn } from "./store_peer.ts";

const MIB = 1 << 20;
const ROTATION_BYTES = 64 * MIB;
/** What is asked of the ratio of the latency of a get of 1 MiB over TCP. */
const ASKED = { compare: "<=", limit: 1.03 } as const;
/** Share of the rounds that cases without a limit get. */
const INFORMATION = 1 / 4;

interface Case {
  way: "TCP" | "one host";
  op: "get" | "put";
  length: number;
  asked: boolean;
}

const CASES: readonly Case[] = [
  { way: "TCP", op: "get", length: MIB, asked: true },
  { way: "TCP", op: "put", length: MIB, asked: false },
  { way: "TCP", op: "get", length: 16 * MIB, asked: false },
  { way: "TCP", op: "put", length: 16 * MIB, asked: false },
  { way: "one host", op: "get", length: MIB, asked: false },
];

/** The figures of checksums. Rejects with one line when something fails. */
export async function measureChecksums(scale: Scale): Promise<Section> {
  await using cluster = await LocalCluster.start({ nodes: 1, nodeBytes: 512 * MIB });
  const open = (name: string, env: Record<string, string>) =>
    StoreContestant.ours(name, cluster.masterAddress, { ...FIRST_READS, ...env });
  const [tcp, off] = [{ MC_FORCE_TCP: "1" }, { MOONCAKE_STORE_CHECKSUM: "0" }];
  const on = { MOONCAKE_STORE_CHECKSUM: "1" };
  await using tcpOff = await open("TCP without checksums", { ...tcp, ...off });
  await using tcpOn = await open("TCP with checksums", { ...tcp, ...on });
  await using hostOff = await open("one host without checksums", off);
  await using hostOn = await open("one host with checksums", on);
  const clients = { "TCP": [tcpOff, tcpOn], "one host": [hostOff, hostOn] } as const;
  for (const length of [MIB, 16 * MIB]) await tcpOn.fill(length, ROTATION_BYTES / length);

  const figures: Figure[] = [];
  for (const { way, op, length, asked } of CASES) {
    const rounds = asked ? scale.rounds : Math.max(3, Math.round(scale.rounds * INFORMATION));
    const { seconds } = scale;
    const turn = (client: StoreContestant) => () => {
      const values = ROTATION_BYTES / length;
      return client.turn({ op, memory: "buffer", length, values, seconds });
    };
    const [without, checking] = clients[way];
    const found = await interleave({ off: turn(without), on: turn(checking) }, rounds);
    const name = `${op} ${sizeLabel(length)}, ${way}, with checksums`;
    const add = (what: string, of: (turn: StoreTurn) => number, limit: object) => {
      const beside = { against: "without", base: found.off.map(of) };
      figures.push(figure(`${name}, ${what}`, "us", found.on.map(of), { ...beside, ...limit }));
    };
    add("latency", (turn) => turn.p50_us, asked ? { asked: ASKED } : {});
    if (op === "get") add("client CPU", (turn) => turn.cpu_us, {});
  }
  const notes = [
    "Store clients with MOONCAKE_STORE_CHECKSUM=1 and 0, from and into a registered buffer, one call",
    `at a time, over ${
      ROTATION_BYTES / MIB
    } MiB of values that were written with checksums; a node`,
    "in another process.",
  ];
  return { notes, figures };
}

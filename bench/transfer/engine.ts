/**
 * Transfers between two processes: the wheel's engine to its own, ours to ours over TCP, ours to the
 * wheel's, and ours through the memory of one host. Ours through the public asynchronous API, the
 * wheel through its synchronous Python calls.
 */
import { EnginePair, type PairTurn, startOurs, startWheel } from "./engine_pair.ts";
import { type Asked, type Figure, figure, type Scale, sizeLabel } from "./figure.ts";
import type { InstalledWheel, Section } from "./section.ts";
import { interleave } from "./rounds.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;
/** Sizes of single transfers, with the share of the wheel's latency that is asked for. */
const SINGLES = [
  { length: 4 * KIB, latency: 0.4 },
  { length: 64 * KIB, latency: 0.5 },
  { length: MIB, latency: 0.5 },
  { length: 16 * MIB, latency: 0.6 },
];
const BATCH = 128;
const CALLERS = 4;
const CPU: Asked = { compare: "<=", limit: 0.25 };

const names = ["wheel", "TCP", "to the wheel", "one host"] as const;
type PairName = (typeof names)[number];
type Pairs = Record<PairName, EnginePair>;
type Kind = { op: "read" | "write"; length: number; batch: number; callers: number };

const rate = ({ operations, seconds }: PairTurn) => operations / seconds;

async function singles(pairs: Pairs, scale: Scale): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const op of ["read", "write"] as const) {
    for (const { length, latency } of SINGLES) {
      const kind: Kind = { op, length, batch: 1, callers: 1 };
      const turn = (name: PairName) => () => pairs[name].turn({ ...kind, seconds: scale.seconds });
      const found = await interleave({
        ...{ "wheel": turn("wheel"), "TCP": turn("TCP") },
        ...{ "to the wheel": turn("to the wheel"), "one host": turn("one host") },
      }, scale.rounds);
      const label = `${op.toUpperCase()} ${sizeLabel(length)}`;
      const add = (what: string, unit: string, of: (one: PairTurn) => number, asked?: Asked) => {
        const beside = { against: "wheel", base: found.wheel.map(of) };
        for (const name of names.slice(1)) {
          const limit = asked !== undefined && name === "TCP" ? { asked } : {};
          const options = { ...beside, ...limit };
          figures.push(figure(`${label}, ${name}, ${what}`, unit, found[name].map(of), options));
        }
      };
      add("latency", "us", (one) => one.p50_us, { compare: "<=", limit: latency });
      add("client CPU", "us", (one) => one.cpu_us, CPU);
      add("server CPU", "us", (one) => one.serverCpuUs);
    }
  }
  return figures;
}

/** Batches, and several callers beside one. */
async function many(pairs: Pairs, scale: Scale): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const op of ["read", "write"] as const) {
    for (const batch of [BATCH, 1]) {
      const turn = (name: PairName, callers: number) => () =>
        pairs[name].turn({ op, length: 4 * KIB, batch, callers, seconds: scale.seconds });
      const found = await interleave({
        ...{ theirs: turn("wheel", 1), ours: turn("TCP", 1) },
        ...{ theirs4: turn("wheel", CALLERS), ours4: turn("TCP", CALLERS) },
      }, scale.rounds);
      const label = `${op.toUpperCase()} 4 KiB${batch > 1 ? ` x ${batch}` : ""}, TCP`;
      if (batch > 1) {
        const cpu = (turns: PairTurn[]) => turns.map((one) => one.cpu_us);
        figures.push(
          figure(`${label}, rate`, "op/s", found.ours.map(rate), {
            ...{ against: "wheel", base: found.theirs.map(rate) },
            asked: { compare: ">=", limit: 6 },
          }),
          figure(`${label}, client CPU`, "us", cpu(found.ours), {
            ...{ against: "wheel", base: cpu(found.theirs), asked: CPU },
          }),
        );
      }
      figures.push(
        figure(`${label}, ${CALLERS} callers`, "op/s", found.ours4.map(rate), {
          ...{ against: "1 caller", base: found.ours.map(rate) },
          asked: { compare: ">=", limit: 1 },
        }),
        figure(`${label}, ${CALLERS} callers`, "op/s", found.ours4.map(rate), {
          ...{ against: `wheel, ${CALLERS} threads`, base: found.theirs4.map(rate) },
        }),
        figure(`(wheel) ${label}, ${CALLERS} threads`, "op/s", found.theirs4.map(rate), {
          ...{ against: "1 thread", base: found.theirs.map(rate) },
        }),
      );
    }
  }
  return figures;
}

/** The figures of the engines. Rejects with one line when a contestant fails. */
export async function measureEngines(wheel: InstalledWheel, scale: Scale): Promise<Section> {
  await using theirServer = await startWheel(wheel);
  await using theirClient = await startWheel(wheel);
  await using ourServer = await startOurs("host");
  await using tcpClient = await startOurs("tcp");
  await using hostClient = await startOurs("host");
  const pairs: Pairs = {
    "wheel": new EnginePair("wheel to wheel", theirClient, theirServer),
    "TCP": new EnginePair("ours to ours over TCP", tcpClient, ourServer),
    "to the wheel": new EnginePair("ours to the wheel", tcpClient, theirServer),
    "one host": new EnginePair("ours to ours on one host", hostClient, ourServer),
  };
  const notes = [
    "Two processes on loopback. Ours: TransferEngine.transferSync of te.ts, awaited; the wheel: its",
    "synchronous Python calls. Latencies are medians of single transfers by one caller. Several",
    "callers: ours are loops of one event loop that share an engine, those of the wheel are threads.",
    '"to the wheel": our client, the wheel\'s server. "one host": the default on one host.',
  ];
  return { notes, figures: [...await singles(pairs, scale), ...await many(pairs, scale)] };
}

/**
 * Put and get of a store whose memory another process lends: the wheel's client, master and node,
 * and ours as they are (memory of one host) and over TCP.
 */
import { freePort, LocalCluster } from "../../examples/local_cluster.ts";
import { startReferenceMaster } from "../json_peer.ts";
import { type Asked, type Figure, figure, type Scale, sizeLabel } from "./figure.ts";
import type { InstalledWheel, Section } from "./section.ts";
import { interleave } from "./rounds.ts";
import { FIRST_READS, StoreContestant } from "./store_contestant.ts";
import type { StoreTurn } from "./store_peer.ts";

const MIB = 1 << 20;
const SEGMENT_BYTES = 512 * MIB;
/** Bytes that the values of one size take together. */
const ROTATION_BYTES = 64 * MIB;
const SIZES = [4096, 64 << 10, MIB, 16 * MIB];
/** So few that a client holds all of them while it reads them in turn. */
const MAX_VALUES = 64;
const ASKED: Asked = { compare: ">=", limit: 2 };

const CALLS = {
  put: { buffer: "put from a buffer", bytes: "put" },
  get: { buffer: "get into a buffer", bytes: "get" },
} as const;

const rate = ({ operations, seconds }: StoreTurn) => operations / seconds;

async function compare(
  wheel: StoreContestant,
  ours: { put: readonly StoreContestant[]; get: readonly StoreContestant[] },
  length: number,
  scale: Scale,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  const values = Math.min(MAX_VALUES, ROTATION_BYTES / length);
  for (const one of [wheel, ours.put[0]]) await one.fill(length, values);
  for (const op of ["put", "get"] as const) {
    for (const memory of ["buffer", "bytes"] as const) {
      const turn = (one: StoreContestant) => async () =>
        rate(await one.turn({ op, memory, length, values, seconds: scale.seconds }));
      const found = await interleave(
        Object.fromEntries([wheel, ...ours[op]].map((one) => [one.name, turn(one)])),
        scale.rounds,
      );
      for (const one of ours[op]) {
        const known = op === "get" && !one.name.endsWith("first") ? ", known key, held" : "";
        const name = `${CALLS[op][memory]}, ${sizeLabel(length)}, ${one.name}${known}`;
        figures.push(figure(name, "op/s", found[one.name], {
          ...{ against: "wheel", base: found[wheel.name], asked: ASKED },
        }));
      }
    }
  }
  return figures;
}

/** The figures of the stores. Rejects with one line when a contestant fails. */
export async function measureStores(wheel: InstalledWheel, scale: Scale): Promise<Section> {
  const port = await freePort();
  await using _master = await startReferenceMaster(wheel.master, port, await freePort());
  const address = `127.0.0.1:${port}`;
  await using _node = await StoreContestant.wheel("wheel's node", wheel, address, SEGMENT_BYTES);
  await using theirs = await StoreContestant.wheel("wheel", wheel, address, 0);
  await using cluster = await LocalCluster.start({ nodes: 1, nodeBytes: SEGMENT_BYTES });
  const overTcp = { MC_FORCE_TCP: "1" };
  const ours = (name: string, env = {}) => StoreContestant.ours(name, cluster.masterAddress, env);
  await using host = await ours("one host");
  await using tcp = await ours("TCP", overTcp);
  await using firstOnHost = await ours("one host, first", FIRST_READS);
  await using firstOverTcp = await ours("TCP, first", { ...overTcp, ...FIRST_READS });
  const contestants = { put: [host, tcp], get: [host, tcp, firstOnHost, firstOverTcp] };
  const figures: Figure[] = [];
  for (const length of SIZES) figures.push(...await compare(theirs, contestants, length, scale));
  const notes = [
    "One client, one call at a time, memory lent by another process; put_from, get_into and put, get",
    'of the wheel. "one host": ours as it is; "TCP": ours with MC_FORCE_TCP=1. Puts are of new keys',
    `(removed outside of the time), gets rotate over ${ROTATION_BYTES / MIB} MiB of values, over ` +
    `${MAX_VALUES} values at most. "held": of keys that the client looked up within the last 250 ms, so`,
    'that it does not ask the master (SNOWSKIN_HELD_READS=on). "first": as it reads a key of which',
    "it knows nothing, waiting for the answer (SNOWSKIN_HELD_READS=off, SNOWSKIN_EARLY_READS=off).",
  ];
  return { notes, figures };
}

/** Which stores are in doubt, and why: silence towards the master, and what their users say. */
import { ErrorCode } from "../../proto/error_code.ts";
import type { PeerReport } from "../../proto/messages.ts";
import type { Uuid } from "./api.ts";
import { Counter } from "./counters.ts";
import type { PeerOpinion } from "./peer_reports.ts";
import type { SegmentEntry } from "./segments.ts";
import type { CoreState } from "./state.ts";

/** Stores that one report may name. */
export const MAX_REPORTED_PEERS = 1024;
/** Of so many stores that are gone something may be remembered. */
const MAX_GONE = 256;

/** A store, all segments that are reached at one endpoint, and what is known of it. */
export interface StoreHealth extends PeerOpinion {
  endpoint: string;
  host: string;
  segments: string[];
  owner: Uuid;
  /** Its owner has not been heard of for longer than pings are apart. */
  silent: boolean;
}

/** Whether new data goes elsewhere while there is room: the owner is silent, or its users suspect it. */
export function isSuspect({ clients, peerReports }: CoreState, entry: SegmentEntry): boolean {
  return clients.isSuspect(entry.owner) ||
    peerReports.isAvoided(entry.view.segment.teEndpoint, clients.awakeMs);
}

/** Takes what a client has seen of stores; those that are not mounted, and its own, are passed over. */
export function takePeerReports(
  state: CoreState,
  client: Uuid,
  reports: readonly PeerReport[],
): ErrorCode {
  const { clients, counters, peerReports } = state;
  if (reports.length > MAX_REPORTED_PEERS) return ErrorCode.INVALID_PARAMS;
  const index = clients.find(client);
  if (index === 0) return ErrorCode.OK;
  const stores = mountedStores(state);
  if (peerReports.size > stores.size + MAX_GONE) peerReports.keepOnly((name) => stores.has(name));
  counters.add(Counter.STORE_REPORTS, 1);
  for (const { endpoint, suspected } of reports) {
    const [first] = stores.get(endpoint) ?? [];
    if (first === undefined || first.owner === index) continue;
    if (suspected) counters.add(Counter.STORE_SUSPICIONS, 1);
    const isNew = peerReports.take(client, endpoint, suspected, clients.awakeMs);
    if (isNew) counters.add(Counter.STORES_AVOIDED, 1);
  }
  return ErrorCode.OK;
}

/** Every store, in the order of its first mount. */
export function describeStores(state: CoreState): StoreHealth[] {
  const { clients, peerReports } = state;
  return Array.from(mountedStores(state), ([endpoint, entries]) => ({
    endpoint,
    host: entries[0].view.segment.hostId,
    segments: Array.from(new Set(entries.map(({ name }) => name.name))),
    owner: clients.get(entries[0].owner).uuid,
    silent: clients.isSuspect(entries[0].owner),
    ...peerReports.opinion(endpoint, clients.awakeMs),
  }));
}

function mountedStores({ segments }: CoreState): Map<string, SegmentEntry[]> {
  const stores = new Map<string, SegmentEntry[]>();
  for (let i = 0; i < segments.limit; i++) {
    const entry = segments.find(i);
    if (entry === null || !segments.isAlive(i)) continue;
    const { teEndpoint } = entry.view.segment;
    const known = stores.get(teEndpoint);
    if (known === undefined) stores.set(teEndpoint, [entry]);
    else known.push(entry);
  }
  return stores;
}

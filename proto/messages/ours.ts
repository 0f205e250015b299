/**
 * Calls that the reference does not have. Their function ids are of names of our own, so a master that
 * does not know one answers that the function is not registered.
 */
import {
  bool,
  type Expected,
  expected,
  nothing,
  struct,
  text,
  uuid,
  vector,
} from "../struct_pack/schema.ts";
import type { Uuid } from "../types.ts";
import { ourRpc, type Rpc } from "./rpc.ts";

/** What a client has seen of a store lately. */
export interface PeerReport {
  /** As descriptors name it. */
  endpoint: string;
  /** It did not answer, or was slower than another one three times; `false` = it worked. */
  suspected: boolean;
}

export interface PeerReportsRequest {
  clientId: Uuid;
  peers: PeerReport[];
}

/** Tells the master which stores work for a client and which do not. INVALID_PARAMS. */
export const ReportPeers: Rpc<PeerReportsRequest, Expected<null>> = ourRpc(
  "ReportPeers",
  {
    clientId: uuid,
    peers: vector(struct<PeerReport>({ endpoint: text, suspected: bool })),
  },
  expected(nothing),
);

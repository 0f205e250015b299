import type { RpcCaller } from "../master_client.ts";
import type { Connect } from "../connection/connection.ts";
import { RpcClient, type RpcClientOptions } from "../rpc_client.ts";

/** Calls to the master at one address; they fail as those of `RpcClient`. */
export interface MasterLine extends RpcCaller {
  /** Fails what is in flight and gives the connection up. */
  close(): Promise<void>;
}

/** Makes a line to a master; nothing is sent before its first call. */
export type Dial = (options: RpcClientOptions) => MasterLine;

/** Dials over TCP. */
export const dialTcp: Dial = (options) => new RpcClient(options);

/** Dials through connections that `connect` makes. */
export function dialThrough(connect: Connect): Dial {
  return (options) => new RpcClient({ ...options, connect });
}

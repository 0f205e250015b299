/** One line, with the flag in it, about a port that cannot be opened. */
import type { ListenError } from "./http/listen.ts";

/** Why the RPC port cannot be opened. */
export function rpcLine(
  at: { host: string; port: number },
  inUse: boolean,
  message: string,
): string {
  return inUse ? takenLine("rpc_port", at) : `--rpc_address=${at.host}: cannot listen: ${message}`;
}

/** Why a port of the HTTP side cannot be opened. */
export function listenLine({ failure }: ListenError): string {
  const flag = failure.server === "admin" ? "metrics" : "http_metadata_server";
  return failure.inUse
    ? takenLine(`${flag}_port`, failure)
    : `--${flag}_host=${failure.host}: cannot listen on port ${failure.port}: ${failure.message}`;
}

function takenLine(flag: string, { host, port }: { host: string; port: number }): string {
  return `--${flag}=${port}: already in use on ${host}; ` +
    "choose another port or stop the process that has it";
}

import { isLoopback } from "./address.ts";
import { isPortTaken, listenInRange } from "./port_range.ts";

/** Which port a node takes, and at which of its addresses. */
export interface PortChoice {
  /** The port; 0 = a free one from `minPort` to `maxPort`. */
  dataPort: number;
  minPort: number;
  maxPort: number;
  /** Address to bind; empty = that of a loopback host, else all of both families. */
  bindAddress: string;
  /** Uniform number in [0, 1). */
  random: () => number;
}

/** The port that a node was told to take belongs to somebody else. */
export class PortTakenError extends Error {
  override readonly name = "PortTakenError";

  constructor(readonly port: number, readonly host: string) {
    super(`port ${port} of ${host} is in use; choose another, or 0 for any that is free`);
  }
}

/**
 * Listens as chosen and resolves with the port. `host` is where the node is reached. Rejects with
 * {@linkcode PortTakenError}, and with `Error` when no port of the range is free.
 */
export async function listenAtChoice(
  choice: PortChoice,
  host: string,
  listen: (at: { host: string; port: number }) => Promise<{ port: number }>,
): Promise<number> {
  const { dataPort, minPort, maxPort, random, bindAddress } = choice;
  const addresses = addressesToBind(bindAddress, host);
  for (const [i, address] of addresses.entries()) {
    try {
      if (dataPort === 0) {
        const range = { low: minPort, high: maxPort, random };
        return await listenInRange(
          range,
          async (port) => (await listen({ host: address, port })).port,
        );
      }
      return (await listen({ host: address, port: dataPort })).port;
    } catch (error) {
      if (dataPort !== 0 && isPortTaken(error)) throw new PortTakenError(dataPort, address);
      if (i + 1 === addresses.length || !lacksFamily(error)) throw error;
    }
  }
  throw new Error("There is no address to bind");
}

/**
 * Where to listen, in the order of trying: as told, else at a loopback host itself, which needs no
 * other interface, else everywhere.
 */
export function addressesToBind(bindAddress: string, host: string): string[] {
  if (bindAddress !== "") return [bindAddress];
  return isLoopback(host) ? [host] : ["::", "0.0.0.0"];
}

/** Whether the system has no IPv6: EAFNOSUPPORT, EADDRNOTAVAIL. */
export function lacksFamily(error: unknown): boolean {
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  return code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL" ||
    [97, 99].includes(Math.abs(Number(errno)));
}

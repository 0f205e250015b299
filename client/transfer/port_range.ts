/** Ports from which a listener takes a free one. */
export interface PortRange {
  /** First port. */
  low: number;
  /** Last port. */
  high: number;
  /** Uniform number in [0, 1). */
  random: () => number;
}

/**
 * Calls `listen` with ports of the range in random order until one is free. Rejects with the error
 * of `listen` when that is another than a port in use, and with `Error` when all are in use.
 */
export async function listenInRange<T>(
  range: PortRange,
  listen: (port: number) => Promise<T>,
): Promise<T> {
  const count = range.high - range.low + 1;
  const start = Math.floor(range.random() * count);
  const stride = strideFor(count, range.random());
  for (let i = 0; i < count; i++) {
    try {
      return await listen(range.low + (start + i * stride) % count);
    } catch (error) {
      if (!isPortTaken(error)) throw error;
    }
  }
  throw new Error(`No port from ${range.low} to ${range.high} is free`);
}

/** A step that visits every one of `count` places before it comes back to the first. */
function strideFor(count: number, random: number): number {
  for (let stride = 1 + Math.floor(random * count); stride < count; stride++) {
    if (gcd(stride, count) === 1) return stride;
  }
  return 1;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Whether an engine or a server could not listen since somebody else has the port. */
export function isPortTaken(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  return error.name === "AddrInUse" || code === "EADDRINUSE" || errno === "EADDRINUSE" ||
    Math.abs(Number(errno)) === 98;
}

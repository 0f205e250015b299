import { parseSize } from "./size.ts";
import { PRIORITIES, type TransferLimits } from "./transfer/door.ts";

/**
 * Limits of classes of transfers in bytes a second, from text such as `low=200mb,normal=2gb`; empty =
 * none. `RangeError` naming `name` for anything else.
 */
export function parseBandwidth(name: string, value: unknown): TransferLimits {
  const limits: TransferLimits = {};
  if (value === "") return limits;
  for (const part of String(value).split(",")) {
    const [, found, size] = /^\s*(\w+)\s*=\s*(.+)$/.exec(part) ?? [];
    const priority = PRIORITIES.find((known) => known === found);
    const bytes = priority === undefined ? 0 : parseSize(`${name}: ${found}`, size.trim());
    if (priority === undefined || bytes === 0 || limits[priority] !== undefined) {
      throw new RangeError(
        `${name}=${JSON.stringify(value)} is refused; allowed: CLASS=BYTES joined by commas, ` +
          `each class of ${PRIORITIES.join(", ")} once, such as low=200mb (a second)`,
      );
    }
    limits[priority] = bytes;
  }
  return limits;
}

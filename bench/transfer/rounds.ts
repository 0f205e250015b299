/** Turns of several contestants in interleaved rounds. */

/**
 * What each turn gave in `count` rounds, every other one in reverse order, after one round that does
 * not count: in it code is compiled and memory touched for the first time.
 */
export async function interleave<T extends string, R>(
  turns: Record<T, () => Promise<R>>,
  count: number,
): Promise<Record<T, R[]>> {
  const order = Object.keys(turns) as T[];
  const found = Object.fromEntries(order.map((name) => [name, []])) as unknown as Record<T, R[]>;
  for (const name of order) await turns[name]();
  for (let round = 0; round < count; round++) {
    for (const name of round % 2 === 0 ? order : order.toReversed()) {
      found[name].push(await turns[name]());
    }
  }
  return found;
}

import type { Uuid } from "../proto/types.ts";

/** A fresh id; `random` fills an array with random bits. */
export function randomUuid(random: (values: BigUint64Array<ArrayBuffer>) => void): Uuid {
  const halves = new BigUint64Array(2);
  random(halves);
  return `${halves[0]}-${halves[1]}`;
}

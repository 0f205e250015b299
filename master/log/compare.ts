/** Copies of one log against each other, and against the log itself. */
import { Replayed, sumOf } from "./audit.ts";
import { LogReadError, type NamedDirectory, type SharedLogReader } from "./sources.ts";

/**
 * Compares the states of two copies as of the last group that both have. Faults are noted with the
 * second one.
 */
export function compareCopies(
  first: Replayed,
  second: Replayed,
  directories: readonly [NamedDirectory, NamedDirectory],
): void {
  if (first.logId !== null && second.logId !== null && first.logId !== second.logId) {
    second.fault(`it is of another log (${second.logId}) than ${first.name} (${first.logId})`);
    return;
  }
  for (const [group, sum] of second.sums) {
    const other = first.sums.get(group);
    if (other === undefined || other === sum) continue;
    second.fault(`group ${group} is another one than in ${first.name}`);
    return;
  }
  const common = Math.min(first.position, second.position);
  const behind = [first, second].find(({ checkpoint }) => checkpoint > common);
  if (behind !== undefined) {
    second.notes.push(
      `not compared with ${first.name}: the checkpoint of ${behind.name} is of group ` +
        `${behind.checkpoint}, and the other copy ends with group ${common}`,
    );
    return;
  }
  const digests = [first, second].map((copy, i) =>
    (copy.position === common ? copy : Replayed.ofDirectory(directories[i], common)).core.digest()
  );
  if (digests[0] !== digests[1]) {
    second.fault(`as of group ${common} its state is not that of ${first.name}`);
  } else {
    second.notes.push(`as of group ${common} its state is that of ${first.name}`);
  }
}

/**
 * Reads the shared log once, beside copies of it: groups that both have must be the same, and what a
 * copy does not have yet is replayed on it. A log that still has everything is replayed alone, too.
 * Returns what is to be said of the log itself.
 */
export async function compareWithLog(
  log: SharedLogReader,
  copies: readonly Replayed[],
): Promise<Replayed> {
  const { id, base } = log.head;
  const alone = new Replayed(log.name);
  alone.position = base;
  alone.isWhole = base === 0;
  const own = copies.filter((copy) => isOf(copy, id, log.name));
  for (const copy of own) {
    if (copy.position >= base) continue;
    copy.notes.push(
      `${log.name} begins after group ${base}: this copy needs the checkpoint of another master`,
    );
  }
  const ends = new Map(own.map((copy) => [copy, copy.position]));
  const odd = new Set<Replayed>();
  let last = base;
  try {
    for await (const group of log.groups(base)) {
      last = group.sequence;
      if (base === 0) alone.apply(group);
      for (const copy of own) {
        if (odd.has(copy)) continue;
        const sum = copy.sums.get(group.sequence);
        if (sum !== undefined && sum !== sumOf(group)) {
          odd.add(copy);
          copy.fault(`group ${group.sequence} is another one than in ${log.name}`);
        } else if (group.sequence === copy.position + 1) copy.apply(group);
      }
    }
  } catch (error) {
    if (!(error instanceof LogReadError)) throw error;
    alone.fault(error.message);
  }
  alone.position = last;
  for (const [copy, end] of ends) {
    if (end > last) copy.fault(`${log.name} ends before group ${end}, which this copy has`);
    else if (copy.position > end) {
      copy.notes.push(`${copy.position - end} groups that it does not have yet are from the log`);
    }
  }
  if (base > 0) {
    alone.notes.push(
      `it begins after group ${base}, so its state is known only with a --data_dir of a master`,
    );
  }
  const whole = own.filter((copy) => copy.position === last && !odd.has(copy));
  const states = new Set(
    [...(base === 0 ? [alone] : []), ...whole].map(({ core }) => core.digest()),
  );
  if (states.size > 1) alone.fault(`as of group ${last} the copies do not come to one state`);
  return alone;
}

function isOf(copy: Replayed, id: string, name: string): boolean {
  if (copy.logId === id) return true;
  // A member of the cluster that has just begun has nothing of it yet.
  if (copy.logId === null && copy.position === 0) return true;
  copy.fault(
    copy.logId === null
      ? `it is no copy of ${name}: its master was alone`
      : `it is of another log (${copy.logId}) than ${name} (${id})`,
  );
  return false;
}

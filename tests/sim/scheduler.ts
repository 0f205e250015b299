/** Simulated time: what happens when, and to whom. */

/** Something that will happen; see {@linkcode Scheduler.at}. */
export interface SimEvent {
  atMs: number;
  order: number;
  readonly host: Host | null;
  readonly run: () => void;
  cancelled: boolean;
}

/**
 * One life of a process as the world sees it. While it is frozen, what happens to it waits in order;
 * once it has crashed, nothing happens to it any more. What comes back is another host.
 */
export class Host {
  alive = true;
  frozen = false;
  backlog: SimEvent[] = [];

  constructor(readonly name: string) {}
}

/** All events of a world, in the order of their times; those of one time in the order of their making. */
export class Scheduler {
  nowMs = 0;
  /** Events that have happened. */
  steps = 0;
  #order = 0;
  /** The order of what was held up: below that of everything else. */
  #thawed = 0;
  readonly #heap: SimEvent[] = [];

  /** Has `run` called at a time, unless `host` has crashed by then. `null` = the world itself. */
  at(atMs: number, host: Host | null, run: () => void): SimEvent {
    const event = {
      ...{ atMs: Math.max(atMs, this.nowMs), order: this.#order++, host, run, cancelled: false },
    };
    this.#push(event);
    return event;
  }

  /** {@linkcode Scheduler.at}, `ms` from now. */
  after(ms: number, host: Host | null, run: () => void): SimEvent {
    return this.at(this.nowMs + ms, host, run);
  }

  crash(host: Host): void {
    host.alive = false;
    host.frozen = false;
    host.backlog = [];
  }

  /** Holds up everything that happens to a host for `ms`. */
  freeze(host: Host, ms: number): void {
    if (!host.alive || host.frozen) return;
    host.frozen = true;
    this.after(ms, null, () => this.thaw(host));
  }

  /** Lets everything that was held up happen now, in order and before anything else. */
  thaw(host: Host): void {
    if (!host.frozen) return;
    host.frozen = false;
    this.#thawed -= host.backlog.length;
    for (const [i, event] of host.backlog.splice(0).entries()) {
      event.atMs = this.nowMs;
      event.order = this.#thawed + i;
      this.#push(event);
    }
  }

  /** Lets the next event happen. `false` when there is none until `untilMs`. */
  step(untilMs: number): boolean {
    while (this.#heap.length > 0) {
      const event = this.#heap[0];
      if (event.atMs > untilMs) return false;
      this.#pop();
      const { host } = event;
      if (event.cancelled || (host !== null && !host.alive)) continue;
      this.nowMs = event.atMs;
      if (host?.frozen) {
        host.backlog.push(event);
        continue;
      }
      this.steps++;
      event.run();
      return true;
    }
    return false;
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (isBefore(heap[above], event)) break;
      heap[at] = heap[above];
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = at * 2 + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1], heap[below])) below++;
      if (isBefore(last, heap[below])) break;
      heap[at] = heap[below];
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

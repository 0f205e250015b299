/** Notifications that have come and were not taken. */
export class NotificationBox {
  readonly #limit: number;
  readonly #onArrival: ((agent: string, message: Uint8Array) => void) | undefined;
  #byAgent = new Map<string, Uint8Array[]>();
  #count = 0;

  /** Holds up to `limit`; none when `onArrival` takes each. */
  constructor(limit: number, onArrival?: (agent: string, message: Uint8Array) => void) {
    this.#limit = limit;
    this.#onArrival = onArrival;
  }

  /** Keeps one. `Error` when there is no room, which the sender learns. */
  put(agent: string, message: Uint8Array): void {
    if (this.#onArrival !== undefined) return this.#onArrival(agent, message);
    if (this.#count >= this.#limit) throw new Error("too many notifications wait");
    const messages = this.#byAgent.get(agent);
    if (messages === undefined) this.#byAgent.set(agent, [message]);
    else messages.push(message);
    this.#count++;
  }

  /** Takes all, in the order of their arrival. */
  takeAll(): Map<string, Uint8Array[]> {
    const taken = this.#byAgent;
    this.#byAgent = new Map();
    this.#count = 0;
    return taken;
  }

  /** Takes the first of an agent that begins with a tag, or has it anywhere. */
  takeOne(agent: string, tag: Uint8Array, anywhere: boolean): boolean {
    const messages = this.#byAgent.get(agent) ?? [];
    const at = messages.findIndex((message) =>
      anywhere ? has(message, tag) : startsWith(message, tag, 0)
    );
    if (at < 0) return false;
    messages.splice(at, 1);
    if (messages.length === 0) this.#byAgent.delete(agent);
    this.#count--;
    return true;
  }
}

function startsWith(bytes: Uint8Array, tag: Uint8Array, at: number): boolean {
  return tag.length <= bytes.length - at && tag.every((byte, i) => bytes[at + i] === byte);
}

function has(bytes: Uint8Array, tag: Uint8Array): boolean {
  for (let at = 0; at + tag.length <= bytes.length; at++) {
    if (startsWith(bytes, tag, at)) return true;
  }
  return false;
}

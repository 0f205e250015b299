/** Network namespaces: a master that is cut off from its engine by a link that is down. */

async function ip(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args }).output();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Why namespaces cannot be had here, or `null`. */
export async function namespacesAbsent(): Promise<string | null> {
  const name = `snowskin-try-${Deno.pid}`;
  try {
    await ip("netns", "add", name);
    await ip("netns", "delete", name);
    return null;
  } catch (error) {
    return `network namespaces cannot be made: ${error instanceof Error ? error.message : error}`;
  }
}

/**
 * A namespace with two links to the outside: one to the engine, which can be cut, and one on which
 * clients reach what runs in it.
 */
export class Namespace implements AsyncDisposable {
  readonly name: string;
  readonly #links: readonly [string, string];
  readonly #net: string;

  private constructor(index: number) {
    const id = `${Deno.pid % 10_000}${index}`;
    this.name = `snowskin-${id}`;
    this.#links = [`se${id}`, `sc${id}`];
    this.#net = `10.${200 + index}.${Deno.pid % 250}`;
  }

  static async create(index: number): Promise<Namespace> {
    const made = new Namespace(index);
    await ip("netns", "add", made.name);
    await ip("-n", made.name, "link", "set", "lo", "up");
    for (const [i, link] of made.#links.entries()) {
      const inside = `${link}i`;
      await ip("link", "add", link, "type", "veth", "peer", "name", inside, "netns", made.name);
      await ip("addr", "add", `${made.#net}.${i * 4 + 1}/30`, "dev", link);
      await ip("-n", made.name, "addr", "add", `${made.#net}.${i * 4 + 2}/30`, "dev", inside);
      await ip("link", "set", link, "up");
      await ip("-n", made.name, "link", "set", inside, "up");
    }
    return made;
  }

  /** Where what is outside is reached over the link that can be cut. */
  get engineHost(): string {
    return `${this.#net}.1`;
  }

  /** Where processes run, for `startMaster`. */
  get place(): { host: string; launcher: readonly string[] } {
    return { host: `${this.#net}.6`, launcher: ["ip", "netns", "exec", this.name] };
  }

  async cut(): Promise<void> {
    await ip("link", "set", this.#links[0], "down");
  }

  async mend(): Promise<void> {
    await ip("link", "set", this.#links[0], "up");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.#links) await ip("link", "delete", link);
    await ip("netns", "delete", this.name);
  }
}

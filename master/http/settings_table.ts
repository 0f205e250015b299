/// <reference lib="deno.unstable" />
/**
 * Changed settings in the Deno KV database of the small tables: `["setting", name]` -> text.
 */

/** Where changes of settings outlive the process. */
export interface SettingsKeeper {
  /** Keeps texts by flag name, all or none; `null` forgets one. */
  keep(changes: Readonly<Record<string, string | null>>): Promise<void>;
}

/** Owns one connection to a database. */
export class SettingsTable implements SettingsKeeper, Disposable {
  readonly #kv: Deno.Kv;

  private constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  /** Opens a database, which is created if need be. */
  static async open(path: string): Promise<SettingsTable> {
    return new SettingsTable(await Deno.openKv(path));
  }

  /** What is kept. */
  async load(): Promise<Record<string, string>> {
    const kept: Record<string, string> = {};
    for await (const { key, value } of this.#kv.list<string>({ prefix: ["setting"] })) {
      kept[key[1] as string] = value;
    }
    return kept;
  }

  async keep(changes: Readonly<Record<string, string | null>>): Promise<void> {
    const commit = this.#kv.atomic();
    for (const [name, text] of Object.entries(changes)) {
      if (text === null) commit.delete(["setting", name]);
      else commit.set(["setting", name], text);
    }
    await commit.commit();
  }

  [Symbol.dispose](): void {
    this.#kv.close();
  }
}

import { SimError, World, type WorldOptions } from "./world.ts";

/** How the first seed of up to `count` whose world breaks a promise says so. */
export async function broken(count: number, options: WorldOptions): Promise<string> {
  for (let seed = 1; seed <= count; seed++) {
    try {
      await new World(seed, options).run();
    } catch (error) {
      if (!(error instanceof SimError)) throw error;
      return error.message;
    }
  }
  return "no world noticed anything";
}

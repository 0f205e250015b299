/** The disk of a master runs full while writers never stop. */
import { startNode } from "../../examples/local_cluster.ts";
import { MasterLives } from "../support/master_lives.ts";
import { until } from "../support/until.ts";
import { Load } from "./load.ts";
import type { Scenario } from "./scenarios.ts";

const MIB = 1 << 20;
const DISK_MIB = 256;
const CLIENTS = 4;
const LONGEST_WAIT_MS = 60_000;
const SAMPLE = 97;
/** For so long nothing may be acknowledged, and then the disk counts as full. */
const SILENCE_MS = 500;

async function command(name: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(name, { args }).output();
  if (!success) throw new Error(`${name} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** A file system of its own in memory. */
class SmallDisk implements AsyncDisposable {
  readonly path = Deno.makeTempDirSync({ prefix: "snowskin-disk-" });

  static async mount(): Promise<SmallDisk> {
    const disk = new SmallDisk();
    try {
      await command("mount", "-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", disk.path);
      return disk;
    } catch (error) {
      Deno.removeSync(disk.path);
      throw error;
    }
  }

  /** Takes all the space that there is. */
  fill(): void {
    using filler = Deno.openSync(this.#filler, { create: true, append: true });
    for (let bytes = MIB; bytes >= 512;) {
      try {
        filler.writeSync(new Uint8Array(bytes));
      } catch {
        bytes /= 2;
      }
    }
  }

  free(): void {
    Deno.removeSync(this.#filler);
  }

  get #filler(): string {
    return `${this.path}/filler`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await command("umount", this.path);
    Deno.removeSync(this.path);
  }
}

async function disksAbsent(): Promise<string | null> {
  try {
    await using _disk = await SmallDisk.mount();
    return null;
  } catch (error) {
    return `a small file system cannot be mounted: ${
      error instanceof Error ? error.message : error
    }`;
  }
}

export const diskFull: Scenario = {
  name: "disk-full",
  what: "the disk is full for a while: reads go on; then there is space, and the master is killed",
  missing: await disksAbsent(),
  async run(rounds, random, progress) {
    await using disk = await SmallDisk.mount();
    await using master = await MasterLives.start(`--data_dir=${disk.path}/data`);
    await using _node = await startNode(master.address, 512 * MIB);
    await using load = await Load.start(master.address, CLIENTS);
    const pausesMs: number[] = [];
    let checked = 0;
    for (let round = 1; round <= rounds; round++) {
      const began = performance.now();
      const had = load.acknowledged.length;
      load.begin();
      await new Promise((resolve) => setTimeout(resolve, 300 + random() * 700));
      load.wasBusy(began, had);
      disk.fill();
      await until(() => {
        // The journal may have had space left of its own.
        disk.fill();
        return performance.now() - load.lastMs > SILENCE_MS;
      }, LONGEST_WAIT_MS);
      await load.pause();
      await load.check(checked);
      load.begin();
      const freedMs = performance.now();
      disk.free();
      await until(() => load.lastMs > freedMs, LONGEST_WAIT_MS);
      pausesMs.push(load.lastMs - freedMs);
      await load.pause();
      await master.kill();
      await master.revive();
      await until(() => load.areAllThere(SAMPLE), LONGEST_WAIT_MS);
      await load.check(checked);
      checked = load.acknowledged.length;
      progress(`disk-full: round ${round} of ${rounds}, ${checked} acknowledged puts`);
    }
    await load.check(0);
    return { rounds, pausesMs, ...load.counts };
  },
};

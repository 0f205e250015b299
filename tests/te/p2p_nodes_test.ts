// Goal: a file spreads from one process to four at once, the first one sends it about once, and a
// holder that dies in the middle costs nobody a byte. Method: the commands as processes over TCP; each
// tells at its end how many bytes it has sent.
import assert from "node:assert/strict";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { fill, same } from "../contract/engine_pair.ts";
import { MemoryMetadata } from "../support/memory_metadata.ts";
import { until } from "../support/until.ts";

const snowskin = new URL("../../snowskin.ts", import.meta.url).pathname;
const LENGTH = (96 << 20) + 12_345;
const GETTERS = 4;
const FILE = "weights.safetensors";

/** A seeder of one file, and what starts those who get it. */
class Swarm implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "snowskin-p2p-" });
  readonly bytes = new Uint8Array(LENGTH);
  readonly processes: LocalProcess[] = [];

  private constructor(readonly metadata: MemoryMetadata) {
    fill(this.bytes, 1);
    Deno.writeFileSync(`${this.folder}/${FILE}`, this.bytes);
  }

  static async start(): Promise<Swarm> {
    return new Swarm(await MemoryMetadata.start());
  }

  run(...args: string[]): LocalProcess {
    const where = `--metadata_server=${this.metadata.url}`;
    const command = ["run", "-A", "--no-check", snowskin, "p2p", ...args, where];
    const env = { MC_FORCE_TCP: "1" };
    const process = new LocalProcess(args.join(" "), Deno.execPath(), command, { env });
    this.processes.push(process);
    return process;
  }

  async seed(): Promise<LocalProcess> {
    const seeder = this.run("seed", "llama", `${this.folder}/${FILE}`);
    await seeder.line(
      /^seeding llama as 127\.0\.0\.1:\d+: 1 file, 96\.01 MiB, pieces of 262144 bytes/,
    );
    return seeder;
  }

  get(which: number): LocalProcess {
    return this.run("get", "llama", `--to=${this.folder}/${which}`, "--stay=true");
  }

  /** Waits until a getter has everything, and compares it. */
  async whole(getter: LocalProcess, which: number): Promise<string> {
    const line = await getter.line(/^got llama whole: 1 file/, 60_000);
    assert(same(Deno.readFileSync(`${this.folder}/${which}/${FILE}`), this.bytes), `file ${which}`);
    return line;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.processes) await process.stop("SIGKILL");
    await this.metadata[Symbol.asyncDispose]();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Asks a process to end and returns the bytes that it has sent. */
async function served(process: LocalProcess): Promise<number> {
  assert.equal((await process.stop("SIGTERM")).code, 0);
  return Number(/^served (\d+) bytes/.exec(await process.line(/^served \d+ bytes of llama$/))![1]);
}

Deno.test("four processes get a file from one at once, which sends it about once", async () => {
  await using swarm = await Swarm.start();
  const seeder = await swarm.seed();
  const getters = Array.from({ length: GETTERS }, (_, i) => swarm.get(i));
  const lines = await Promise.all(getters.map((getter, i) => swarm.whole(getter, i)));
  for (const line of lines) {
    assert.match(line, / s; 127\.0\.0\.1:\d+ \d+\.\d %, /, "from several");
    assert.doesNotMatch(line, /wrong/);
  }
  const first = await served(seeder);
  const others = await Promise.all(getters.map(served));
  const all = first + others.reduce((sum, bytes) => sum + bytes, 0);
  console.log(
    `the seeder sent ${(first / LENGTH).toFixed(2)} times the file, the others ` +
      others.map((bytes) => (bytes / LENGTH).toFixed(2)).join(", "),
  );
  assert(first < 2.5 * LENGTH, `the seeder sent ${(first / LENGTH).toFixed(2)} times the file`);
  assert(all >= GETTERS * LENGTH, "every byte came from somewhere");
  assert.deepEqual([...swarm.metadata.values.keys()].filter((key) => key.includes("p2p")), []);
});

Deno.test("a holder that is killed, and one that hangs, in the middle are replaced", async () => {
  await using swarm = await Swarm.start();
  const seeder = await swarm.seed();
  const getters = Array.from({ length: GETTERS }, (_, i) => swarm.get(i));
  const [killed, frozen, ...left] = getters;
  const has = (which: number, part: number) => () => {
    try {
      const { blocks } = Deno.statSync(`${swarm.folder}/${which}/${FILE}.part`);
      return blocks! * 512 > part * LENGTH;
    } catch {
      return false;
    }
  };
  await Promise.all([
    until(has(0, 0.2)).then(() => killed.kill("SIGKILL")),
    until(has(1, 0.3)).then(() => frozen.kill("SIGSTOP")),
  ]);
  await Promise.all(left.map((getter, i) => swarm.whole(getter, i + 2)));
  assert.throws(() => Deno.statSync(`${swarm.folder}/0/${FILE}`), Deno.errors.NotFound);
  frozen.kill("SIGCONT");
  await swarm.whole(frozen, 1);
  // It goes on from what the killed one has left, and from nobody but those who live.
  const again = swarm.get(0);
  assert.match(await swarm.whole(again, 0), / MiB were there/);
  await served(seeder);
  const last = swarm.get(9);
  assert.doesNotMatch(await swarm.whole(last, 9), /wrong/);
});

Deno.test("names are listed and taken back by commands, and what is wrong is one line", async () => {
  await using swarm = await Swarm.start();
  const seeder = await swarm.seed();
  const list = swarm.run("list");
  await list.line(/^llama {2}1 file, 96\.01 MiB {2}held by 127\.0\.0\.1:\d+$/);
  const stolen = swarm.run("seed", "llama", snowskin);
  await stolen.line(/^snowskin p2p: The name "llama" has other content: 1 files of \d+ bytes/);
  assert.equal((await stolen.status).code, 1);
  const unseed = swarm.run("unseed", "llama");
  await unseed.line(/^took llama back from 1 holder$/);
  await seeder.line(/^snowskin p2p: llama is served no more: somebody took the name back$/);
  assert.equal((await seeder.status).code, 1);
  const cases: [string[], number, RegExp][] = [
    [["seed"], 2, /^snowskin p2p: seed needs a name$/],
    [["seed", "n"], 2, /^snowskin p2p: seed needs files$/],
    [["seed", "n", "/nonexistent"], 1, /^snowskin p2p: Cannot share \/nonexistent: /],
    [
      ["seed", "n", snowskin, "--piece_size=5"],
      1,
      /^snowskin p2p: pieceLength=5 is refused; allowed/,
    ],
    [["get", "n"], 2, /^snowskin p2p: --to is missing: the folder$/],
    [["get", "n", "--to=/x"], 1, /^snowskin p2p: Nobody shares "n"$/],
    [["list", "--stay=true"], 2, /^snowskin p2p: --stay is for get only$/],
    [["list", "a", "b"], 2, /^snowskin p2p: "b" is too much for list$/],
    [["give", "a"], 2, /^snowskin p2p: "give" is no verb; allowed: seed, get, list, unseed$/],
  ];
  await Promise.all(cases.map(async ([args, code, text]) => {
    const process = swarm.run(...args);
    await process.line(text);
    assert.equal((await process.status).code, code);
  }));
});

// Goal: `snowskin log` shows what a master has kept and tells sound logs from others, without writing.
// Method: journals with the facts of a core, whole, cut, damaged and made to contradict themselves.
import assert from "node:assert/strict";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import type { CoreConfig } from "../core/api.ts";
import { writeLogId } from "../ha/identity.ts";
import { foldCheckpoint } from "../journal/checkpoint.ts";
import { DataDirectory } from "../journal/data_directory.ts";
import { FactBuffer } from "../journal/fact_buffer.ts";
import { FileJournal } from "../journal/file_journal.ts";
import { listFiles } from "../journal/files.ts";
import { Replayed } from "./audit.ts";
import { compareWithLog } from "./compare.ts";
import { parseLogFlags } from "./flags.ts";
import { inspect } from "./inspect.ts";
import { audit } from "./main.ts";
import type { SharedLogReader } from "./sources.ts";

/** A master's data directory with a journal, which goes with it. */
class Desk implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "snowskin-log-" });
  readonly driver: CoreDriver;
  readonly #facts = new FactBuffer();
  readonly #journal: FileJournal;

  constructor(segmentBytes = 1 << 20, config: Partial<CoreConfig> = {}) {
    this.driver = new CoreDriver(config);
    Deno.mkdirSync(this.journalPath);
    this.driver.core.attachFacts(this.#facts);
    this.#journal = new FileJournal({ directory: this.journalPath, nextSequence: 1, segmentBytes });
  }

  get journalPath(): string {
    return `${this.path}/journal`;
  }

  /** Does something and keeps what came of it as a group. */
  group(change: (driver: CoreDriver) => void): void {
    change(this.driver);
    this.#journal.append(this.#facts.group);
    this.#facts.clear();
  }

  fold(): void {
    foldCheckpoint(this.journalPath, this.#journal.seal(), this.driver.core.state.config);
  }

  close(): void {
    this.#journal.close();
  }

  [Symbol.dispose](): void {
    this.close();
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Groups 1 to 5: a segment, three puts, a removal. */
function fill(desk: Desk, third = "third"): void {
  desk.group((driver) => driver.mount(1, MIB));
  for (const key of ["first", "a b\u00e9", third]) desk.group((driver) => driver.put(key, 100));
  desk.group((driver) => driver.remove("first", true));
}

async function run(...args: string[]): Promise<{ code: number; lines: string[]; notes: string[] }> {
  const options = await parseLogFlags(args, {});
  assert(options !== null);
  const lines: string[] = [], notes: string[] = [];
  const output = {
    line: (text: string) => lines.push(text) > 0,
    note: (text: string) => void notes.push(text),
  };
  const code = await (options.verb === "inspect" ? inspect : audit)(options, output);
  return { code, lines, notes };
}

/** Every file below a folder, with its bytes and its time. */
function everything(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) { for (const [key, value] of everything(path)) found.set(key, value); }
    else found.set(path, `${Deno.statSync(path).mtime?.getTime()} ${Deno.readFileSync(path)}`);
  }
  return found;
}

Deno.test("changes are printed in their order, and nothing is written", async () => {
  using desk = new Desk();
  fill(desk);
  desk.close();
  const before = everything(desk.path);
  const { code, lines, notes } = await run("inspect", `--data_dir=${desk.path}`);
  assert.equal(code, 0);
  assert.deepEqual(notes, []);
  const kinds = lines.map((line) => line.split(" ").slice(0, 2).join(" "));
  assert.equal(kinds[0], "1.1 CLIENT_ADDED");
  assert(kinds.includes("1.2 SEGMENT_MOUNTED"));
  assert.deepEqual(kinds.filter((kind) => kind.startsWith("2.")), [
    ...["2.1 WRITE_STARTED", "2.2 WRITE_ENDED"],
  ]);
  assert.match(lines.at(-1)!, /^5\.\d+ OBJECT_ERASED tenant=default key=first /);
  assert((await run("audit", `--data_dir=${desk.path}`)).code === 0);
  assert.deepEqual(everything(desk.path), before);
});

Deno.test("the journal folder itself can be named, and a checkpoint comes first", async () => {
  using desk = new Desk();
  fill(desk);
  desk.fold();
  desk.group((driver) => driver.put("later", 100));
  desk.close();
  const { lines } = await run("inspect", "--data_dir", desk.journalPath);
  const kept = lines.filter((line) => line.includes(" OBJECT_KEPT "));
  assert.deepEqual(kept.map((line) => /key=(\S+)/.exec(line)![1]).sort(), ["a%20b%c3%a9", "third"]);
  assert(kept.every((line) => /^cp5\.\d+ /.test(line)));
  assert.match(lines.at(-1)!, /^6\.\d+ WRITE_ENDED .*key=later/);
  const numbers = lines.filter((line) => line.startsWith("cp")).map((line) => line.split(" ")[0]);
  assert.deepEqual(numbers, numbers.map((_, i) => `cp5.${i + 1}`));
  const audited = await run("audit", `--data_dir=${desk.path}`);
  assert.match(audited.lines[1], /last group {2}6, checkpoint of group 5, \d+ changes read/);
});

Deno.test("filters leave out what is not wanted", async () => {
  using desk = new Desk();
  fill(desk);
  desk.close();
  const shown = async (...flags: string[]) =>
    (await run("inspect", `--data_dir=${desk.path}`, ...flags)).lines
      .map((line) => line.split(" ").slice(0, 2).join(" "));
  assert.deepEqual(await shown("--key=a%20b%C3%A9"), [
    ...["3.1 WRITE_STARTED", "3.2 WRITE_ENDED"],
  ]);
  assert.deepEqual(await shown("--kind=object_erased"), ["5.1 OBJECT_ERASED"]);
  assert.deepEqual(await shown("--from=4", "--to=4", "--kind", "OBJECT_ERASED,WRITE_ENDED"), [
    ...["4.2 WRITE_ENDED"],
  ]);
  assert.deepEqual(await shown("--tenant=default", "--kind=SEGMENT_MOUNTED"), []);
  assert.deepEqual(await shown("--tenant=nobody"), []);
});

Deno.test("tenants go by their names", async () => {
  using desk = new Desk(1 << 20, { enableMultiTenants: true });
  desk.group((driver) => driver.mount(1, MIB));
  for (const name of ["team-a", "team b"]) {
    desk.group((driver) => {
      const bytes = new TextEncoder().encode(name);
      driver.core.tenants.setQuota(bytes, 1n << 30n);
      driver.tenant = driver.core.internTenant(bytes, 0, bytes.length);
      driver.put("shared", 100);
    });
  }
  desk.close();
  const shown = async (...flags: string[]) =>
    (await run("inspect", `--data_dir=${desk.path}`, ...flags)).lines;
  const [line, ...rest] = await shown("--tenant=team b", "--kind=WRITE_STARTED");
  assert.match(line, /^3\.\d WRITE_STARTED tenant=team%20b key=shared /);
  assert.deepEqual(rest, []);
  const both = await shown("--key=shared", "--kind=WRITE_STARTED");
  assert.deepEqual(both.map((line) => /tenant=(\S+)/.exec(line)![1]), ["team-a", "team%20b"]);
});

Deno.test("with --json every line is an object", async () => {
  using desk = new Desk();
  fill(desk);
  desk.close();
  const { lines } = await run("inspect", "--json", `--data_dir=${desk.path}`, "--from=2", "--to=2");
  const facts = lines.map((line) => JSON.parse(line));
  assert.deepEqual(facts.map(({ group, number, kind }) => [group, number, kind]), [
    ...[[2, 1, "WRITE_STARTED"], [2, 2, "WRITE_ENDED"]],
  ]);
  assert.equal(facts[0].key, "first");
  assert.equal(facts[0].tenant, "default");
  assert.match(facts[0].start, /^2023-11-14T22:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(facts[0].extents[0].units, 2);
  assert.equal(facts[1].soft_pin_until, null);
});

Deno.test("a reader that has enough ends it", async () => {
  using desk = new Desk();
  fill(desk);
  desk.close();
  const options = await parseLogFlags(["inspect", `--data_dir=${desk.path}`], {});
  const lines: string[] = [];
  const output = { line: (text: string) => lines.push(text) < 2, note: () => {} };
  assert.equal(await inspect(options!, output), 0);
  assert.equal(lines.length, 2);
});

Deno.test("a cut off group is a note, damage is told with file and byte", async () => {
  using desk = new Desk();
  fill(desk);
  desk.close();
  const [{ path }] = listFiles(desk.journalPath).tails;
  const whole = Deno.readFileSync(path);
  const of = `--data_dir=${desk.path}`;
  Deno.writeFileSync(path, whole.subarray(0, whole.length - 3));
  const cut = await run("inspect", of);
  assert.equal(cut.code, 0);
  assert.match(
    cut.notes.join(),
    /^the journal ends after group 4, at byte \d+ of .*tail-0+1\.log: the last group is cut off; /,
  );
  const audited = await run("audit", of);
  assert.equal(audited.code, 0);
  assert.match(audited.lines.join("\n"), /note: it ends at byte \d+ of .*, as a kill leaves it/);

  const damaged = whole.slice();
  damaged[whole.length - 3] ^= 1;
  Deno.writeFileSync(path, damaged);
  const [shown, unsound] = [await run("inspect", of), await run("audit", of)];
  assert.equal(shown.code, 1);
  const [, byte] = /at byte (\d+) of .*: group 5 is damaged$/.exec(shown.notes.join())!;
  assert(Number(byte) > 32 && Number(byte) < whole.length);
  assert.equal(unsound.code, 1);
  assert.match(unsound.lines.join("\n"), /: UNSOUND\n[\s\S]*fault: it ends at byte .* is damaged/);
});

Deno.test("a file that is missing ends the journal, and what is behind it does not count", async () => {
  using desk = new Desk(120);
  fill(desk);
  desk.close();
  const { tails } = listFiles(desk.journalPath);
  assert(tails.length >= 4);
  Deno.removeSync(tails[2].path);
  const { code, notes } = await run("inspect", `--data_dir=${desk.path}`);
  assert.equal(code, 1);
  assert.match(
    notes.join(),
    /at byte 0 of .*: the groups before \d are missing; \d later files do/,
  );
});

Deno.test("changes that contradict each other are unsound", async () => {
  using desk = new Desk();
  desk.group((driver) => driver.mount(1, MIB));
  desk.group((driver) => driver.put("one", 100));
  using other = new Desk();
  other.group((driver) => driver.mount(1, MIB));
  // Another core gives the same extent to another key.
  const told: Uint8Array[] = [];
  other.driver.core.attachFacts({
    append: (bytes, start, end) => void told.push(bytes.slice(start, end)),
  });
  other.driver.put("two", 100);
  const facts = new FactBuffer();
  for (const fact of told) facts.append(fact, 0, fact.length);
  desk.close();
  const journal = new FileJournal({ directory: desk.journalPath, nextSequence: 3 });
  journal.append(facts.group);
  journal.close();
  const { code, lines } = await run("audit", `--data_dir=${desk.path}`);
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /fault: a change of group 3 does not fit: .*are not free/);
});

Deno.test("a report says what there is", async () => {
  using desk = new Desk();
  fill(desk);
  desk.group((driver) => driver.start("open", 10));
  desk.close();
  const { lines } = await run("audit", "--json", `--data_dir=${desk.path}`);
  const { sound, logs: [{ state, position, checkpoint }] } = JSON.parse(lines[0]);
  assert.deepEqual([sound, position, checkpoint], [true, 6, 0]);
  const { objects, writes, segments, bytes_lent, bytes_in_use, bytes_held } = state;
  assert.deepEqual([objects, writes, segments, bytes_lent], [3, 1, 1, MIB]);
  assert.deepEqual([bytes_in_use, bytes_held], [128 + 128 + 64, 0]);
});

Deno.test("copies of one log come to one state, others are told apart", async () => {
  using one = new Desk();
  using two = new Desk();
  using ahead = new Desk();
  using odd = new Desk();
  for (const desk of [one, two, ahead]) fill(desk);
  two.fold();
  ahead.group((driver) => driver.put("more", 100));
  fill(odd, "thirt");
  for (const desk of [one, two, ahead, odd]) desk.close();
  const compared = async (...desks: Desk[]) => {
    const { code, lines } = await run("audit", ...desks.map(({ path }) => `--data_dir=${path}`));
    return { code, text: lines.join("\n") };
  };
  const same = await compared(one, two);
  assert.equal(same.code, 0, same.text);
  assert.match(same.text, /note: as of group 5 its state is that of /);
  const behind = await compared(ahead, one);
  assert.equal(behind.code, 0, behind.text);
  assert.match(behind.text, /note: as of group 5 its state is that of /);
  const different = await compared(one, odd);
  assert.equal(different.code, 1);
  assert.match(different.text, /fault: group 4 is another one than in /);
  const hidden = await compared(two, odd);
  assert.equal(hidden.code, 1);
  assert.match(hidden.text, /fault: as of group 5 its state is not that of /);
  ahead.close();
  foldCheckpoint(ahead.journalPath, 6, ahead.driver.core.state.config);
  assert.match((await compared(one, ahead)).text, /note: not compared with .* is of group 6, and/);
  writeLogId(one.path, "a");
  writeLogId(two.path, "b");
  assert.match((await compared(one, two)).text, /fault: it is of another log \(b\) than .* \(a\)/);
});

Deno.test("a directory in use is read, and that is said", async () => {
  using desk = new Desk();
  fill(desk);
  const holder = { pid: 7, host: "here", since: "now" };
  {
    using _held = DataDirectory.open(desk.path, holder);
    const { code, notes } = await run("inspect", `--data_dir=${desk.path}`);
    assert.equal(code, 0);
    assert.match(notes.join(), /^a master uses .* \(process 7 on here since now\): what it keeps/);
    const { lines } = await run("audit", `--data_dir=${desk.path}`);
    assert.match(lines.join("\n"), /note: a master uses it: process 7 on here/);
  }
  assert.equal(DataDirectory.holderOf(desk.path), null);
});

Deno.test("bad usage is one line that says what is allowed", async () => {
  using desk = new Desk();
  const empty = `--data_dir=${desk.path}/none`;
  const wrong: [string[], RegExp][] = [
    [[], /^"" is no verb; allowed: inspect, audit$/],
    [["show"], /^"show" is no verb/],
    [
      ["inspect", "--bogus=1"],
      /Unknown option '--bogus'.*; allowed: --data_dir, .*--json, --help$/,
    ],
    [["inspect", "--kind=NOTHING"], /^--kind=NOTHING is no kind; allowed: TENANT_ADDED, CLIENT_/],
    [["inspect", "--from=-1"], /--from/],
    [["inspect", "--from=x"], /^--from=x is refused; allowed: the number of a group, from 0$/],
    [["inspect", "--from=3", "--to=2"], /^--from=3 is above --to=2/],
    [
      ["inspect", "--data_dir=a", "--data_dir=b"],
      /^inspect shows one log; allowed: one --data_dir/,
    ],
    [["inspect", "--key=a", "--key=b"], /^--key is there twice; allowed: once$/],
    [["audit", "--key=a"], /Unknown option '--key'/],
    [["audit", "--data_dir="], /^--data_dir=: allowed: a directory$/],
    [["audit", "--ha_backend_type=k8s"], /^--ha_backend_type=k8s: a Lease keeps no log; allowed:/],
    [["audit", "--etcd_endpoints=nowhere"], /^--etcd_endpoints=nowhere: malformed; allowed:/],
    [["audit", empty], /^--data_dir=.*\/none: there is no journal; allowed: the data directory/],
  ];
  for (const [args, message] of wrong) {
    await assert.rejects(() => run(...args), (error: Error) => {
      assert.equal(error.name, "LogUsageError");
      assert.match(error.message, message);
      assert(!error.message.includes("\n"));
      return true;
    });
  }
});

Deno.test("a copy that has nothing of the shared log yet is sound, one of a lone master is not", async () => {
  const log = { name: "the log", head: { id: "a", base: 0 }, async *groups() {} };
  const [fresh, alone] = [new Replayed("fresh"), new Replayed("alone")];
  alone.position = 3;
  await compareWithLog(log as unknown as SharedLogReader, [fresh, alone]);
  assert.deepEqual(fresh.faults, []);
  assert.deepEqual(alone.faults, ["it is no copy of the log: its master was alone"]);
});

/** Memory of the caller, between two processes of one host. */
import assert from "node:assert/strict";
import { openLibrary } from "../../ffi/library.ts";
import { TextLineStream } from "../support/text_lines.ts";

const program = new URL("./caller_memory_main.ts", import.meta.url).pathname;
/** Takes the right away to read the memory of a process that has more rights. */
const BOUND = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

const library = openLibrary();
const noShim = "unavailable" in library ? `the C shim: ${library.unavailable}` : null;
if ("close" in library) library.close();

/** Why the right cannot be taken away here, or `null`. */
function boundAbsent(): string | null {
  try {
    const { success } = new Deno.Command(BOUND[0], {
      args: [...BOUND.slice(1), "true"],
      stderr: "null",
    }).outputSync();
    return success && Deno.uid() === 0 ? null : "only root can take the right away";
  } catch {
    return "there is no setpriv";
  }
}

/** A process and the lines that it prints, which are JSON. */
interface Spawned {
  child: Deno.ChildProcess;
  // deno-lint-ignore no-explicit-any
  next(): Promise<any>;
}

function spawn(bound: boolean, args: string[]): Spawned {
  const deno = [Deno.execPath(), "run", "-A", "--no-check", program, ...args];
  const [command, ...rest] = bound ? [...BOUND, ...deno] : deno;
  const child = new Deno.Command(command, {
    ...{ args: rest, stdin: "piped", stdout: "piped" },
    env: { NO_COLOR: "1" },
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextLineStream()).getReader();
  return { child, next: async () => JSON.parse((await lines.read()).value!) };
}

/** What an owner and a user of its memory say, both still being there. */
async function runBoth(bound: { owner?: boolean; user?: boolean }) {
  const owner = spawn(bound.owner ?? false, ["owner"]);
  const { name, address } = await owner.next();
  const user = spawn(bound.user ?? false, ["user", name, address]);
  const use = await user.next();
  await owner.child.stdin.close();
  const memory = await owner.next();
  await user.child.stdin.close();
  for (const { child, next } of [owner, user]) {
    await assert.rejects(next);
    assert((await child.status).success);
  }
  return { memory, use };
}

for (
  const [name, bound, direct] of [
    ["is read and written without a connection", {}, true],
    ["goes over TCP for a user who may not read it", { user: true }, false],
    ["goes over TCP from the first write that its owner may not fetch", { owner: true }, false],
  ] as const
) {
  const missing = noShim ?? (direct ? null : boundAbsent());
  Deno.test({
    name: `memory of the caller ${name}${missing === null ? "" : ` (skipped: ${missing})`}`,
    ignore: missing !== null,
    async fn() {
      const { memory, use } = await runBoth(bound);
      assert.deepEqual(use.codes, new Array(10).fill(0));
      assert.equal(use.wrong, 0);
      assert.equal(memory.crc, use.crc);
      assert.deepEqual([memory.servedReads, memory.servedWrites], [5, 5]);
      assert.equal(memory.connections === 0, direct, `${memory.connections} connections`);
      assert.deepEqual(memory.lines, []);
      assert.equal(use.lines.length, direct ? 0 : 1);
      if (!direct) assert.match(use.lines[0], /over TCP: .*process_vm_readv/);
    },
  });
}

/** The example of two agents, each a process: over the memory of the host, and over TCP. */
import assert from "node:assert/strict";
import { LocalProcess } from "../../examples/local_cluster.ts";

const folder = new URL("../../examples/transfer_engine/", import.meta.url).pathname;

for (const flags of [[], ["--tcp"]]) {
  Deno.test(`two agents in two processes move bytes ${flags[0] ?? "on one host"}`, async () => {
    const run = (file: string, ...args: string[]) =>
      new LocalProcess(file, Deno.execPath(), ["run", "-A", folder + file, ...args, ...flags]);
    await using target = run("agent_target.ts");
    const [, address] = / at (\S+)$/.exec(await target.line(/^agent target is at /))!;
    await using initiator = run("agent_initiator.ts", address);
    await initiator.line(/^read: done, "hello from the target"$/);
    await initiator.line(/^first half: running, then done$/);
    await initiator.line(/^second half: done$/);
    await target.line(/^initiator says "all ones"; the bytes add up to 1048576$/);
    assert.equal((await initiator.status).code, 0);
    assert.equal((await target.status).code, 0);
  });
}

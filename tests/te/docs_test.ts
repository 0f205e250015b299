/** What docs/transfer-engine.md shows is run. */
import assert from "node:assert/strict";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { EngineServer, etcdAbsent, testWith } from "../support/engine_servers.ts";

const root = new URL("../../", import.meta.url).pathname;
const page = await Deno.readTextFile(`${root}docs/transfer-engine.md`);

function blocks(language: string): string[] {
  const found = page.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"));
  return Array.from(found, ([, code]) => code);
}

/** The arguments of a line that begins with `deno task snowskin`. */
function commands(block: string): string[][] {
  return block.split("\n").filter((line) => line.startsWith("deno task snowskin "))
    .map((line) => line.split(" ").slice(3));
}

function snowskin(args: string[]): LocalProcess {
  return new LocalProcess("snowskin", Deno.execPath(), [
    "run",
    "-A",
    `${root}snowskin.ts`,
    ...args,
  ]);
}

Deno.test("the two engines of the page print what it says", async () => {
  const script = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(script, blocks("ts")[0].replace("./te.ts", `${root}te.ts`));
    await using program = new LocalProcess("page", Deno.execPath(), ["run", "-A", script]);
    await program.line(/^waiting \[ 0 \]$/);
    await program.line(/^hello from the owner$/);
    assert.equal((await program.status).code, 0);
  } finally {
    await Deno.remove(script);
  }
});

Deno.test("the page's measurement runs", async () => {
  const [target, initiator] = commands(blocks("sh")[0]);
  await using lender = snowskin(target);
  const [, name] = /ready: (\S+)/.exec(await lender.line(/^target ready/))!;
  const shown = initiator.find((arg) => arg.startsWith("--segment_id="));
  await using user = snowskin(initiator.map((arg) => arg === shown ? `--segment_id=${name}` : arg));
  await user.line(/^Test completed: duration 1\.\d\d, batch count [1-9]/);
  assert.equal((await user.status).code, 0);
});

testWith(etcdAbsent, "the page's commands on a metadata server run", async () => {
  await using etcd = await EngineServer.etcd();
  const key = "mooncake/ram/10.0.0.7:12345";
  const put = ["--endpoints", etcd.address, "put", key, "{}"];
  assert(
    (await new Deno.Command("etcdctl", { args: put, env: { ETCDCTL_API: "3" } }).output()).success,
  );
  for (const args of commands(blocks("sh")[1])) {
    await using program = snowskin(
      args.map((arg) => arg.replace("127.0.0.1:2379", etcd.address)),
    );
    if (args[1] === "ls") await program.line(/^mooncake\/ram\/10\.0\.0\.7:12345$/);
    if (args[1] === "get") await program.line(/^\{\}$/);
    assert.equal((await program.status).code, 0, args.join(" "));
  }
});

testWith(etcdAbsent, "the page's files spread", async () => {
  await using etcd = await EngineServer.etcd();
  const folder = await Deno.makeTempDir();
  try {
    const start = (args: string[]) =>
      snowskin(
        args.map((arg) =>
          arg.replace("127.0.0.1:2379", etcd.address).replace("/tmp/llama", folder)
            .replace(/^(README\.md|LICENSE)$/, `${root}$1`)
        ),
      );
    const [seed, get, list, unseed] = commands(blocks("sh")[2]);
    await using seeder = start(seed);
    await seeder.line(/^seeding llama as \S+: 2 files, /);
    await using getter = start(get);
    await getter.line(/^got llama whole: 2 files, /);
    assert.equal((await getter.status).code, 0);
    for (const file of ["README.md", "LICENSE"]) {
      assert.equal(
        await Deno.readTextFile(`${folder}/${file}`),
        await Deno.readTextFile(root + file),
      );
    }
    await using lister = start(list);
    await lister.line(/^llama {2}2 files, \S+ MiB {2}held by 127\.0\.0\.1:\d+$/);
    await using taker = start(unseed);
    await taker.line(/^took llama back from 1 holder$/);
    assert.equal((await seeder.status).code, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

// Goal: with Redis, the loss of a master loses nothing that Redis has kept, and a leader that is no
// longer one answers nothing. Method: as with etcd; Redis syncs its file before it answers.
import assert from "node:assert/strict";
import { EngineServer, redisAbsent, testWith } from "../support/engine_servers.ts";
import { connectTo, HaLoad, HaMasters, valueOf } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";

const MIB = 1 << 20;

function flagsOf(redis: EngineServer): string[] {
  return ["--ha_backend_type=redis", `--ha_backend_connstring=redis://${redis.address}`];
}

testWith(
  redisAbsent,
  "redis: a killed leader is replaced and nothing acknowledged is lost",
  async () => {
    await using redis = await EngineServer.redis();
    await using masters = await HaMasters.start(2, flagsOf(redis));
    await using node = await connectTo(`redis://${redis.address}`, { bytes: 256 * MIB });
    await using client = await connectTo(`redis://${redis.address}`);
    await masters.standbys();
    const load = new HaLoad();
    const writers = [node, client].map((one, i) => load.write(one, `w${i}`));
    await until(() => load.stored.size > 500);
    const leader = await masters.leader();
    const before = load.stored.size;
    await leader.process.stop("SIGKILL");
    await until(() => load.stored.size > before + 300);
    load.stop();
    await Promise.all(writers);
    console.log(
      `longest pause between two acknowledged puts: ${Math.round(load.longestPauseMs)} ms`,
    );
    assert(load.longestPauseMs < 5000);
    await load.check(client);
  },
);

testWith(
  redisAbsent,
  "redis: a frozen leader is replaced; the masters survive a restart of Redis",
  async () => {
    await using redis = await EngineServer.redis();
    await using masters = await HaMasters.start(2, flagsOf(redis));
    await using client = await connectTo(`redis://${redis.address}`, { bytes: 64 * MIB });
    await masters.standbys();
    await client.put("a", valueOf("a"));
    const frozen = await masters.leader();
    frozen.process.kill("SIGSTOP");
    await masters.leader(frozen);
    frozen.process.kill("SIGCONT");
    await frozen.process.line(/this master begins anew: its lease has ended|another master leads/);
    const putUntilTaken = (key: string) =>
      until(() => client.put(key, valueOf(key)).then(() => true, () => false));
    await putUntilTaken("b");
    await redis.stop();
    await redis.start();
    await putUntilTaken("c");
    for (const key of ["a", "b", "c"]) assert.deepEqual(await client.get(key), valueOf(key));
    await masters.standbys();
  },
);

testWith(
  redisAbsent,
  "redis: a password is taken from a file, and a wrong one is told",
  async () => {
    await using redis = await EngineServer.redis("--requirepass", "secret");
    const directory = Deno.makeTempDirSync();
    try {
      await Deno.writeTextFile(`${directory}/good`, "secret\n");
      await Deno.writeTextFile(`${directory}/bad`, "wrong\n");
      const flags = flagsOf(redis);
      await using masters = await HaMasters.start(1, [
        ...flags,
        `--ha_password_file=${directory}/good`,
      ]);
      const wrong = await masters.add([...flags, `--ha_password_file=${directory}/bad`]);
      await wrong.process.line(/this master cannot lead: redis.*(WRONGPASS|NOAUTH)/);
      const { body } = await fetch(`${wrong.adminUrl}/v1/config`);
      assert(!(await new Response(body).text()).includes("secret"));
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);

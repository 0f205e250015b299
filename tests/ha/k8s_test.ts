// Goal: a Kubernetes Lease elects while Redis keeps the log. Method: real masters and Redis; the API
// server is a fake that knows Leases and nothing else (`tests/support/fake_k8s_api.ts`).
import assert from "node:assert/strict";
import process from "node:process";
import { EngineServer, redisAbsent, testWith } from "../support/engine_servers.ts";
import { FakeK8sApi } from "../support/fake_k8s_api.ts";
import { connectTo, HaMasters, valueOf } from "../support/ha_masters.ts";
import { until } from "../support/until.ts";

testWith(
  redisAbsent,
  "fake Kubernetes API: a killed leader is replaced, its log lies in Redis",
  async () => {
    await using api = new FakeK8sApi("account-token");
    await using redis = await EngineServer.redis("--requirepass", "secret");
    const directory = Deno.makeTempDirSync();
    try {
      await Deno.writeTextFile(`${directory}/token`, "account-token");
      await Deno.writeTextFile(`${directory}/password`, "secret");
      await using masters = await HaMasters.start(2, [
        ...["--ha_backend_type=k8s", `--ha_backend_connstring=${api.url}`, "--pod_namespace=prod"],
        ...[
          `--ha_password_file=${directory}/token`,
          `--ha_log_connstring=redis://${redis.address}`,
        ],
        `--ha_log_password_file=${directory}/password`,
      ]);
      process.env.SNOWSKIN_K8S_API = api.url;
      await using client = await connectTo("k8s://prod", {
        ...{ bytes: 64 << 20, password: "account-token" },
      });
      await masters.standbys();
      await client.put("a", valueOf("a"));
      const leader = await masters.leader();
      await leader.process.stop("SIGKILL");
      await until(() => client.put("b", valueOf("b")).then(() => true, () => false));
      assert.deepEqual(await client.get("a"), valueOf("a"));
      assert.equal(api.leases.get("prod/mooncake-cluster")?.spec.leaseTransitions, 1);
    } finally {
      delete process.env.SNOWSKIN_K8S_API;
      Deno.removeSync(directory, { recursive: true });
    }
  },
);

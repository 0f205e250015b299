// Goal: a put into memory that was reserved ahead is a put: stored or not, whoever dies, stands still or
// is out of room meanwhile. Method: real masters, nodes and clients on each engine, as processes where
// one of them is to be killed or stopped.
import assert from "node:assert/strict";
import type { StoreOptions } from "../../client/setup.ts";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { openLibrary } from "../../ffi/library.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { freeze } from "../support/freeze.ts";
import { MasterLives } from "../support/master_lives.ts";
import { LazyMaster, referenceMaster } from "../support/masters.ts";
import { until } from "../support/until.ts";
import { VALUE_BYTES } from "./reserved_puts_main.ts";
import { pattern } from "./store_suite.ts";

const KIB = 1 << 10;
const SIZE = 20 * KIB;
const library = openLibrary();
const noShim = "unavailable" in library ? `the C shim: ${library.unavailable}` : null;
const referenceOnes = new LazyMaster(referenceMaster);
Deno.test.afterAll(() => referenceOnes.stop());

/** A number of the master's metrics. */
async function metric(adminUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  const value = new RegExp(`^${name} ([\\d.e+]+)$`, "m").exec(text);
  assert(value !== null, name);
  return Number(value[1]);
}

/** A value that differs from key to key. */
function valueOf(i: number, size = SIZE): Uint8Array {
  return new Uint8Array(size).fill(1 + i % 250);
}

/** Puts again and again until enough of it went into reserved memory; the keys that were stored. */
async function warm(client: StoreClient, prefix: string, puts = 20): Promise<string[]> {
  const keys: string[] = [];
  for (let i = 0; i < puts; i++) {
    keys.push(`${prefix}/${i}`);
    assert.equal(await client.put(keys[i], valueOf(i)), "stored");
  }
  return keys;
}

for (const engine of ["native", "native, TCP only", "typescript"] as const) {
  const missing = engine === "typescript" ? null : noShim;
  const options: StoreOptions = {
    engine: engine === "typescript" ? engine : "native",
    forceTcp: engine !== "native",
  };
  const test = (name: string, fn: () => Promise<void>) =>
    Deno.test({
      name: `${name}, ${engine} engine${missing ? ` (skipped: ${missing})` : ""}`,
      ignore: missing !== null,
      fn,
    });

  test("puts go into reserved memory, and what is left is given back at the end", async () => {
    const { process, address, adminUrl } = await startMaster();
    const common = { ...options, masterServerAddress: address };
    const node = await StoreClient.connect({ ...common, globalSegmentSize: "64mb" });
    const client = await StoreClient.connect(common);
    const plain = await StoreClient.connect({ ...common, reservedPuts: "off" });
    try {
      const keys = await warm(client, "k", 40);
      assert.deepEqual(client.reservedPuts, { stored: 38, inVain: 0 });
      await warm(plain, "plain");
      assert.deepEqual(plain.reservedPuts, { stored: 0, inVain: 0 });
      for (const [i, key] of keys.entries()) assert.deepEqual(await plain.get(key), valueOf(i));
      assert.equal(await client.put(keys[0], valueOf(9)), "exists");
      assert.deepEqual(client.reservedPuts, { stored: 38, inVain: 1 });
      assert.deepEqual(await client.get(keys[0]), valueOf(0));
      await client.put("more", valueOf(3));
      assert.deepEqual(client.reservedPuts, { stored: 39, inVain: 1 });
      const parallel = Array.from({ length: 16 }, (_, i) => client.put(`p/${i}`, valueOf(i)));
      assert.deepEqual(new Set(await Promise.all(parallel)), new Set(["stored"]));
      for (let i = 0; i < 16; i++) assert.deepEqual(await plain.get(`p/${i}`), valueOf(i));
      await until(async () => await metric(adminUrl, "snowskin_reserved_bytes") > 0);
      await client.close();
      await until(async () => await metric(adminUrl, "snowskin_reserved_bytes") === 0);
      assert.equal(await metric(adminUrl, "snowskin_reservations_expired_total"), 0);
      const used = await metric(adminUrl, "snowskin_reservations_used_total");
      assert.equal(used, client.reservedPuts.stored);
      assert.equal(await metric(adminUrl, "master_key_count"), 40 + 20 + 1 + 16);
      assert.equal(
        await metric(adminUrl, "master_allocated_bytes"),
        (40 + 20 + 1 + 16) * SIZE,
        "nothing else is allocated",
      );
    } finally {
      await client.close();
      await plain.close();
      await node.close();
      await process.stop();
    }
  });

  test("no acknowledged put is lost when the master is killed at any time", async () => {
    await using master = await MasterLives.start();
    const common = { ...options, masterServerAddress: master.address, rpcConnectTimeoutMs: 200 };
    const node = await StoreClient.connect({ ...common, globalSegmentSize: "64mb" });
    const client = await StoreClient.connect(common);
    try {
      const stored: number[] = [];
      let next = 0;
      let running = true;
      const putting = (async () => {
        for (; running; next++) {
          try {
            if (await client.put(`k/${next}`, valueOf(next)) === "stored") stored.push(next);
          } catch (error) {
            if (!(error instanceof StoreError)) throw error;
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        }
      })();
      for (let life = 0; life < 3; life++) {
        const before = client.reservedPuts.stored;
        await until(() => client.reservedPuts.stored > before + 50);
        await master.kill();
        await master.revive();
        await until(() => node.connected && client.connected);
      }
      const before = client.reservedPuts.stored;
      await until(() => client.reservedPuts.stored > before + 20);
      running = false;
      await putting;
      assert(stored.length > 150, `${stored.length} puts`);
      for (const i of stored) assert.deepEqual(await client.get(`k/${i}`), valueOf(i), `k/${i}`);
      assert.equal(client.checksumMismatches, 0);
    } finally {
      await client.close();
      await node.close();
    }
  });
}

Deno.test("a master that keeps nothing refuses a reservation of its life before, and the put is stored", async () => {
  const rpcPort = await freePort();
  const flags = ["--durability=none"];
  let { process } = await startMaster(flags, { rpcPort });
  const common = { masterServerAddress: `127.0.0.1:${rpcPort}`, rpcConnectTimeoutMs: 200 };
  const node = await StoreClient.connect({ ...common, globalSegmentSize: "16mb" });
  const client = await StoreClient.connect(common);
  try {
    for (let life = 0; life < 3; life++) {
      await warm(client, `life ${life}`, 5);
      await process.stop("SIGKILL");
      ({ process } = await startMaster(flags, { rpcPort }));
      await until(() => node.connected && client.connected);
      await until(async () => {
        const outcome = await client.put(`first of ${life}`, valueOf(life)).catch(codeOf);
        return outcome !== ErrorCode.NO_AVAILABLE_HANDLE && outcome !== ErrorCode.RPC_FAIL;
      });
      assert.deepEqual(await client.get(`first of ${life}`), valueOf(life));
    }
  } finally {
    await client.close();
    await node.close();
    await process.stop();
  }
});

Deno.test("the reference's master, which knows no reservations, is met with the old way", {
  ignore: referenceMaster.missing !== null,
}, async () => {
  const { address } = await referenceOnes.get();
  const common = { masterServerAddress: address };
  const node = await StoreClient.connect({ ...common, globalSegmentSize: "16mb" });
  const client = await StoreClient.connect(common);
  try {
    const keys = await warm(client, "k");
    for (const [i, key] of keys.entries()) assert.deepEqual(await client.get(key), valueOf(i));
    assert.deepEqual(client.reservedPuts, { stored: 0, inVain: 0 });
  } finally {
    await client.close();
    await node.close();
  }
});

Deno.test("when the node of a reservation is killed the put is stored elsewhere", async () => {
  const { process: master, address } = await startMaster();
  const nodes = await Promise.all([1, 2, 3].map(() => startNode(address, 16 << 20)));
  const client = await StoreClient.connect({
    masterServerAddress: address,
    transferTimeoutMs: 1000,
  });
  try {
    await warm(client, "before");
    await nodes[0].stop("SIGKILL");
    let [stored, failed] = [0, 0];
    for (let i = 0; i < 60; i++) {
      const outcome = await client.put(`k/${i}`, valueOf(i)).catch(codeOf);
      if (outcome === "stored") {
        stored++;
        assert.deepEqual(await client.get(`k/${i}`), valueOf(i));
      } else {
        assert.equal(outcome, ErrorCode.TRANSFER_FAIL);
        failed++;
      }
    }
    assert(stored >= 55, `${stored} stored, ${failed} failed`);
  } finally {
    await client.close();
    for (const node of nodes) await node.stop();
    await master.stop();
  }
});

Deno.test("a writer that is stopped for longer than its reservation lasts spoils nothing", async () => {
  // A reservation is kept for a third of that.
  const { process: master, address, adminUrl } = await startMaster([
    ...["--put_start_discard_timeout_sec=1", "--put_start_release_timeout_sec=600"],
    ...["--client_ttl=2", "--default_kv_lease_ttl=600", "--max_reserved_ratio=0.2"],
  ]);
  const node = await startNode(address, 32 << 20);
  const other = await StoreClient.connect({ masterServerAddress: address });
  const options = { masterServerAddress: address, earlyReads: "off" };
  const writer = new LocalProcess("writer", Deno.execPath(), [
    ...["run", "-A", new URL("reserved_puts_main.ts", import.meta.url).pathname],
    JSON.stringify(options),
  ]);
  try {
    for (let round = 0; round < 3; round++) {
      const lines = writer.lines.length;
      await until(() => writer.lines.length > lines + 10);
      await freeze(writer);
      const expired = () => metric(adminUrl, "snowskin_reserved_bytes");
      await until(async () => await expired() === 0);
      // Whatever memory is free by now, and once the writer is kept out, belongs to others.
      const values = new Map<string, Uint8Array>();
      for (let i = 0; i < 60; i++) {
        const value = pattern(VALUE_BYTES).fill(251 + i % 5, 0, 1000);
        const key = `others/${round}/${i}`;
        if (await other.put(key, value).catch(codeOf) === "stored") values.set(key, value);
      }
      assert(values.size > 20, `${values.size} of 60 were stored`);
      const stopped = writer.lines.length;
      writer.kill("SIGCONT");
      await until(() => writer.lines.length > stopped + 20);
      let found = 0;
      for (const [key, value] of values) {
        const read = await other.get(key);
        if (read === null) continue;
        found++;
        assert.deepEqual(read, value, key);
      }
      assert(found > 0, "all of them were evicted");
      assert.equal(other.checksumMismatches, 0);
    }
    const stored = writer.lines.filter((line) => line.startsWith("stored "));
    assert(Number(stored.at(-1)!.split(" ")[2]) > 20, stored.at(-1));
    const last = Number(stored.at(-1)!.split(" ")[1]);
    writer.kill("SIGTERM");
    await writer.status;
    assert.deepEqual(await other.get(`own/${last}`), valueOf(last, VALUE_BYTES));
  } finally {
    await writer.stop("SIGKILL");
    await other.close();
    await node.stop();
    await master.stop();
  }
});

Deno.test("tenants have their own keys and quotas, with reservations inside of them", async () => {
  const quotas = await Deno.makeTempFile({ suffix: ".yaml" });
  await Deno.writeTextFile(
    quotas,
    "version: 1\ntenants:\n  - name: alpha\n    quota: 200KB\n  - name: beta\n    quota: 4MB\n",
  );
  const { process: master, address, adminUrl } = await startMaster([
    ...["--enable_multi_tenants=true", "--tenant_quota_connector_type=file"],
    ...[`--tenant_quota_connector_uri=${quotas}`, "--default_kv_lease_ttl=100"],
  ]);
  const common = { masterServerAddress: address };
  const node = await StoreClient.connect({
    ...common,
    globalSegmentSize: "64mb",
    tenantId: "beta",
  });
  const alpha = await StoreClient.connect({ ...common, tenantId: "alpha" });
  const beta = await StoreClient.connect({ ...common, tenantId: "beta" });
  try {
    for (let i = 0; i < 50; i++) {
      assert.equal(await alpha.put(`k/${i}`, valueOf(i)), "stored");
      assert.equal(await beta.put(`k/${i}`, valueOf(100 + i)), "stored");
    }
    // The quota of alpha holds ten: its own oldest have gone for the others, and no reservation did that.
    assert.deepEqual(await alpha.get("k/49"), valueOf(49));
    assert.equal(await alpha.get("k/0"), null);
    for (const i of [0, 49]) assert.deepEqual(await beta.get(`k/${i}`), valueOf(100 + i));
    assert.equal(beta.reservedPuts.stored, 48);
    assert(alpha.reservedPuts.stored < 48, "a full quota has no room for reservations");
    const charged = await metric(
      adminUrl,
      'mooncake_tenant_quota_charged_bytes\\{tenant_id="alpha"\\}',
    );
    assert(charged <= 200 * KIB, `${charged} bytes`);
  } finally {
    await alpha.close();
    await beta.close();
    await node.close();
    await master.stop();
    await Deno.remove(quotas);
  }
});

function codeOf(error: unknown): number {
  if (!(error instanceof StoreError)) throw error;
  return error.code;
}

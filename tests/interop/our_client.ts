/**
 * Our client on a cluster, ours or the reference's, with a client of the published wheel beside it:
 * each reads what the other wrote.
 */
import { StoreClient } from "../../mod.ts";
import { StoreError } from "../../proto/error.ts";
import { JsonPeer } from "../../bench/json_peer.ts";
import type { Wheel } from "../support/wheel.ts";
import type { Step } from "./steps.ts";

const script = new URL("wheel_peer.py", import.meta.url).pathname;
const sizes = [1, 100, 4096, 65_537, 1_000_003, 5 << 20];

/** Same bytes as `pattern` of `wheel_peer.py`. */
function pattern(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => i * 31 + seed * 17 + (i >> 8));
}

function summary(value: Uint8Array | null): unknown {
  if (value === null) return null;
  const head = Array.from(value.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0"));
  return {
    size: value.length,
    sum: value.reduce((sum, byte) => sum + byte, 0),
    head: head.join(""),
  };
}

async function outcome(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call() ?? "done";
  } catch (error) {
    if (error instanceof StoreError) return { code: error.code };
    throw error;
  }
}

/** Starts `wheel_peer.py` and waits for its set-up; `hello.code` says how that went. */
export function startWheelPeer(
  wheel: Extract<Wheel, { python: string }>,
  master: string,
  metadata: string,
  segmentBytes: number,
  env: Record<string, string> = {},
): Promise<{ peer: JsonPeer; hello: { code: number; name: string } }> {
  return JsonPeer.start(
    wheel.python,
    ["-B", script, master, metadata, String(segmentBytes)],
    { MC_TCP_BIND_ADDRESS: "127.0.0.1", ...env },
  );
}

/**
 * Runs our client through its operations against `master`; the wheel's client lends `segmentBytes`.
 */
export async function ourClientSteps(
  wheel: Extract<Wheel, { python: string }>,
  options: { master: string; metadata: string; segmentBytes: number },
): Promise<Step[]> {
  const { master, metadata, segmentBytes } = options;
  const { peer: theirs } = await startWheelPeer(wheel, master, metadata, segmentBytes);
  await using _theirs = theirs;
  await using ours = await StoreClient.connect({
    masterServerAddress: master,
    metadataServer: metadata,
    localHostname: "127.0.0.1",
    localBufferSize: "32mib",
  });
  const steps: Step[] = [];
  const step = async (name: string, call: () => Promise<unknown>) =>
    void steps.push({ step: name, result: await outcome(call) });

  for (const size of sizes) {
    await step(`we put ${size} bytes`, () => ours.put(`ours/${size}`, pattern(size, 3)));
    await step(
      `the wheel gets ${size} bytes`,
      () => theirs.ask({ do: "get", key: `ours/${size}` }),
    );
    await step(
      `the wheel puts ${size}`,
      () => theirs.ask({ do: "put", key: `theirs/${size}`, size, seed: 5 }),
    );
    await step(`we get ${size} bytes`, async () => summary(await ours.get(`theirs/${size}`)));
    await step(`we ask the size of ${size}`, () => ours.getSize(`theirs/${size}`));
  }
  await step("we put an existing key", () => ours.put("ours/100", pattern(100, 9)));
  await step("it kept its value", async () => summary(await ours.get("ours/100")));
  await step("we upsert it", () => ours.upsert("ours/100", pattern(100, 9)));
  await step("the wheel gets the new value", () => theirs.ask({ do: "get", key: "ours/100" }));
  await step("we upsert another size", () => ours.upsert("ours/100", pattern(300, 9)));
  await step("the wheel gets that", () => theirs.ask({ do: "get", key: "ours/100" }));
  await step("we put an empty value", () => ours.put("ours/empty", new Uint8Array(0)));
  await step("we get a missing key", async () => summary(await ours.get("none")));
  await step("we look for keys", () => ours.batchIsExist(["ours/1", "theirs/1", "none"]));
  const keys = Array.from({ length: 300 }, (_, i) => `batch/${i}`);
  await step("we put 300 in a batch", async () => {
    const results = await ours.batchPut(keys.map((key, i) => ({ key, value: pattern(50 + i, i) })));
    return results.filter(({ code }) => code === 0).length;
  });
  await step("the wheel gets one of them", () => theirs.ask({ do: "get", key: "batch/299" }));
  await step("we get them", async () => {
    const results = await ours.batchGet(keys);
    return results.map(({ value }) => summary(value));
  });
  await step("we get ranges", async () => {
    const ranges = [{ offset: 10, length: 100 }, { offset: 60_000, length: 5000 }];
    return (await ours.getRanges("theirs/65537", ranges))?.map(summary);
  });
  await step("we remove under a lease", () => ours.remove("theirs/1"));
  await step("we remove by force", () => ours.remove("theirs/1", { force: true }));
  await step("the wheel misses it", () => theirs.ask({ do: "get", key: "theirs/1" }));
  await step("we remove by regex", () => ours.removeByRegex("^batch/1", { force: true }));
  await step("we use a bad regex", () => ours.removeByRegex("(["));
  await step(
    "more than there is room for",
    () => ours.put("ours/huge", new Uint8Array(segmentBytes + 1)),
  );
  await step("we remove everything", async () => await ours.removeAll({ force: true }) > 100);
  await step("nothing is left", () => ours.batchIsExist(["ours/1", "batch/299"]));
  return steps;
}

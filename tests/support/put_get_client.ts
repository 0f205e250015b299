/**
 * A client in a process of its own, for places that the process of a test is not in: puts and gets
 * values of several sizes, and prints `same` when all came back as they were.
 *
 *     deno run -A tests/support/put_get_client.ts MASTER METADATA ENGINE
 */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import type { EngineChoice } from "../../client/setup.ts";

if (import.meta.main) {
  const [masterServerAddress, metadataServer, engine] = Deno.args;
  await using client = await StoreClient.connect({
    ...{ masterServerAddress, metadataServer, forceTcp: true },
    engine: engine as EngineChoice,
  });
  for (const length of [1, 4096, 3_000_000]) {
    const value = new Uint8Array(length).map((_, i) => i * 13);
    assert.equal(await client.put(`k${length}`, value), "stored");
    assert.deepEqual(await client.get(`k${length}`), value);
  }
  console.log("same");
}

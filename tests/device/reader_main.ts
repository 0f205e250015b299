/** Reads `kept` from the master that the argument names, says so, and stays. */
import { StoreClient } from "../../client/store_client.ts";
import { until } from "../support/until.ts";

const client = await StoreClient.connect({
  ...{ masterServerAddress: Deno.args[0], engine: "native", localBufferSize: 4 << 20 },
});
await until(async () => await client.get("kept") !== null);
console.log("read");
await new Response(Deno.stdin.readable).text();

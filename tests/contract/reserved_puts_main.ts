/**
 * A client as a process, to be stopped at any instruction (SIGSTOP) and continued: it puts values of one
 * size and says of each what came of it, until it is asked to end (SIGTERM).
 *
 *     deno run -A tests/contract/reserved_puts_main.ts '{"masterServerAddress": "127.0.0.1:50051"}'
 */
import { StoreClient } from "../../client/store_client.ts";
import { StoreError } from "../../proto/error.ts";

/** Bytes of each value, all of them the same. */
export const VALUE_BYTES = 256 << 10;

if (import.meta.main) {
  const client = await StoreClient.connect(JSON.parse(Deno.args[0]));
  let running = true;
  Deno.addSignalListener("SIGTERM", () => running = false);
  const value = new Uint8Array(VALUE_BYTES);
  for (let i = 0; running; i++) {
    value.fill(1 + i % 250);
    try {
      console.log(`${await client.put(`own/${i}`, value)} ${i} ${client.reservedPuts.stored}`);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      console.log(`failed ${i} ${error.message}`);
    }
  }
  await client.close();
}

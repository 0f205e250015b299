import assert from "node:assert/strict";
import { createServer } from "node:net";
import { listenInRange } from "./port_range.ts";

const taken = () => Promise.reject(Object.assign(new Error("in use"), { code: "EADDRINUSE" }));

Deno.test("every port of the range is tried once before the range counts as full", async () => {
  for (const [low, high] of [[100, 100], [100, 101], [7, 66], [15000, 15099]]) {
    for (const random of [0, 0.3, 0.999]) {
      const tried: number[] = [];
      await assert.rejects(
        listenInRange({ low, high, random: () => random }, (port) => {
          tried.push(port);
          return taken();
        }),
        new RegExp(`No port from ${low} to ${high} is free`),
      );
      const all = Array.from({ length: high - low + 1 }, (_, i) => low + i);
      assert.deepEqual(tried.toSorted((a, b) => a - b), all);
    }
  }
});

Deno.test("a port that a real socket holds is passed over", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const found = await listenInRange(
    { low: port, high: port + 3, random: () => 0 },
    async (port) => {
      const other = createServer();
      await new Promise<void>((resolve, reject) => {
        other.on("error", reject);
        other.listen(port, "127.0.0.1", resolve);
      });
      await new Promise((resolve) => other.close(resolve));
      return port;
    },
  );
  assert(found > port && found <= port + 3);
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("another failure than a port in use ends the search", async () => {
  let calls = 0;
  const refused = listenInRange({ low: 1, high: 9, random: () => 0 }, () => {
    calls++;
    return Promise.reject(new Error("no such address"));
  });
  await assert.rejects(refused, /no such address/);
  assert.equal(calls, 1);
});

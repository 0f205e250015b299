import assert from "node:assert/strict";
import type { ReplicaDescriptor, ReplicaLocation } from "../proto/types.ts";
import { ReplicaStatus } from "../proto/types.ts";
import { FakeClock } from "../tests/support/fake_clock.ts";
import { ReplicaChoice } from "./replica_choice.ts";

function memory(endpoint: string, status: number = ReplicaStatus.COMPLETE): ReplicaDescriptor {
  const buffer = { size: 1, bufferAddress: 1n, protocol: "tcp", transportEndpoint: endpoint };
  return { id: 1, status, location: { kind: "memory", buffer } };
}

function other(location: ReplicaLocation): ReplicaDescriptor {
  return { id: 1, status: ReplicaStatus.COMPLETE, location };
}

function endpoints(choice: ReplicaChoice, replicas: ReplicaDescriptor[], own = "me:1"): string[] {
  return choice.order(replicas, own).map(({ transportEndpoint }) => transportEndpoint);
}

Deno.test("a replica of this process is read before any other", () => {
  const choice = new ReplicaChoice(new FakeClock(), 0);
  for (let i = 0; i < 3; i++) {
    assert.equal(endpoints(choice, [memory("a:1"), memory("me:1"), memory("b:1")])[0], "me:1");
  }
});

Deno.test("equal replicas take turns", () => {
  const choice = new ReplicaChoice(new FakeClock(), 7);
  const replicas = [memory("a:1"), memory("b:1"), memory("c:1")];
  const firsts = Array.from({ length: 6 }, () => endpoints(choice, replicas)[0]);
  assert.deepEqual(firsts.toSorted(), ["a:1", "a:1", "b:1", "b:1", "c:1", "c:1"]);
});

Deno.test("a peer that failed is read last until it has cooled down or worked again", async () => {
  const clock = new FakeClock();
  const choice = new ReplicaChoice(clock, 0);
  const replicas = [memory("a:1"), memory("b:1")];
  choice.note("a:1", false);
  for (let i = 0; i < 4; i++) assert.deepEqual(endpoints(choice, replicas), ["b:1", "a:1"]);
  choice.note("a:1", true);
  const healed = new Set(Array.from({ length: 4 }, () => endpoints(choice, replicas)[0]));
  assert.equal(healed.size, 2);
  choice.note("b:1", false);
  await clock.advance(5000);
  const cooled = new Set(Array.from({ length: 4 }, () => endpoints(choice, replicas)[0]));
  assert.equal(cooled.size, 2);
});

Deno.test("a peer that keeps failing is left alone for longer and longer", async () => {
  const clock = new FakeClock();
  const choice = new ReplicaChoice(clock, 0);
  const replicas = [memory("a:1"), memory("b:1")];
  const avoided = () => [0, 1, 2, 3].every(() => endpoints(choice, replicas)[0] === "b:1");
  for (const coolDownMs of [2000, 4000, 8000, 16_000, 32_000, 32_000]) {
    choice.note("a:1", false);
    await clock.advance(coolDownMs - 1);
    choice.note("a:1", false);
    assert(avoided(), `${coolDownMs}`);
    await clock.advance(1);
    assert(!avoided(), `${coolDownMs}`);
  }
  choice.note("a:1", true);
  choice.note("a:1", false);
  await clock.advance(2000);
  assert(!avoided(), "one success forgets the past");
});

Deno.test("unfinished replicas and replicas outside memory are not offered", () => {
  const choice = new ReplicaChoice(new FakeClock(), 0);
  const disk = other({ kind: "disk", filePath: "/f", objectSize: 1 });
  const processing = memory("b:1", ReplicaStatus.PROCESSING);
  assert.deepEqual(endpoints(choice, [processing, disk, memory("a:1")]), ["a:1"]);
  assert.deepEqual(endpoints(choice, [processing, disk]), []);
});

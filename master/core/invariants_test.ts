// Goal: a core that is not sound is told apart from one that is, and what is wrong is named.
// Method: sound cores are damaged by hand, one thing at a time.
import assert from "node:assert/strict";
import { Chaos } from "../../tests/support/core_chaos.ts";
import { CoreDriver, MIB } from "../../tests/support/core_driver.ts";
import { Counter } from "./counters.ts";
import { violations } from "./invariants.ts";
import { ObjectFlag, ObjectLink } from "./objects.ts";
import type { CoreState } from "./state.ts";

function soundState(): CoreState {
  const driver = new CoreDriver();
  driver.mount(1, MIB);
  driver.put("one", 100);
  driver.put("two", 1000);
  driver.start("three", 50);
  return driver.core.state;
}

function found(state: CoreState): string {
  return Array.from(violations(state)).join("\n");
}

const slotOf = ({ objects }: CoreState, key: string) =>
  objects.find(0, new TextEncoder().encode(key), 0, key.length);

Deno.test("a sound core has no violations", () => {
  assert.equal(found(soundState()), "");
  const chaos = new Chaos(4);
  for (let i = 0; i < 1000; i++) chaos.step();
  assert.equal(found(chaos.driver.core.state), "");
});

const damages: [name: string, damage: (state: CoreState) => void, told: RegExp][] = [
  [
    "two replicas in one extent",
    (state) => {
      const replica = state.objects.link(slotOf(state, "one"), ObjectLink.REPLICA);
      state.objects.setLink(slotOf(state, "two"), ObjectLink.REPLICA, replica);
    },
    /replica \d+ of object two of tenant 0 shares its extent/,
  ],
  [
    "an extent that nobody owns",
    (state) => state.extents.setOwner(state.segments.find(0)!.allocator.first, 0),
    /the owner of the extent at unit 0 of segment 1-1 .* is \d+ where it must be 0/,
  ],
  [
    "an object without replicas",
    (state) => state.objects.setLink(slotOf(state, "one"), ObjectLink.REPLICA, 0),
    /object one of tenant 0 has no replica/,
  ],
  [
    "an object in no order of eviction",
    (state) => state.recency.remove(slotOf(state, "one")),
    /object one of tenant 0 is in no order of eviction/,
  ],
  [
    "a flag that lies",
    (state) => state.objects.clear(slotOf(state, "two"), ObjectFlag.IN_MEMORY),
    /"in memory" of object two of tenant 0 is false where it must be true/,
  ],
  [
    "a count that is off",
    (state) => state.counters.add(Counter.ALLOCATED_BYTES, 64),
    /the count of bytes in use is \d+ where it must be \d+/,
  ],
  [
    "a replica id of the future",
    (state) => state.nextReplicaId = 1,
    /replica \d+ of object one of tenant 0 has an id of the future/,
  ],
];

for (const [name, damage, told] of damages) {
  Deno.test(`${name} is told`, () => {
    const state = soundState();
    damage(state);
    assert.match(found(state), told);
  });
}

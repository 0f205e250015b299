import assert from "node:assert/strict";
import { CoreDriver } from "../../tests/support/core_driver.ts";
import { Replies } from "../rpc/replies.ts";
import { CoreSeat } from "./core_seat.ts";
import { startingStatus } from "./member_status.ts";
import { ReplicatedCore } from "./replicated_core.ts";

Deno.test("a master says that it leads while the log takes its changes, not before and not after", () => {
  const { core } = new CoreDriver();
  const clock = () => 0;
  const seat = new CoreSeat({ core, sequence: 0, clock, send() {}, warn() {} });
  const leading = new ReplicatedCore({
    ...{ core, clock, replies: new Replies(), send() {}, refuseChanges() {}, onRefusal() {} },
  });
  seat.take({ type: "promoted", epoch: 1, sequence: 0, validUntilMs: 1000 });
  seat.take({ type: "status", status: { ...startingStatus, role: "leader", state: "serving" } });
  assert.equal(seat.standing, "promoted");
  assert.equal(seat.status.role, "standby");
  seat.lead(leading);
  assert.equal(seat.status.role, "leader");
  seat.take({ type: "over", why: "another master leads" });
  assert.equal(seat.status.role, "standby");
  assert.equal(seat.outcome, "over");
});

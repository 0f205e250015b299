// Goal: no request, whatever its bytes, makes a handler throw or the dispatcher lose its way.
// Method: damaged golden requests, all of them framed right, are served by a real core with every
// call of the master; each is answered once, now or after a wait, and good requests go on being
// served.
import assert from "node:assert/strict";
import * as m from "../../proto/messages.ts";
import { bytesOf, MIB } from "../../tests/support/core_driver.ts";
import {
  damagedRequest,
  goldenRequests,
  ourRequests,
  REQUEST_HEADER_BYTES,
} from "../../tests/support/damaged_requests.ts";
import { chosenSeed, Random } from "../../tests/support/random.ts";
import { ServedCore } from "../../tests/support/served_core.ts";

const FRAMES = 40_000;

Deno.test("damaged requests are answered, every one of them once", () => {
  const seed = chosenSeed();
  const random = new Random(seed);
  const golden = [...goldenRequests(), ...ourRequests()];
  const both = new ServedCore({ putWaitMs: 5, core: { enableOffload: true } });
  const { rpc, served } = both;
  both.mount(1, MIB);
  let results = 0;
  let refused = 0;
  let answered = 0;
  for (let i = 0; i < FRAMES; i++) {
    const frame = random.oneIn(4) ? random.pick(golden) : damagedRequest(golden, random);
    const functionId = new DataView(frame.buffer).getUint32(8, true);
    rpc.send(functionId, frame.subarray(REQUEST_HEADER_BYTES), 1 + random.below(5));
    if (random.oneIn(20)) rpc.retry(random.below(10));
    if (random.oneIn(3)) rpc.scan();
    if (random.oneIn(50)) served.core.tick(rpc.nowMs);
    for (const { errorCode } of rpc.take()) {
      answered++;
      if (errorCode === 0) results++;
      else refused++;
    }
    const [fault] = rpc.faults;
    assert(fault === undefined, `seed ${seed}, frame ${i}: ${fault?.name}: ${fault?.error}`);
  }
  rpc.retry(1000);
  while (rpc.dispatcher.scanning > 0) rpc.scan();
  answered += rpc.take().length;
  assert.equal(answered, FRAMES, `seed ${seed}`);
  assert.equal(rpc.dispatcher.waiting, 0);
  assert(results > FRAMES / 10 && refused > FRAMES / 10, `${results} results, ${refused} refused`);
  const answer = rpc.ask(m.ExistKey, { key: bytesOf("nothing"), tenantId: bytesOf("") });
  assert.deepEqual(answer, { code: 0, value: false }, `seed ${seed}`);
});

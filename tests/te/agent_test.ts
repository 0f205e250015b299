/** What agents refuse, and what of them needs no second process. */
import assert from "node:assert/strict";
import {
  type AgentOptions,
  type DescriptorList,
  descriptorList,
  deserializeDescriptors,
  EngineCode,
  serializeDescriptors,
  TransferAgent,
} from "../../te.ts";
import { ReferenceMetadata } from "../support/reference_metadata.ts";
import { engineError } from "../contract/te_suite.ts";

const { INVALID_ARGUMENT, ADDRESS_NOT_REGISTERED, ADDRESS_OVERLAPPED, METADATA } = EngineCode;

/** Two agents that know each other. */
async function pair(options: AgentOptions = {}) {
  const a = await TransferAgent.open("a", options);
  const b = await TransferAgent.open("b", options);
  const [mine] = [await a.registerMemory([4096])];
  const theirs = await b.registerMemory([4096, new Uint8Array(8192)]);
  a.addRemoteAgent(b.getMetadata());
  return {
    ...{ a, b, mine, theirs },
    async [Symbol.asyncDispose]() {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
    },
  };
}

function listOf(list: DescriptorList, ...which: number[]): DescriptorList {
  return { type: list.type, descriptors: which.map((i) => list.descriptors[i]) };
}

Deno.test("an agent moves bytes within itself, and tells itself", async () => {
  await using agent = await TransferAgent.open("alone");
  const lists = await agent.registerMemory([4096, new Uint8Array(4096).fill(7)]);
  const [to, from] = lists.memory;
  const copy = agent.initializeTransfer("write", listOf(lists, 1), listOf(lists, 0), "alone", {
    notification: Uint8Array.of(0, 255),
  });
  agent.post(copy);
  assert.equal(await copy.wait(), "done", copy.error?.message);
  assert.deepEqual(to.bytes, from.bytes);
  assert.deepEqual(agent.takeNotifications(), new Map([["alone", [Uint8Array.of(0, 255)]]]));
  await agent.release(copy);
  assert.throws(() => agent.post(copy), engineError(INVALID_ARGUMENT, /is released/));
});

Deno.test("wrong options, names and descriptors of an agent are one line", async () => {
  const options: [unknown, Record<string, unknown>, RegExp][] = [
    ["", {}, /^name="" is refused; allowed: 1 to 256 characters, no control/],
    ["a\n", {}, /^name="a\\n" is refused/],
    ["a", { listen: 1 }, /^listen=1 is refused; allowed: true, false/],
    ["a", { onNotify: () => {} }, /^onNotify="\.\.\." is refused; allowed: onNotification/],
    ["a", { backends: ["UCX"] }, /^backends="\.\.\." is refused; allowed: localServerName, /],
  ];
  for (const [name, more, text] of options) {
    await assert.rejects(
      TransferAgent.open(name as string, more as AgentOptions),
      engineError(INVALID_ARGUMENT, text),
    );
  }
  await using both = await pair();
  const { a, mine, theirs } = both;
  const good = mine.descriptors[0];
  const { address } = good;
  const lists: [unknown, EngineCode, RegExp][] = [
    [
      { type: "FILE", descriptors: [] },
      INVALID_ARGUMENT,
      /^type="FILE" is refused; allowed: DRAM, V/,
    ],
    [
      { type: "DRAM" },
      INVALID_ARGUMENT,
      /^local="undefined" is refused; allowed: a descriptor list/,
    ],
    [
      [{ ...good, address: 5 }],
      INVALID_ARGUMENT,
      /^local\[0\]\.address="5" is refused; allowed: a big/,
    ],
    [[{ ...good, length: 0 }], INVALID_ARGUMENT, /^local\[0\]\.length=0 is refused/],
    [[good, { ...good, deviceId: -1 }], INVALID_ARGUMENT, /^local\[1\]\.deviceId=-1 is refused/],
    [
      [{ ...good, deviceId: 1 }],
      ADDRESS_NOT_REGISTERED,
      /^Descriptor 0 of local \[0x[0-9a-f]+, 4096 bytes, DRAM device 1\] does not lie in one piece/,
    ],
    [[{ ...good, length: 4097 }], ADDRESS_NOT_REGISTERED, /it has \[0x[0-9a-f]+, 4096 bytes, DRAM/],
    [{ type: "VRAM", descriptors: [good] }, ADDRESS_NOT_REGISTERED, /it has no VRAM memory$/],
  ];
  for (const [list, code, text] of lists) {
    const whole = Array.isArray(list) ? { type: "DRAM", descriptors: list } : list;
    assert.throws(
      () => a.prepareDescriptors("local", whole as DescriptorList),
      engineError(code, text),
    );
  }
  assert.throws(
    () => a.prepareDescriptors({ agent: "c" }, theirs),
    engineError(INVALID_ARGUMENT, /^Agent "c" is not known: addRemoteAgent .*; known: "b"$/),
  );
  assert.throws(
    () => a.prepareDescriptors({ agent: "b" }, mine),
    engineError(ADDRESS_NOT_REGISTERED, /^Descriptor 0 of remote agent "b" \[0x.* and|it has \[/),
  );
  const near = a.prepareDescriptors("local", mine);
  const far = a.prepareDescriptors({ agent: "b" }, theirs);
  const made: [() => unknown, RegExp][] = [
    [() => a.makeTransfer("copy" as "read", near, [0], far, [0]), /^operation="copy" is refused/],
    [() => a.makeTransfer("read", far, [0], far, [0]), /^local="of b" is refused/],
    [() => a.makeTransfer("read", near, [0], near, [0]), /^remote="local" is refused/],
    [() => a.makeTransfer("read", near, [0], far, [0, 1]), /^remoteIndices="2 of them" is refused/],
    [() => a.makeTransfer("read", near, [], far, []), /^remoteIndices="0 of them" is refused/],
    [() => a.makeTransfer("read", near, [1], far, [0]), /^localIndices\[0\]=1 .*from 0 to 0$/],
    [() => a.makeTransfer("read", near, [0], far, [2]), /^remoteIndices\[0\]=2 .*from 0 to 1$/],
    [() => a.makeTransfer("read", near, [0], far, [1]), /one of 4096 bytes as local 0, not 8192$/],
  ];
  for (const [make, text] of made) assert.throws(make, engineError(INVALID_ARGUMENT, text));
  const bytes = new Uint8Array(64);
  await a.registerMemory([bytes]);
  await assert.rejects(a.registerMemory([bytes]), engineError(ADDRESS_OVERLAPPED, /already/));
  await assert.rejects(a.registerMemory([]), engineError(INVALID_ARGUMENT, /^memories="none"/));
  await assert.rejects(
    a.registerMemory([64], "VRAM"),
    engineError(INVALID_ARGUMENT, /^memories\[0\]="number" is refused; allowed: with VRAM, /),
  );
  await assert.rejects(
    a.deregisterMemory(descriptorList("DRAM", [[address, 64, 0]])),
    engineError(ADDRESS_NOT_REGISTERED, /is not registered as such with this agent: it has \[/),
  );
});

Deno.test("metadata that were cut, changed or belong to somebody else are refused", async () => {
  await using both = await pair();
  const { a, b } = both;
  const bytes = b.getMetadata();
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(
      () => a.addRemoteAgent(bytes.subarray(0, length)),
      engineError(INVALID_ARGUMENT, /^\d+ bytes are no metadata of an agent: /),
    );
  }
  for (let at = 0; at < bytes.length * 8; at += 3) {
    const changed = bytes.slice();
    changed[at >> 3] ^= 1 << (at & 7);
    assert.throws(
      () => a.addRemoteAgent(changed),
      engineError(INVALID_ARGUMENT, /are no metadata/),
    );
  }
  assert.throws(() => a.addRemoteAgent(a.getMetadata()), engineError(INVALID_ARGUMENT, /own name/));
  const list = serializeDescriptors(both.theirs);
  assert.deepEqual(deserializeDescriptors(list), {
    ...{ type: "DRAM", descriptors: both.theirs.descriptors },
  });
  list[9] ^= 1;
  assert.throws(
    () => deserializeDescriptors(list),
    engineError(INVALID_ARGUMENT, /^\d+ bytes are no descriptor list: its checksum is wrong/),
  );
  assert.throws(
    () => deserializeDescriptors(bytes),
    engineError(INVALID_ARGUMENT, /no descriptor/),
  );
});

Deno.test("metadata follow registrations, in part or as a whole, and never go back", async () => {
  await using both = await pair();
  const { a, b, theirs } = both;
  const old = b.getMetadata();
  const more = await b.registerMemory([4096]);
  assert.equal(a.hasRemoteAgent("b", more), false);
  a.addRemoteAgent(b.getPartialMetadata(more));
  assert(a.hasRemoteAgent("b", more) && a.hasRemoteAgent("b", theirs));
  await b.deregisterMemory(listOf(theirs, 0));
  a.addRemoteAgent(b.getMetadata());
  assert.equal(a.hasRemoteAgent("b", listOf(theirs, 0)), false);
  a.addRemoteAgent(old);
  assert.equal(a.hasRemoteAgent("b", listOf(theirs, 0)), false, "older metadata change nothing");
  assert(a.hasRemoteAgent("b", more));
  assert.equal(a.remoteMemory("b").descriptors.length, 2);

  await using c = await TransferAgent.open("c");
  assert.equal(c.addRemoteAgent(b.getPartialMetadata(more)), "b");
  await assert.rejects(
    c.makeConnection("b"),
    engineError(METADATA, /do not tell how it is reached/),
  );
  c.addRemoteAgent(b.getPartialMetadata({ type: "DRAM", descriptors: [] }, { connection: true }));
  await c.makeConnection("b");
  assert.throws(
    () => b.getPartialMetadata(listOf(theirs, 0)),
    engineError(ADDRESS_NOT_REGISTERED, /is not registered as such/),
  );

  // The other end took memory back, and this one has not heard of it.
  const far = a.prepareDescriptors({ agent: "b" }, listOf(more, 0));
  const near = a.prepareDescriptors("local", both.mine);
  const transfer = a.makeTransfer("write", near, [0], far, [0], { notification: "never" });
  await b.deregisterMemory(more);
  a.post(transfer);
  assert.equal(await transfer.wait(), "failed");
  assert.equal(transfer.error!.code, ADDRESS_NOT_REGISTERED);
  assert.equal(b.takeNotifications().size, 0, "a failed transfer tells nobody");
  a.removeRemoteAgent("b");
  assert.equal(a.hasRemoteAgent("b"), false);
  a.post(transfer);
  assert.equal(await transfer.wait(), "failed");
  assert.match(transfer.error!.message, /^Agent "b" was removed, /);
});

Deno.test("notifications are taken by agent or by tag, and refused when too many wait", async () => {
  await using both = await pair({ maxNotifications: 3 });
  const { a, b } = both;
  for (const text of ["layer 1", "layer 2", "end of layers"]) await a.sendNotification("b", text);
  await assert.rejects(
    a.sendNotification("b", "one too many"),
    engineError(EngineCode.REJECT_HANDSHAKE, /refused a notification/),
  );
  assert.equal(b.takeNotification("a", "layer 2"), true);
  assert.equal(b.takeNotification("a", "layer 2"), false);
  assert.equal(b.takeNotification("a", "of layers"), false);
  assert.equal(b.takeNotification("a", "of layers", true), true);
  await both.b.engine.notify(b.address, "plain words", "an engine");
  const decode = (message: Uint8Array) => new TextDecoder().decode(message);
  assert.deepEqual(
    [...b.takeNotifications()].map(([from, messages]) => [from, messages.map(decode)]),
    [["a", ["layer 1"]], ["an engine", ["plain words"]]],
  );
  await assert.rejects(
    a.sendNotification("b", new Uint8Array(600 << 10)),
    engineError(INVALID_ARGUMENT, /^message="614400 bytes" is refused; allowed: at most 524288/),
  );
  // The bytes are in place, and nobody took the words.
  for (let i = 0; i < 3; i++) await a.sendNotification("b", "x");
  const to = listOf(both.theirs, 0);
  const write = a.initializeTransfer("write", both.mine, to, "b", { notification: "no room" });
  a.post(write);
  assert.equal(await write.wait(), "failed");
  assert.equal(write.error!.code, EngineCode.REJECT_HANDSHAKE);
});

Deno.test("metadata are sent to, asked of and taken back from agents that listen", async () => {
  await using silent = await TransferAgent.open("silent");
  await using open = await TransferAgent.open("open", { listen: true });
  await silent.fetchMetadata("open", { from: open.address });
  assert(silent.hasRemoteAgent("open"));
  await silent.sendMetadata({ to: open.address });
  assert(open.hasRemoteAgent("silent"));
  await silent.invalidateMetadata({ to: open.address });
  assert.equal(open.hasRemoteAgent("silent"), false);
  const refused = engineError(EngineCode.REJECT_HANDSHAKE, /refused a notification/);
  await assert.rejects(open.sendMetadata({ to: silent.address }), refused);
  await assert.rejects(open.fetchMetadata("silent", { from: silent.address }), refused);
  await assert.rejects(
    open.fetchMetadata("silent"),
    engineError(INVALID_ARGUMENT, /^fetchMetadata without "from" needs a metadata service; /),
  );
  await using hasty = await TransferAgent.open("hasty", { handshakeTimeoutMs: 300 });
  await assert.rejects(
    hasty.fetchMetadata("somebody else", { from: open.address }),
    engineError(EngineCode.TIMEOUT, /^No metadata of agent "somebody else" came from /),
  );
});

Deno.test("a metadata server keeps agents by name until they are closed", async () => {
  await using store = await ReferenceMetadata.start();
  await using user = await TransferAgent.open("user", { metadata: store.url });
  await assert.rejects(
    user.fetchMetadata("lender"),
    engineError(METADATA, /^The metadata server has no agent "lender"$/),
  );
  {
    await using lender = await TransferAgent.open("lender", { metadata: store.url });
    await lender.registerMemory([4096]);
    await lender.sendMetadata();
    await user.fetchMetadata("lender");
    assert.equal(user.remoteMemory("lender").descriptors.length, 1);
    await lender.invalidateMetadata();
    await assert.rejects(user.fetchMetadata("lender"), engineError(METADATA, /has no agent/));
    await lender.sendMetadata();
  }
  await assert.rejects(user.fetchMetadata("lender"), engineError(METADATA, /has no agent/));
});

Deno.test("a transfer that is released while it runs leaves its memory alone", async () => {
  await using both = await pair();
  const { a, theirs, mine } = both;
  const write = a.initializeTransfer("write", mine, listOf(theirs, 0), "b");
  a.post(write);
  await a.release(write);
  assert.notEqual(a.check(write), "running");
  await a.deregisterMemory(mine);
});

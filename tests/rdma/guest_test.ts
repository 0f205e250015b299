/** RDMA on real verbs: Soft-RoCE devices rxe0 and rxe1, two ends of a wire that can be disturbed. */
import assert from "node:assert/strict";
import { command, cpuMs, guestTest, pattern, python, sentPackets, WheelPeer } from "./guest.ts";
import { master } from "./shared_master.ts";

const MIB = 1 << 20;

guestTest(
  "objects of all sizes go over the wire to a node and come back as they were",
  async () => {
    const node = await master!.client("rxe1", { globalSegmentSize: 64 * MIB, localBufferSize: 0 });
    const client = await master!.client("rxe0");
    try {
      const before = sentPackets("rxe0");
      for (const size of [1, 63, 4096, 65_537, MIB, 3 * MIB + 5]) {
        const value = pattern(size);
        await client.put(`k${size}`, value);
        assert.deepEqual(await client.get(`k${size}`), value);
      }
      assert(sentPackets("rxe0") - before > 1000, "the bytes did not go through rxe0");
    } finally {
      await client.close();
      await node.close();
    }
  },
);

guestTest("slices of one transfer are spread over two devices", async () => {
  const node = await master!.client("rxe0,rxe1", {
    globalSegmentSize: 64 * MIB,
    localBufferSize: 0,
  });
  const client = await master!.client("rxe0,rxe1");
  try {
    const before = ["rxe0", "rxe1"].map(sentPackets);
    const value = pattern(8 * MIB);
    await client.put("wide", value);
    assert.deepEqual(await client.get("wide"), value);
    const sent = ["rxe0", "rxe1"].map((device, i) => sentPackets(device) - before[i]);
    for (const packets of sent) assert(packets > 1000, `packets sent: ${sent}`);
  } finally {
    await client.close();
    await node.close();
  }
});

guestTest("lost packets cost time and no bytes", async () => {
  const node = await master!.client("rxe1", { globalSegmentSize: 64 * MIB, localBufferSize: 0 });
  const client = await master!.client("rxe0");
  command("tc qdisc add dev eth0 root netem loss 0.5%");
  try {
    const value = pattern(2 * MIB);
    await client.put("lossy", value);
    assert.deepEqual(await client.get("lossy"), value);
  } finally {
    command("tc qdisc del dev eth0 root");
    await client.close();
    await node.close();
  }
});

guestTest(
  "a dead wire ends a read with an error in time; it works again with the wire",
  async () => {
    const node = await master!.client("rxe1", { globalSegmentSize: 64 * MIB, localBufferSize: 0 });
    const client = await master!.client("rxe0", { transferTimeoutMs: 15_000 });
    try {
      const value = pattern(MIB);
      await client.put("cut", value);
      command("ip link set eth1 down");
      const begun = performance.now();
      await assert.rejects(client.get("cut"));
      assert(performance.now() - begun < 45_000, `it took ${performance.now() - begun} ms`);
      command("ip link set eth1 up");
      command("ip route replace 10.0.0.1 dev eth1 src 10.0.0.2 table 101");
      assert.deepEqual(await client.get("cut"), value);
    } finally {
      await client.close();
      await node.close();
    }
  },
);

guestTest("a waiting engine takes no processor time", async () => {
  const node = await master!.client("rxe1", { globalSegmentSize: 64 * MIB, localBufferSize: 0 });
  const client = await master!.client("rxe0");
  try {
    await client.put("idle", pattern(MIB));
    await client.get("idle");
    const cpu = cpuMs(), begun = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const share = (cpuMs() - cpu) / (performance.now() - begun);
    console.log(`idle: ${(100 * share).toFixed(1)} % of a core`);
    // One that spins takes a whole core. On a busy host the machine counts several times too much.
    assert(share < 0.5, `${(100 * share).toFixed(1)} % of a core`);
  } finally {
    await client.close();
    await node.close();
  }
});

guestTest("a missing device is one clear line", async () => {
  await assert.rejects(
    master!.client("rxe7"),
    /protocol="rdma" cannot be had: there is no RDMA device rxe7/,
  );
});

guestTest("the published wheel reads and writes our memory", async () => {
  const node = await master!.client("rxe1", { globalSegmentSize: 64 * MIB, localBufferSize: 0 });
  const client = await master!.client("rxe0");
  try {
    await using peer = await WheelPeer.start(python!, master!.address, 0, "rxe0");
    for (const size of [1, 4096, MIB + 7]) {
      assert.deepEqual(await peer.ask({ do: "put", key: `w${size}`, size }), { code: 0 });
      assert.deepEqual(await client.get(`w${size}`), pattern(size));
      await client.put(`o${size}`, pattern(size));
      assert.deepEqual(await peer.ask({ do: "get", key: `o${size}` }), { size, right: true });
    }
  } finally {
    await client.close();
    await node.close();
  }
}, python);

guestTest("we read and write the published wheel's memory, beside its own client", async () => {
  await using peer = await WheelPeer.start(python!, master!.address, 64 * MIB, "rxe1");
  const client = await master!.client("rxe0");
  try {
    for (const size of [1, 4096, MIB + 7]) {
      await client.put(`o${size}`, pattern(size));
      assert.deepEqual(await peer.ask({ do: "get", key: `o${size}` }), { size, right: true });
      assert.deepEqual(await peer.ask({ do: "put", key: `w${size}`, size }), { code: 0 });
      assert.deepEqual(await client.get(`w${size}`), pattern(size));
    }
  } finally {
    await client.close();
  }
}, python);

/** Nodes that lend DAX memory: a file of a file system mounted with it, and a device. */
import assert from "node:assert/strict";
import { main as topology } from "../../client/node/topology.ts";
import { type FileMemory, openFileMemory } from "../../client/transfer/file_memory.ts";
import { LocalProcess } from "../../examples/local_cluster.ts";
import { StoreClient } from "../../mod.ts";
import { DEVICE_PAGE, makeDaxMemory } from "./dax_devices.ts";
import { command, guestTest, inGuest, pattern, sentPackets } from "./guest.ts";
import { master } from "./shared_master.ts";

const MIB = 1 << 20;
const LENT = 32 * MIB;
const SIZES = [1, 4096, MIB + 7, 5 * MIB];
const PATIENCE_MS = 180_000;
const root = new URL("../../", import.meta.url).pathname;

const made = inGuest ? makeDaxMemory() : { reason: "" };
const dax = "folder" in made ? made : null;
const reason = "reason" in made ? made.reason : "";
const file = `${dax?.folder}/lent`;
const cached = `${dax?.cached}/lent`;
if (dax !== null) command(`truncate -s ${2 * LENT} ${file} ${cached}`);

const daxTest = (name: string, fn: () => Promise<void>) => guestTest(name, fn, dax, reason);

const places = [
  { what: "a file on DAX", path: file, shown: `32.00 MiB of ${file} (file on DAX), tcp` },
  {
    what: "a DAX device",
    path: `${dax?.device}`,
    shown: `32.00 MiB of ${dax?.device} (DAX device), tcp`,
  },
];

/** A node, its first line, and options that place objects there: the pool may have dead ones. */
async function startNode(path: string) {
  const node = new LocalProcess("node", Deno.execPath(), [
    ...["run", "--no-check", "-A", `${root}snowskin.ts`, "store", `--master=${master!.address}`],
    ...["--host=127.0.0.1", "--data_port=0", `--segment_size=${LENT}`, `--memory_file=${path}`],
  ]);
  const line = await node.line(/^store node ready/, PATIENCE_MS);
  const there = { preferredSegment: /segment ([^,]+),/.exec(line)![1] };
  return { line, there, stop: (signal?: Deno.Signal) => node.stop(signal) };
}

/** The bytes of lent memory, once nobody lends it any more. */
function bytesOf({ address, length }: FileMemory): string {
  const view = new Deno.UnsafePointerView(Deno.UnsafePointer.create(address)!);
  return new TextDecoder("latin1").decode(view.getArrayBuffer(length));
}

async function lendTwice(path: string, shown: string): Promise<void> {
  const options = { protocol: "tcp", localBufferSize: 8 * MIB };
  await using client = await master!.client("", options);
  const key = (name: string) => `${name} of ${path}`;
  const first = await startNode(path);
  try {
    assert(first.line.includes(shown), first.line);
    for (const size of SIZES) {
      assert.equal(await client.put(key(`${size}`), pattern(size), first.there), "stored");
      assert.deepEqual(await client.get(key(`${size}`)), pattern(size));
    }
    assert.throws(() => openFileMemory(path, LENT), /another process lends it$/);
  } finally {
    await first.stop("SIGKILL");
  }
  {
    using left = openFileMemory(path, LENT);
    const start = new TextDecoder("latin1").decode(pattern(8192));
    assert(bytesOf(left).includes(start), "the bytes are not there");
  }
  const second = await startNode(path);
  try {
    assert.equal(await client.get(key(`${MIB + 7}`)).catch(() => null), null);
    assert.equal(await client.put(key("second"), pattern(MIB), second.there), "stored");
    assert.deepEqual(await client.get(key("second")), pattern(MIB));
  } finally {
    await second.stop();
  }
  assert.equal(await client.get(key("second")), null);
}

for (const { what, path, shown } of places) {
  const name = `a node lends ${what}, says so, and begins empty after a restart`;
  daxTest(name, () => lendTwice(path, shown));
}

daxTest("what a DAX device cannot give is one line", () => {
  const { device } = dax!;
  const size = Number(command(`cat /sys/bus/dax/devices/${device.slice("/dev/".length)}/size`));
  assert.equal(size % DEVICE_PAGE, 0);
  const rows: [string, number, string][] = [
    [device, DEVICE_PAGE + 4096, `allowed: multiples of ${DEVICE_PAGE}`],
    [device, size + DEVICE_PAGE, `it has ${size} bytes, and ${size + DEVICE_PAGE} are asked for`],
    ["/dev/pmem0", MIB, "it is a block device; allowed: a DAX device (/dev/daxN.M) or a file"],
  ];
  for (const [path, length, line] of rows) {
    assert.throws(() => openFileMemory(path, length), ({ message }: Error) => {
      assert(message.endsWith(line), message);
      return true;
    });
  }
  for (
    const [path, length, kind] of [[device, size, "DAX device"], [cached, MIB, "file"]] as const
  ) {
    using memory = openFileMemory(path, length);
    assert.equal(memory.kind, kind);
  }
  return Promise.resolve();
});

daxTest("snowskin topology shows the DAX device", async () => {
  const { log } = console;
  let shown = "";
  console.log = (text: string) => shown += text;
  try {
    assert.equal(await topology([], {}), 0);
  } finally {
    console.log = log;
  }
  const name = dax!.device.slice("/dev/".length);
  assert.match(
    shown,
    new RegExp(`^${name} {3}DAX, 510\\.00 MiB in pages of 2\\.00 MiB, node`, "m"),
  );
});

/** A node over RDMA whose memory is a file or device. */
function overRdma(memoryFile: string): Promise<StoreClient> {
  return master!.client("rxe1", { globalSegmentSize: LENT, localBufferSize: 0, memoryFile });
}

daxTest("a DAX device is lent over RDMA", async () => {
  const node = await overRdma(dax!.device);
  const client = await master!.client("rxe0");
  try {
    const before = sentPackets("rxe0");
    await client.put("r", pattern(3 * MIB + 5), { preferredSegment: node.hostname });
    assert.deepEqual(await client.get("r"), pattern(3 * MIB + 5));
    assert(sentPackets("rxe0") - before > 500, "the bytes did not go through rxe0");
  } finally {
    await client.close();
    await node.close();
  }
});

daxTest("files of a file system are refused over RDMA, which may not pin them", async () => {
  for (const [path, kind] of [[file, "file on DAX"], [cached, "file"]]) {
    const why =
      `/lent \\(${kind}\\) cannot be lent over RDMA: its devices may not pin it; allowed: a`;
    await assert.rejects(overRdma(path), new RegExp(why));
  }
});

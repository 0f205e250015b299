// The devices, links and handshakes here are made up; real ones run in tests/rdma.
import assert from "node:assert/strict";
import type { RdmaBuffer, RdmaDevice } from "../../ffi/native_rdma.ts";
import type { DevicePreference } from "../../proto/metadata/segment_document.ts";
import { until } from "../../tests/support/until.ts";
import { TransferCode } from "./engine.ts";
import type { EnginePeers } from "./native_peers.ts";
import { RdmaPeers } from "./rdma_peers.ts";

const noSockets = {} as EnginePeers;
const PEER = 1;

/** Devices a and b of ours, x and y of a peer, whose links break and fail as a test says. */
class Fabric {
  now = 0;
  readonly devices: RdmaDevice[] = ["a", "b"].map((name) => ({
    ...{ name, lid: 0, gid: new Uint8Array(16), gidIndex: 0, mtu: 4096 },
  }));
  readonly lines: string[] = [];
  readonly dialled: string[] = [];
  /** Queue pairs of each. */
  readonly qps: number[] = [];
  /** Paths that cannot be dialled. */
  readonly dead = new Set<string>();
  #links: { path: string; open: boolean }[] = [];
  #used: number[] = [];

  /** Paths that the peer is reached over. */
  get paths(): string[] {
    return this.#used.map((link) => this.#links[link].path);
  }

  breakPath(path: string): void {
    for (const link of this.#links) if (link.path === path) link.open = false;
  }

  peers(
    near = [true, true],
    priorities = new Map<string, DevicePreference>(),
    { takesAnyQps = true, qpsPerLink }: { takesAnyQps?: boolean; qpsPerLink?: number } = {},
  ): RdmaPeers {
    const peers = new RdmaPeers(
      { openRdmaPeer: () => 7, closePeer: () => {} },
      {
        devices: this.devices,
        isConnected: (link) => this.#links[link].open,
        setPeer: (_peer: number, links: readonly number[], _buffers: readonly RdmaBuffer[]) =>
          void (this.#used = [...links]),
      },
      {
        dial: (device, peerPath, qps) => {
          this.qps.push(qps);
          return this.#dial(`${this.devices[device].name} to ${peerPath}`);
        },
      },
      noSockets,
      { near, qpsPerLink, log: (line) => this.lines.push(line), now: () => this.now },
    );
    const buffer = { name: "cpu:0", addr: 1n, length: 9, protocol: "", rkeys: [1, 2], lkeys: [] };
    peers.open({
      ...{ host: "h", port: 0, protocolVersion: 2 },
      rdma: {
        ...{ server: "n", priorities, buffers: [buffer], takesAnyQps },
        devices: ["x", "y"].map((name) => ({ name, lid: 0, gid: "" })),
        exchange: () => Promise.resolve(null),
      },
    }, PEER);
    return peers;
  }

  #dial(path: string): Promise<number> {
    this.dialled.push(path);
    if (this.dead.has(path)) return Promise.reject(new Error(`Cannot connect over ${path}`));
    const open = this.#links.findIndex((link) => link.path === path && link.open);
    return Promise.resolve(open >= 0 ? open : this.#links.push({ path, open: true }) - 1);
  }
}

Deno.test("a link has four queue pairs, to a peer of the reference two, or what is asked for", async () => {
  const cases = [
    [{}, 4],
    [{ takesAnyQps: false }, 2],
    [{ takesAnyQps: false, qpsPerLink: 7 }, 7],
    [{ qpsPerLink: 1 }, 1],
  ] as const;
  for (const [options, qps] of cases) {
    const fabric = new Fabric();
    assert.equal(await fabric.peers([true, true], new Map(), options).resolve(PEER), true);
    assert.deepEqual(fabric.qps, [qps, qps]);
  }
});

Deno.test("devices are paired one to one, and those close to the memory come first", async () => {
  const plain = new Fabric();
  assert.equal(await plain.peers().resolve(PEER), true);
  assert.deepEqual(plain.paths, ["a to n@x", "b to n@y"]);
  const placed = new Fabric();
  const priorities = new Map([["cpu:0", { preferred: ["y"], others: ["x"] }]]);
  assert.equal(await placed.peers([false, true], priorities).resolve(PEER), true);
  assert.deepEqual(placed.paths, ["b to n@y"]);
});

Deno.test("devices far from the memory are used when those close to it get nowhere", async () => {
  const fabric = new Fabric();
  fabric.dead.add("b to n@x").add("b to n@y");
  assert.equal(await fabric.peers([false, true]).resolve(PEER), true);
  assert.deepEqual(fabric.paths, ["a to n@x"]);
});

Deno.test("a path that broke is left out for 30 s, then taken in again without a wait", async () => {
  const fabric = new Fabric();
  const peers = fabric.peers();
  await peers.resolve(PEER);
  fabric.breakPath("a to n@x");
  peers.failed(PEER, TransferCode.SOCKET);
  assert.equal(peers.native(PEER), 0);
  await peers.resolve(PEER);
  assert.deepEqual(fabric.paths, ["a to n@y", "b to n@y"]);
  assert.deepEqual(fabric.lines, ["the path a to n@x broke and is left out for 30 s"]);
  fabric.now = 29_999;
  assert.equal(peers.native(PEER), 7);
  assert.equal(fabric.paths[0], "a to n@y");
  fabric.now = 30_000;
  assert.equal(peers.native(PEER), 7, "operations go on meanwhile");
  await until(() => fabric.paths[0] === "a to n@x");
});

Deno.test("a path that breaks again and again is left out longer, up to 300 s", async () => {
  const fabric = new Fabric();
  const peers = fabric.peers([true, false]);
  await peers.resolve(PEER);
  for (const seconds of [30, 60, 120, 240, 300, 300]) {
    fabric.breakPath("a to n@x");
    peers.failed(PEER, TransferCode.SOCKET);
    await peers.resolve(PEER);
    assert.deepEqual(fabric.paths, ["a to n@y"], `${seconds} s`);
    assert.match(fabric.lines.at(-1)!, new RegExp(`for ${seconds} s$`));
    fabric.now += seconds * 1000;
    peers.native(PEER);
    await until(() => fabric.paths[0] === "a to n@x");
  }
});

Deno.test("the last path is used although it broke, and a refused range blames none", async () => {
  const fabric = new Fabric();
  for (const path of ["a to n@y", "b to n@x", "b to n@y"]) fabric.dead.add(path);
  const peers = fabric.peers();
  await peers.resolve(PEER);
  fabric.breakPath("a to n@x");
  peers.failed(PEER, TransferCode.SOCKET);
  assert.equal(await peers.resolve(PEER), true);
  assert.deepEqual(fabric.paths, ["a to n@x"]);

  const refused = new Fabric();
  const asked = refused.peers();
  await asked.resolve(PEER);
  refused.breakPath("a to n@x");
  asked.failed(PEER, TransferCode.ADDRESS_NOT_REGISTERED);
  await asked.resolve(PEER);
  assert.deepEqual(refused.paths, ["a to n@x", "b to n@y"]);
});

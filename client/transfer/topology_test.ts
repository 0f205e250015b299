import assert from "node:assert/strict";
import { SysfsFixture, TWO_SOCKETS } from "../../tests/support/sysfs_tree.ts";
import { usableDevices } from "./device_nodes.ts";
import { sysfsTree } from "./sysfs.ts";
import {
  devicesFor,
  devicesOf,
  discoverTopology,
  formatPriorityMatrix,
  memoryLocation,
  onlyDevices,
  parsePriorityMatrix,
  pciDistance,
} from "./topology.ts";

Deno.test("memory prefers the devices of its node, a GPU the nearest on the PCI tree", () => {
  using machine = new SysfsFixture(TWO_SOCKETS);
  const { nodes, gpus, nics, matrix } = discoverTopology(sysfsTree(machine.root));
  assert.deepEqual(nodes.map(({ id, cpus }) => [id, cpus]), [[0, "0-3"], [1, "4-7"]]);
  assert.deepEqual(nics.map(({ name, pci, numa }) => [name, pci, numa]), [
    ["mlx5_0", "0000:02:00.0", 0],
    ["mlx5_1", "0000:05:00.0", 0],
    ["mlx5_2", "0000:82:00.0", 1],
    ["rxe0", "", -1],
  ]);
  assert.deepEqual(gpus.map(({ name, pci }) => [name, pci]), [
    ["cuda:0", "0000:03:00.0"],
    ["cuda:1", "0000:83:00.0"],
  ]);
  assert.equal(pciDistance(gpus[0], nics[0]), 2);
  assert.equal(pciDistance(gpus[0], nics[1]), 5);
  assert.equal(pciDistance(gpus[0], nics[3]), Infinity);
  assert.equal(
    formatPriorityMatrix(matrix),
    '{"cpu:0":[["mlx5_0","mlx5_1"],["mlx5_2","rxe0"]],' +
      '"cpu:1":[["mlx5_2"],["mlx5_0","mlx5_1","rxe0"]],' +
      '"cuda:0":[["mlx5_0"],["mlx5_1","mlx5_2","rxe0"]],' +
      '"cuda:1":[["mlx5_2"],["mlx5_1","mlx5_0","rxe0"]]}',
  );
});

Deno.test("a machine without RDMA and GPUs has nodes with two empty lists, as the reference says", () => {
  using machine = new SysfsFixture({ distances: [[10]] });
  const { matrix } = discoverTopology(sysfsTree(machine.root));
  assert.equal(formatPriorityMatrix(matrix), '{"cpu:0":[[],[]]}');
  assert.equal(discoverTopology(sysfsTree(`${machine.root}/none`)).matrix.size, 0);
});

Deno.test("a device that programs cannot open is left out", () => {
  using machine = new SysfsFixture(TWO_SOCKETS);
  machine.file("class/infiniband_verbs/uverbs0/ibdev", "mlx5_2\n");
  machine.file("class/infiniband_verbs/uverbs1/ibdev", "mlx5_0\n");
  machine.file("dev/uverbs0", "");
  const tree = sysfsTree(machine.root);
  const { nics } = discoverTopology(tree, usableDevices(tree, `${machine.root}/dev`));
  assert.deepEqual(nics.map(({ name }) => name), ["mlx5_2"]);
});

Deno.test("a written matrix is what is printed, and another text is refused on one line", () => {
  const text = '{"cpu:0":[["a"],["b"]],"*":[["b","a"],[]]}';
  const matrix = parsePriorityMatrix(text, "f");
  assert.equal(formatPriorityMatrix(matrix), text);
  assert.deepEqual(devicesOf(matrix), ["a", "b"]);
  assert.equal(
    formatPriorityMatrix(onlyDevices(matrix, ["b"])),
    '{"cpu:0":[[],["b"]],"*":[["b"],[]]}',
  );
  const cases: [string, RegExp][] = [
    ["", /^f is refused: .*; allowed: /],
    ["[]", /not a JSON object/],
    ["{}", /it names no location/],
    ['{"cpu:0":[["a"]]}', /"cpu:0" has no two lists/],
    ['{"cpu:0":[["a"],[7]]}', /"cpu:0" has no two lists/],
    ['{"cpu:0":[["a"],[""]]}', /"cpu:0" has no two lists/],
    ['{"cpu:0":{"a":1}}', /"cpu:0" has no two lists/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parsePriorityMatrix(text, "f"), (error) => {
      assert(error instanceof RangeError, String(error));
      assert.match(error.message, message);
      return !error.message.includes("\n");
    });
  }
});

Deno.test("devices for a location are those it prefers, then those of any, then all", () => {
  const matrix = parsePriorityMatrix('{"cpu:0":[["a"],["c","b"]],"*":[["b"],["a"]]}', "f");
  const all = ["a", "b", "c"];
  assert.deepEqual(devicesFor(matrix, "cpu:0", all), { preferred: ["a"], others: ["c", "b"] });
  assert.deepEqual(devicesFor(matrix, "cpu:7", all), { preferred: ["b"], others: ["a", "c"] });
  assert.deepEqual(devicesFor(matrix, "cpu:0", ["c"]), { preferred: ["c"], others: [] });
  assert.deepEqual(devicesFor(new Map(), "*", all), { preferred: all, others: [] });
});

Deno.test("memory has a location when the process may use one node only", () => {
  assert.equal(memoryLocation("Mems_allowed:\t1\nMems_allowed_list:\t0\nx"), "cpu:0");
  assert.equal(memoryLocation("Mems_allowed_list:\t0-1\n"), "*");
  assert.equal(memoryLocation(""), "*");
});

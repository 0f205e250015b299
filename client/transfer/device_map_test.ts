import assert from "node:assert/strict";
import { isDeviceMap, parseDeviceMap } from "./device_map.ts";
import { findDevices } from "./rdma_devices.ts";

Deno.test("a map of GPUs or locations to devices becomes a priority matrix", () => {
  assert.deepEqual(
    [...parseDeviceMap('{"0": "mlx5_0, mlx5_1", "1": "mlx5_2", "cpu:1": ["mlx5_2"]}')],
    [
      ["cuda:0", { preferred: ["mlx5_0", "mlx5_1"], others: ["mlx5_2"] }],
      ["cuda:1", { preferred: ["mlx5_2"], others: ["mlx5_0", "mlx5_1"] }],
      ["cpu:1", { preferred: ["mlx5_2"], others: ["mlx5_0", "mlx5_1"] }],
      ["*", { preferred: ["mlx5_0", "mlx5_1", "mlx5_2"], others: [] }],
    ],
  );
  const { devices } = findDevices({ deviceName: '{"*": "a", "0": "b"}', topologyFile: "" });
  assert.deepEqual(devices.sort(), ["a", "b"]);
  assert(isDeviceMap(" {}") && !isDeviceMap("mlx5_0"));
});

Deno.test("a map of another form is refused with what is allowed", () => {
  for (
    const text of ["{}", "{", '{"gpu": "a"}', '{"0": ""}', '{"0": []}', '{"0": [1]}', '{"0": 1}']
  ) {
    assert.throws(() => parseDeviceMap(text), /is refused: .*; allowed: \{"0": "NAME,NAME"/, text);
  }
  const twice = { deviceName: '{"0": "a"}', topologyFile: "/t.json" };
  assert.throws(() => findDevices(twice), /say the same twice/);
});

import { readFileSync } from "node:fs";
import { isDeviceMap, parseDeviceMap } from "./device_map.ts";
import { usableDevices } from "./device_nodes.ts";
import { sysfsTree } from "./sysfs.ts";
import {
  devicesOf,
  discoverTopology,
  memoryLocation,
  parsePriorityMatrix,
  type PriorityMatrix,
} from "./topology.ts";

/** Which RDMA devices an engine opens, and which of them lie close to which memory. */
export interface ChosenDevices {
  /** Names; empty = every one with an active port. */
  readonly devices: string[];
  readonly matrix: PriorityMatrix;
  /** Where memory lies that this process allocates; see {@linkcode memoryLocation}. */
  readonly location: string;
}

/**
 * Reads the topology of this machine, or the file that is to replace it. `deviceName` lists devices
 * joined by commas, or is a map of them by location, which takes the place of the topology; without it
 * those that the file names are used. `RangeError` for a bad file, the
 * system's error when it cannot be read.
 */
export function findDevices(
  { deviceName, topologyFile }: { deviceName: string; topologyFile: string },
): ChosenDevices {
  const location = memoryLocation(readFileSync("/proc/self/status", "utf8"));
  if (isDeviceMap(deviceName)) {
    if (topologyFile !== "") {
      throw new RangeError(
        `A map of devices and the topology file ${topologyFile} say the same twice; allowed: one of them`,
      );
    }
    const matrix = parseDeviceMap(deviceName);
    return { devices: devicesOf(matrix), matrix, location };
  }
  const named = deviceName === "" ? [] : deviceName.split(",");
  if (topologyFile === "") {
    const tree = sysfsTree("/sys");
    return { devices: named, matrix: discoverTopology(tree, usableDevices(tree)).matrix, location };
  }
  const matrix = parsePriorityMatrix(readFileSync(topologyFile, "utf8"), topologyFile);
  return { devices: named.length > 0 ? named : devicesOf(matrix), matrix, location };
}

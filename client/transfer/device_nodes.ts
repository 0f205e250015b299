import { existsSync } from "node:fs";
import type { SysfsTree } from "./sysfs.ts";

const FOLDER = "class/infiniband_verbs";

/**
 * Tells whether programs can open an RDMA device of this machine: its node in `/dev/infiniband` may be
 * missing, as in a container that was not given it.
 */
export function usableDevices(
  tree: SysfsTree,
  folder = "/dev/infiniband",
): (device: string) => boolean {
  const nodes = new Map(
    tree.list(FOLDER).map((node) => [tree.text(`${FOLDER}/${node}/ibdev`), node]),
  );
  return (device) => {
    const node = nodes.get(device);
    return node !== undefined && existsSync(`${folder}/${node}`);
  };
}
